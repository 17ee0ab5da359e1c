//! One client connection that speaks HTTP/2, from its preface to its close (RFC 9113).
//!
//! Decides how many streams there are, how long a connection may do without one, and when a client has taken back too many. Called by
//! the connection once the first bytes, or TLS, have shown the version; calls the service for each request, on a task of its own.
//! Never looks into a frame: the library reads and writes them.

mod requests;
mod shared;
mod stream;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use tokio::task::spawn_local;

use super::service::Service;
use crate::config::ClientLimits;
use crate::listen::accept::threads::Counted;
use crate::listen::idle::alarm::Alarm;
use crate::listen::idle::registry::{Registered, Registry};
use crate::net::{Activity, Buffer, Io, Peer, Socket};
use shared::{CANCELLED_MAX, CANCELLED_WITHIN, Cancelled, Over, StreamsShared};

/// A connection whose preface has begun to arrive.
pub(super) struct Arrival<S: Service> {
    pub(super) socket: Socket,
    /// What was read of it.
    pub(super) inbox: Buffer,
    pub(super) peer: Peer,
    pub(super) begun: Instant,
    pub(super) state: S::Connection,
    pub(super) alarm: Rc<Alarm>,
    pub(super) registered: Registered,
    pub(super) counted: Counted,
    pub(super) service: Rc<S>,
    pub(super) registry: Rc<Registry>,
    pub(super) limits: Rc<RefCell<ClientLimits>>,
}

/// A connection, driven by the task that serves it.
struct Connection<S: Service> {
    frames: h2::server::Connection<Io, Bytes>,
    shared: Rc<StreamsShared<S>>,
    activity: Rc<Activity>,
    counted: Counted,
    limits: Rc<RefCell<ClientLimits>>,
    pings: Option<PingPong>,
    /// When the client was asked whether it is there, and has not said so.
    pinged: Option<Instant>,
    /// Whether there was a request.
    is_used: bool,
    /// Since when no further stream is taken.
    closing: Option<Instant>,
}

/// Serves a connection to its end.
pub(super) async fn serve<S: Service>(arrived: Arrival<S>) {
    let Arrival { socket, inbox, peer, begun, state, alarm, registered, counted, service, registry, limits } = arrived;
    let header_bytes_max = limits.borrow().header_bytes_max;
    let (until, here) = (begun + limits.borrow().header_timeout, socket.local_address());
    let activity = Rc::new(Activity::new(begun));
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(header_bytes_max).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER);
    alarm.set(Some(until));
    let mut handshake = Box::pin(builder.handshake::<_, Bytes>(Io::new(socket, inbox, Rc::clone(&activity))));
    let shaken = poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Pending if alarm.rung().is_some() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
        Poll::Ready(shaken) => Poll::Ready(shaken.ok()),
    });
    let Some(mut frames) = shaken.await else { return };
    let idle_since = Cell::new(begun);
    let cancelled = Cell::new(Cancelled { since: begun, count: 0 });
    let shared = Rc::new(StreamsShared {
        service,
        state,
        registry,
        peer,
        here,
        alarm,
        streams: Cell::new(0),
        idle_since,
        cancelled,
    });
    let pings = frames.ping_pong();
    let mut connection =
        Connection { frames, shared, activity, counted, limits, pings, pinged: None, is_used: false, closing: None };
    poll_fn(|cx| connection.poll(cx)).await;
    drop(registered);
}

impl<S: Service> Connection<S> {
    /// Takes requests and drives what is sent, until the end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.frames.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, answer)))) => self.begin(request, answer),
                // What is wrong with a connection has been said on it.
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        let rung = self.shared.alarm.rung();
        if let Some(pings) = &mut self.pings
            && pings.poll_pong(cx).is_ready()
        {
            self.pinged = None;
        }
        let is_idle = self.shared.streams.get() == 0;
        let unasked = self.counted.cell().filter(|_| is_idle);
        self.shared.alarm.unasked(unasked.map(|cell| (self.shared.idle_since.get(), cell)));
        if self.shared.cancelled.get().count > CANCELLED_MAX {
            return self.calm_down(cx);
        }
        if self.shared.registry.is_draining() || is_idle && self.shared.alarm.is_dismissed() {
            self.close(cx);
        }
        match rung {
            Some(now) => self.look(cx, now),
            None => {
                self.shared.alarm.set(Some(self.due()));
                Poll::Pending
            }
        }
    }

    /// Answers a request, on a task of its own.
    fn begin(&mut self, request: Request<RecvStream>, answer: SendResponse<Bytes>) {
        self.is_used = true;
        let shared = Rc::clone(&self.shared);
        shared.streams.set(shared.streams.get() + 1);
        let alarm = Rc::new(Alarm::default());
        // Registered at once, so that a drain waits for it.
        let registered = shared.registry.enter(Rc::clone(&alarm));
        spawn_local(Box::pin(async move {
            let over = Over(shared);
            poll_fn(|cx| {
                alarm.begins(cx.waker());
                Poll::Ready(())
            })
            .await;
            over.0.answer(request, answer, alarm).await;
            drop(registered);
        }));
    }

    /// When to look again.
    fn due(&self) -> Instant {
        let limits = self.limits.borrow();
        let blocked = self.activity.blocked_since().map(|since| since + limits.body_timeout);
        let quiet = match (self.closing, self.pinged) {
            (Some(since), _) => since + CLOSE,
            (None, Some(since)) => since + PING_TIMEOUT,
            (None, None) if self.shared.streams.get() > 0 => self.activity.heard() + PING_AFTER,
            (None, None) if self.is_used => self.shared.idle_since.get() + limits.keep_alive_timeout,
            (None, None) => self.shared.idle_since.get() + limits.header_timeout,
        };
        blocked.map_or(quiet, |blocked| blocked.min(quiet))
    }

    /// Looks what has lasted too long.
    fn look(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let body_timeout = self.limits.borrow().body_timeout;
        if self.activity.blocked_since().is_some_and(|since| now >= since + body_timeout) {
            // It takes nothing of what it has asked for.
            return Poll::Ready(());
        }
        let is_idle = self.shared.streams.get() == 0;
        if now >= self.due() {
            match (self.closing, self.pinged) {
                (Some(_), _) if is_idle => return Poll::Ready(()),
                // Streams end in their own time, or with the drain.
                (Some(_), _) => self.closing = Some(now),
                (None, Some(_)) => return Poll::Ready(()),
                (None, None) if is_idle => self.close(cx),
                (None, None) => self.ask_for_sign_of_life(cx, now),
            }
        }
        self.shared.alarm.set(Some(self.due().max(now)));
        drive(cx)
    }

    fn ask_for_sign_of_life(&mut self, cx: &mut Context<'_>, now: Instant) {
        if let Some(pings) = &mut self.pings
            && pings.send_ping(Ping::opaque()).is_ok()
        {
            self.pinged = Some(now);
            // The library wakes whoever has asked for it.
            let _ = pings.poll_pong(cx);
        }
    }

    /// Takes no further stream, and ends behind those that are there (§6.8).
    fn close(&mut self, cx: &mut Context<'_>) {
        if self.closing.is_none() {
            self.closing = Some(Instant::now());
            self.frames.graceful_shutdown();
            cx.waker().wake_by_ref();
        }
    }

    /// Ends the connection of a client that takes back request after request (CVE-2023-44487).
    fn calm_down(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        tracing::warn!(
            client = %self.shared.peer,
            "closed an HTTP/2 connection: more than {CANCELLED_MAX} requests were cancelled within {} s",
            CANCELLED_WITHIN.as_secs()
        );
        let now = Instant::now();
        self.shared.cancelled.set(Cancelled { since: now, count: 0 });
        self.closing = Some(now);
        self.frames.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        drive(cx)
    }
}

/// Has the library be asked again, so that it sends what was put down.
fn drive(cx: &mut Context<'_>) -> Poll<()> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Requests of one connection at once.
const STREAMS_MAX: u32 = 100;
/// What a client may send of one body before it is taken on, and of all bodies: one that is not taken on stops no other.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Of one answer's body, with the library.
const SEND_BUFFER: usize = 64 * 1024;
/// Of silence, with a request under way, before a client is asked whether it is there; and for its answer.
const PING_AFTER: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// For a client that does not close after we have said that we do.
const CLOSE: Duration = Duration::from_secs(2);
