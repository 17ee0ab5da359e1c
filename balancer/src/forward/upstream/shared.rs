//! Upstream connections that speak HTTP/2: few, each with many requests at once (RFC 9113).
//!
//! Decides on which connection a request goes and when another is opened. Called by [`super::Upstreams`], one of these a thread. Never
//! looks at a request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::super::error::Fault;
use super::super::way::Way;
use super::driving::{drive, hear};
use super::opening::{connect_to, refused};
use crate::endpoint::{Connected, Endpoint, EndpointId};
use crate::net::{Activity, Buffer, Encryption, Io, timeout};

/// Those of one thread.
#[derive(Debug, Default)]
pub(super) struct Shared {
    entries: RefCell<HashMap<EndpointId, Rc<Entry>>>,
    /// When it was told the last time that an endpoint does not speak HTTP/2.
    told: Cell<Option<Instant>>,
}

/// Those to one endpoint.
#[derive(Debug, Default)]
struct Entry {
    connections: RefCell<Vec<Rc<Opened>>>,
    /// Whether a request opens one, for all that wait for it.
    opening: Cell<bool>,
    /// How that has failed the last time, and how often one was opened or failed.
    outcome: Cell<(u64, Option<Fault>)>,
    changed: Notify,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Opened {
    requests: SendRequest<Bytes>,
    is_encrypted: bool,
    streams: Cell<usize>,
    /// Bytes of bodies that these have sent.
    uploaded: Cell<usize>,
    /// Whether one of them has told of its end.
    is_told: Cell<bool>,
    /// Whether it takes no further stream.
    is_over: Cell<bool>,
    idle_since: Cell<Instant>,
    connected: Connected,
}

/// A stream of a connection, from before it is begun; dropping it makes room for another.
#[derive(Debug)]
pub(super) struct Held {
    opened: Rc<Opened>,
    uploaded: Cell<usize>,
}

/// A request opens a connection; dropping this lets another one try.
struct Opening<'a>(&'a Entry);

impl Shared {
    /// A stream on a connection to the endpoint, which is opened if none has room, or is to be its own.
    ///
    /// # Errors
    /// Those of [`connect_to`], or [`Fault::BadResponse`] where the endpoint does not speak HTTP/2.
    pub(super) async fn stream(
        &self,
        endpoint: &Arc<Endpoint>,
        (within, encryption): (Duration, &Encryption),
        way: Way,
    ) -> Result<(SendRequest<Bytes>, Held), Fault> {
        if way == Way::Alone {
            let opened = open(endpoint, (within, encryption), &self.told).await?;
            return Ok((opened.requests.clone(), Held::new(opened)));
        }
        let entry = Rc::clone(self.entries.borrow_mut().entry(endpoint.id()).or_default());
        loop {
            if let Some(opened) = entry.with_room(way) {
                return Ok((opened.requests.clone(), Held::new(opened)));
            }
            if entry.opening.replace(true) {
                let (before, _) = entry.outcome.get();
                // One thread: nothing changes between the question and the wait.
                entry.changed.notified().await;
                match entry.outcome.get() {
                    (after, Some(fault)) if after != before => return Err(fault),
                    _ => continue,
                }
            }
            let opening = Opening(&entry);
            let opened = open(endpoint, (within, encryption), &self.told).await;
            entry.outcome.set((entry.outcome.get().0 + 1, opened.as_ref().err().copied()));
            entry.connections.borrow_mut().push(opened?);
            drop(opening);
        }
    }

    /// Closes what has been idle for that long, or is over.
    pub(super) fn reap(&self, now: Instant, limit: Duration) {
        self.entries.borrow_mut().retain(|_, entry| {
            entry.connections.borrow_mut().retain(|opened| {
                let idle = now.saturating_duration_since(opened.idle_since.get());
                opened.streams.get() > 0 || !opened.is_over.get() && idle < limit && opened.connected.is_current()
            });
            entry.opening.get() || !entry.connections.borrow().is_empty()
        });
    }
}

impl Entry {
    /// A body goes where those of others have not taken up the window, which all bodies of a connection share: an endpoint that reads
    /// nothing of one stops no other.
    fn with_room(&self, way: Way) -> Option<Rc<Opened>> {
        let uploaded_max = if way == (Way::Shared { uploads: true }) { UPLOADED_MAX } else { usize::MAX };
        let connections = self.connections.borrow();
        let has_room = |opened: &&Rc<Opened>| {
            let most = opened.requests.current_max_send_streams().min(STREAMS_MAX);
            let is_open = !opened.is_over.get() && opened.connected.is_current();
            is_open && opened.streams.get() < most && opened.uploaded.get() < uploaded_max
        };
        connections.iter().find(has_room).cloned()
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(false);
        self.0.changed.notify_waiters();
    }
}

impl Held {
    fn new(opened: Rc<Opened>) -> Self {
        opened.streams.set(opened.streams.get() + 1);
        Self { opened, uploaded: Cell::new(0) }
    }

    /// So much of a body was sent.
    pub(super) fn uploads(&self, bytes: usize) {
        self.uploaded.set(self.uploaded.get() + bytes);
        self.opened.uploaded.set(self.opened.uploaded.get() + bytes);
    }

    /// The connection has ended; whether no other of its streams has told of that.
    pub(super) fn is_first_to_tell(&self) -> bool {
        !self.opened.is_told.replace(true)
    }

    /// Whether the connection is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.opened.is_encrypted
    }

    /// The endpoint takes no further stream on this connection.
    pub(super) fn is_refused(&self) {
        self.opened.is_over.set(true);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let opened = &self.opened;
        let left = opened.streams.get().saturating_sub(1);
        opened.streams.set(left);
        opened.uploaded.set(opened.uploaded.get().saturating_sub(self.uploaded.get()));
        if left == 0 {
            opened.idle_since.set(Instant::now());
        }
    }
}

async fn open(
    endpoint: &Arc<Endpoint>,
    (within, encryption): (Duration, &Encryption),
    told: &Cell<Option<Instant>>,
) -> Result<Rc<Opened>, Fault> {
    let until = Instant::now() + within;
    let (socket, connected) = connect_to(endpoint, within, encryption).await?;
    let is_encrypted = socket.session().is_some();
    if socket.session().is_some_and(|session| !session.speaks_http2()) {
        tell(endpoint, &"it has not agreed on it in the TLS handshake, by ALPN", told);
        return Err(Fault::HandshakeFailed);
    }
    let now = Instant::now();
    let activity = Rc::new(Activity::new(now));
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW * STREAMS_MAX as u32)
        .max_header_list_size(HEAD_MAX)
        .max_send_buffer_size(SEND_BUFFER);
    let io = Io::new(socket, Buffer::default(), Rc::clone(&activity));
    let shaken = async {
        let (requests, mut connection) = builder.handshake::<_, Bytes>(io).await?;
        let mut pings = connection.ping_pong();
        hear(&mut connection, pings.as_mut()).await?;
        Ok::<_, h2::Error>((requests, connection, pings))
    };
    let (requests, connection, pings) = match timeout(until.saturating_duration_since(now), shaken).await {
        Ok(Ok(shaken)) => shaken,
        Ok(Err(error)) => {
            if let Some(fault) = error.get_io().and_then(|error| refused(endpoint, error)) {
                return Err(fault);
            }
            tell(endpoint, &error, told);
            return Err(if error.is_io() { Fault::ClosedEarly } else { Fault::BadResponse });
        }
        Err(_) => return Err(Fault::ConnectTimeout),
    };
    let (streams, uploaded, idle_since) = (Cell::new(0), Cell::new(0), Cell::new(now));
    let (is_told, is_over) = Default::default();
    let opened = Rc::new(Opened { requests, is_encrypted, streams, uploaded, is_told, is_over, idle_since, connected });
    let driven = Rc::downgrade(&opened);
    spawn_local(async move {
        let has_streams = || driven.upgrade().is_some_and(|opened| opened.streams.get() > 0);
        drive(connection, pings, &activity, has_streams).await;
        if let Some(opened) = driven.upgrade() {
            opened.is_over.set(true);
        }
    });
    Ok(opened)
}

/// Says that an endpoint does not speak HTTP/2, now and then: every request would have it said.
fn tell(endpoint: &Endpoint, error: &dyn Display, told: &Cell<Option<Instant>>) {
    let now = Instant::now();
    if told.get().is_none_or(|last| now.saturating_duration_since(last) >= TELL_AGAIN) {
        told.set(Some(now));
        tracing::warn!(
            "{} does not speak HTTP/2 ({error}): if it speaks HTTP/1 alone, take `http2 = true` out of its pool",
            endpoint.name()
        );
    }
}

/// Requests of one connection at once, where the endpoint takes as many.
const STREAMS_MAX: usize = 100;
/// Of the bodies that open streams of a connection have sent, from which on no other body goes there: half of the window that an endpoint
/// leaves to all of them at least (RFC 9113 §6.9.2).
const UPLOADED_MAX: usize = 32 * 1024;
/// Of one answer's body that its client has not taken. All streams together have as much each: one slow client stops no other.
const STREAM_WINDOW: u32 = 128 * 1024;
/// Of one request's body, with the library.
const SEND_BUFFER: usize = 64 * 1024;
/// Of an answer's head, in bytes.
const HEAD_MAX: u32 = 128 * 1024;
/// The next line about endpoints that do not speak HTTP/2.
const TELL_AGAIN: Duration = Duration::from_secs(10);
