//! A response body on its way from a worker to a client.

use std::convert::identity;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::super::error::{Fault, Party};
use super::super::upstream::{Upstream, Upstreams};
use super::Upload;
use super::trailers::allowed;
use crate::listen::{Client, Wait};
use crate::observe::Record;
use crate::pool::Place;

/// A worker's response body, with all that is held until its last byte.
#[derive(Debug)]
pub struct Relay {
    incoming: Incoming,
    client: Rc<Client>,
    idle_timeout: Duration,
    waiting: bool,
    /// Why the rest does not come, told once what has come is on its way.
    failed: Option<Fault>,
    /// Given back when the worker has sent everything; dropped, which closes the upstream connection, when not.
    lease: Option<Lease>,
    /// Written when it is dropped.
    record: Option<Box<Record>>,
}

/// A place at an endpoint and the connection to it.
#[derive(Debug)]
pub(in super::super) struct Lease {
    /// Before the place: it is closed by the time somebody else gets that.
    pub(in super::super) upstream: Box<Upstream>,
    pub(in super::super) place: Place,
    pub(in super::super) upload: Option<Rc<Upload>>,
    pub(in super::super) upstreams: Rc<Upstreams>,
    pub(in super::super) idle_max: usize,
    pub(in super::super) keep_alive: Duration,
}

impl Relay {
    pub(in super::super) fn new(
        incoming: Incoming,
        client: Rc<Client>,
        idle_timeout: Duration,
        lease: Lease,
        record: Option<Box<Record>>,
    ) -> Self {
        Self { incoming, client, idle_timeout, waiting: false, failed: None, lease: Some(lease), record }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(fault) = self.failed {
            return Poll::Ready(Some(Err(fault)));
        }
        if self.client.service_expired() == Some(Wait::Whole) {
            return self.fail(Fault::RequestTimeout, cx);
        }
        let incoming = &mut self.incoming;
        let frame = match &mut self.lease {
            Some(lease) => lease.upstream.drive(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx)),
            None => Pin::new(incoming).poll_frame(cx),
        };
        match frame {
            // Asked only now: after a pause of the whole machine the bytes may be there as well as the end of the wait.
            Poll::Pending => match self.client.service_expired() {
                Some(wait) => self.fail(Fault::late(wait), cx),
                None => {
                    self.wait();
                    Poll::Pending
                }
            },
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(record), Some(data)) = (&mut self.record, frame.data_ref()) {
                    record.sent(data.len());
                }
                if self.waiting {
                    self.waiting = false;
                    self.client.wait_over();
                }
                if self.incoming.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame.into_trailers().map_or_else(identity, |all| Frame::trailers(allowed(all))))))
            }
            Poll::Ready(Some(Err(_))) => {
                let fault = self.lease.as_mut().map_or(Fault::Truncated, Lease::broke_off);
                self.fail(fault, cx)
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
        }
    }

    /// Begins to wait for the worker, once per silence.
    fn wait(&mut self) {
        if !self.waiting {
            self.waiting = true;
            self.client.wait(Wait::ResponseBody, Instant::now() + self.idle_timeout);
        }
    }

    /// The worker has sent everything.
    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
        if let Some(record) = &mut self.record {
            record.worker_done();
        }
    }

    /// An error makes hyper drop what it has not written yet. So it is told at the next poll: what came before is written in
    /// between, and the client sees a response that breaks off instead of none.
    fn fail<T>(&mut self, fault: Fault, cx: &Context<'_>) -> Poll<T> {
        if let Some(mut lease) = self.lease.take()
            && fault.party() == Party::Endpoint
            // Of the whole request a slow client may have taken the most.
            && fault != Fault::RequestTimeout
        {
            lease.place.failed(&fault);
        }
        self.failed = Some(fault);
        if let Some(record) = &mut self.record {
            record.failed(fault.reason());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Dropped with the worker still sending: whoever should have read it is gone or does not read.
        if self.lease.is_some()
            && !self.incoming.is_end_stream()
            && let Some(record) = &mut self.record
        {
            let fault = if self.client.has_stalled() { Fault::ClientStalled } else { Fault::ClientGone };
            record.failed(fault.reason());
        }
    }
}

impl Lease {
    /// The response has broken off: what for. The parser ends it too when the request body cannot go on behind it, which is
    /// then its client's fault.
    pub(super) fn broke_off(&mut self) -> Fault {
        let of_client = self.upload.as_ref().and_then(|upload| upload.fault());
        if of_client.is_none() {
            self.place.cut();
        }
        of_client.unwrap_or(Fault::Truncated)
    }

    /// Keeps the connection for the next request and frees the place. A request body that is still under way ends here: the
    /// worker has answered without it.
    pub(in super::super) fn give_back(self) {
        let Self { upstream, mut place, .. } = self;
        place.served();
        let complete = self.upload.is_none_or(|upload| upload.ended());
        if !complete || self.idle_max == 0 || self.keep_alive.is_zero() {
            drop(upstream);
            return;
        }
        if !place.owns_connection() {
            self.upstreams.check_in(place.endpoint(), upstream, self.idle_max, self.keep_alive);
        } else if let Some(idle) = upstream.into_idle() {
            place.check_in(idle, self.keep_alive, Instant::now());
        }
    }
}
