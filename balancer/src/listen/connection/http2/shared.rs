//! What an HTTP/2 connection and the tasks of its streams share, and the life of one stream.
//!
//! Decides which requests count as taken back. Called by [`super::serve`], which begins the tasks. Never drives the connection.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};

use super::super::frames::Frames;
use super::super::service::Service;
use super::super::stream::Stream;
use super::requests::head_of;
use crate::http1::RequestFault;
use crate::listen::close;
use crate::listen::idle::alarm::Alarm;
use crate::listen::idle::registry::Registry;
use crate::listen::refusal::Refusal;
use crate::net::Peer;

/// What a connection and the tasks of its streams share.
pub(super) struct StreamsShared<S: Service> {
    pub(super) service: Rc<S>,
    pub(super) state: S::Connection,
    pub(super) registry: Rc<Registry>,
    pub(super) peer: Peer,
    pub(super) here: Option<SocketAddr>,
    pub(super) alarm: Rc<Alarm>,
    /// Streams whose tasks run.
    pub(super) streams: Cell<usize>,
    /// Since when there is none; at first since the connection was accepted.
    pub(super) idle_since: Cell<Instant>,
    pub(super) cancelled: Cell<Cancelled>,
}

/// Requests that the client has taken back before it had their answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cancelled {
    pub(super) since: Instant,
    pub(super) count: u32,
}

impl<S: Service> StreamsShared<S> {
    pub(super) async fn answer(&self, request: Request<RecvStream>, mut answer: SendResponse<Bytes>, alarm: Rc<Alarm>) {
        let (parts, body) = request.into_parts();
        let head = match head_of(&parts, !body.is_end_stream()) {
            Ok(head) => head,
            Err(fault) => return self.refuse(&mut answer, fault),
        };
        let frames = Frames::new(body, answer, self.here);
        let mut stream = Stream::of_frames(head, frames, self.peer, &self.registry, alarm);
        self.service.answer(&self.state, &mut stream).await;
        if stream.was_cancelled() {
            return self.count_cancelled(Instant::now());
        }
        stream.reset_if_cut().await;
    }

    /// Answers what is no request.
    fn refuse(&self, answer: &mut SendResponse<Bytes>, fault: RequestFault) {
        let refusal = Refusal::NoRequest(fault);
        let id = self.service.refused(self.peer, Instant::now(), refusal);
        let text = close::text(refusal.status(), refusal.reason(), &id);
        let response = Response::builder().status(refusal.status()).header("content-type", "text/plain; charset=utf-8");
        let response = response.header("content-length", text.len()).header("x-request-id", id).body(());
        // What fails is a client that has left; a few bytes may wait in the library.
        if let Ok(response) = response
            && let Ok(mut body) = answer.send_response(response, false)
        {
            let _ = body.send_data(text.into(), true);
        }
    }

    fn count_cancelled(&self, now: Instant) {
        let Cancelled { since, count } = self.cancelled.get();
        let goes_on = now.saturating_duration_since(since) < CANCELLED_WITHIN;
        let cancelled =
            if goes_on { Cancelled { since, count: count + 1 } } else { Cancelled { since: now, count: 1 } };
        self.cancelled.set(cancelled);
    }
}

/// The task of a stream; dropping it tells the connection.
pub(super) struct Over<S: Service>(pub(super) Rc<StreamsShared<S>>);

impl<S: Service> Drop for Over<S> {
    fn drop(&mut self) {
        let left = self.0.streams.get().saturating_sub(1);
        self.0.streams.set(left);
        if left == 0 {
            self.0.idle_since.set(Instant::now());
        }
        if left == 0 || self.0.cancelled.get().count > CANCELLED_MAX {
            self.0.alarm.wake();
        }
    }
}

/// A page that is left may have a hundred requests under way.
pub(super) const CANCELLED_MAX: u32 = 200;
pub(super) const CANCELLED_WITHIN: Duration = Duration::from_secs(10);
