//! A place as it goes from one request to the next, with the connection that belongs to it. Decides whether that connection can still be
//! used; passed on by `queue`. Never asks who waits.

use std::time::{Duration, Instant};

use super::forecast::Running;
use super::held_up::HeldUp;
use crate::endpoint::{Connected, Endpoint, InFlight};
use crate::net::Socket;

/// What a request that leaves its place has to tell.
#[derive(Debug)]
pub(in crate::pool) struct Left {
    pub(in crate::pool) turn: u64,
    pub(in crate::pool) whole: bool,
    pub(in crate::pool) held_up: HeldUp,
    pub(in crate::pool) lasting: bool,
}

/// What goes from one request to the next: the place itself with its connection.
#[derive(Debug)]
pub(in crate::pool) struct Grant {
    pub(in crate::pool) in_flight: InFlight,
    pub(in crate::pool) kept: Option<KeptConnection>,
    /// The request that has it; `None` for somebody who is none.
    pub(in crate::pool) running: Option<Running>,
}

/// An idle connection to an endpoint. The runtime of the thread that used it may still know it; whoever gets the place on another
/// thread takes it to that.
#[derive(Debug)]
pub(in crate::pool) struct KeptConnection {
    pub(in crate::pool) socket: Socket,
    pub(in crate::pool) connected: Connected,
    pub(in crate::pool) since: Instant,
    /// How long it may be idle.
    pub(in crate::pool) limit: Duration,
}

impl KeptConnection {
    /// Whether the endpoint has neither closed it nor said something nobody asked for; if not, that is learned. One system
    /// call.
    pub(in crate::pool) fn is_open(&self, endpoint: &Endpoint, now: Instant) -> bool {
        let open = self.socket.is_silent();
        match open {
            true => endpoint.idle_time().survived(self.idle(now)),
            false => _ = endpoint.idle_time().closed_after(self.idle(now), now),
        }
        open
    }

    /// For how long it has been idle.
    pub(in crate::pool) fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}
