//! What an endpoint is told of its connections, and what it tells whoever keeps them. Decides nothing, which is `serial`'s; called by
//! `forward`. Never closes a connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Endpoint;
use super::serial::{ON_TRIAL, RESTED, RESTED_MAX, SERIAL};

/// A connection on which the endpoint has answered and which it would read again, until this is dropped: before it is closed.
#[derive(Debug)]
pub struct Answered {
    endpoint: Arc<Endpoint>,
    let_go: bool,
}

impl Answered {
    /// The first answer on a connection, and whether that shows, now, that the endpoint serves one connection at a time.
    pub fn first(endpoint: &Arc<Endpoint>, now: Instant) -> (Self, bool) {
        let shows = endpoint.serial.answered(now);
        (Self { endpoint: Arc::clone(endpoint), let_go: false }, shows)
    }

    /// It was idle, and is closed to see what comes of it.
    pub fn let_go(&mut self) {
        self.let_go = true;
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.endpoint.serial.closed(self.let_go.then(Instant::now));
    }
}

impl Endpoint {
    /// A request has waited for long on a new connection, without a byte of an answer; whether idle ones are to be closed for it, because
    /// it may serve one connection at a time. Told once, until that is known.
    pub fn keeps_waiting(&self, now: Instant) -> bool {
        self.serial.keeps_waiting(now, rand::random_range(RESTED..RESTED_MAX))
    }

    /// Whether no connection to it is to be kept, because others wait for it to be closed.
    pub fn keeps_none(&self) -> bool {
        self.serial.is(SERIAL)
    }

    /// Whether no idle connection to it is to be used, because it is to be closed.
    pub fn uses_none(&self) -> bool {
        self.serial.is(ON_TRIAL | SERIAL)
    }

    /// Whether a connection to it that has been idle for so long is to be closed, to see what comes of it; not yet while `None`.
    pub fn lets_go(&self, idle: Duration, now: Instant) -> Option<bool> {
        self.serial.lets_go(idle, now)
    }
}
