//! What a connection and its requests tell each other: who is busy, and who takes the connection.
//!
//! Decides when a connection is idle. Called by `connection` and `service`. Never touches the socket.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::faults::Raw;
use crate::worker::InFlight;

/// What takes a connection out of hyper's hands, and the request it does that for.
#[derive(Debug)]
pub(crate) enum Takeover {
    /// At once: RST.
    Reset,
    /// At once: these bytes, ours to the last.
    Raw(Raw, InFlight),
    /// The request did not come in time: 408.
    TimedOut,
    /// After the answer: close, but let the client finish sending first, lest an RST destroys the answer on its way.
    Linger,
    /// After the 101: every byte back.
    Echo(InFlight),
    /// After the 101: WebSocket messages back, with a ping each so often.
    WebSocket(Option<Duration>, InFlight),
}

impl Takeover {
    fn waits_for_hyper(&self) -> bool {
        !matches!(self, Takeover::Reset | Takeover::Raw(..))
    }
}

/// What a connection and its requests tell each other.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    state: Mutex<Inside>,
    /// A request has begun.
    begun: Notify,
}

#[derive(Debug)]
struct Inside {
    takeover: Option<Takeover>,
    requests: usize,
    /// Up to now.
    served: u64,
    idle_since: Instant,
}

impl ConnectionState {
    pub(crate) fn new() -> Arc<ConnectionState> {
        let inside = Inside { takeover: None, requests: 0, served: 0, idle_since: Instant::now() };
        Arc::new(ConnectionState { state: Mutex::new(inside), begun: Notify::new() })
    }

    /// What takes the connection, once.
    pub(crate) fn taken_over(&self) -> Option<Takeover> {
        self.lock().takeover.take()
    }

    pub(crate) fn take_over(&self, takeover: Takeover) {
        self.lock().takeover = Some(takeover);
    }

    /// Keeps the connection from being idle until the guard is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.lock().requests += 1;
        self.begun.notify_one();
        Busy(self.clone())
    }

    /// Whether it has brought no request yet.
    pub(crate) fn is_fresh(&self) -> bool {
        let state = self.lock();
        state.served == 0 && state.requests == 0
    }

    /// Returns when a request has begun.
    pub(crate) async fn first_request(&self) {
        self.begun.notified().await;
    }

    /// Requests up to now, those that are being served aside.
    pub(crate) fn served(&self) -> u64 {
        self.lock().served
    }

    /// When the connection has been idle for `limit`; in the past if that was reached.
    pub(crate) fn idle_at(&self, limit: Duration) -> Instant {
        let state = self.lock();
        let since = if state.requests == 0 { state.idle_since } else { Instant::now() };
        since + limit
    }

    /// Whether something takes the connection at once.
    pub(crate) fn seized(&self) -> bool {
        self.lock().takeover.as_ref().is_some_and(|takeover| !takeover.waits_for_hyper())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request its connection is busy with.
#[derive(Debug)]
pub(crate) struct Busy(Arc<ConnectionState>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.served += 1;
        state.requests -= 1;
        state.idle_since = Instant::now();
    }
}
