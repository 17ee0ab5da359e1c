//! A request's place at an endpoint, and the connection that belongs to it.

use std::sync::Arc;
use std::time::Instant;

use socket2::{SockRef, Socket};

use super::Pool;
use super::forecast::Kind;
use super::lane::Lane;
use crate::endpoint::{Endpoint, InFlight};

/// A place at an endpoint; dropping it gives it back, in a pool with slots to the first who waits.
#[derive(Debug)]
pub struct Place(Held);

#[derive(Debug)]
enum Held {
    Free(InFlight),
    Slot(Box<Slot>),
}

/// One of an endpoint's `slots`.
#[derive(Debug)]
pub(super) struct Slot {
    pool: Arc<Pool>,
    endpoint: Arc<Endpoint>,
    pub(super) turn: u64,
    pub(super) kind: Kind,
    pub(super) begun: Instant,
    /// Whether the endpoint has finished its answer.
    pub(super) whole: bool,
    pub(super) grant: Option<Grant>,
}

/// What goes from one request to the next: the place itself with its connection.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) in_flight: InFlight,
    pub(super) kept: Option<Kept>,
    pub(super) lane: Lane,
}

/// An idle connection to an endpoint. It belongs to no thread's runtime, so that whoever gets the place can have it.
#[derive(Debug)]
pub struct Kept {
    /// Connected, non-blocking.
    pub socket: Socket,
    /// When it is too old to be used again.
    pub until: Instant,
}

impl Place {
    pub(super) fn slot(pool: &Arc<Pool>, grant: Grant, turn: u64, kind: Kind, now: Instant) -> Self {
        let (pool, endpoint) = (Arc::clone(pool), Arc::clone(grant.in_flight.endpoint()));
        let slot = Slot { pool, endpoint, turn, kind, begun: now, whole: false, grant: Some(grant) };
        Self(Held::Slot(Box::new(slot)))
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        match &self.0 {
            Held::Free(in_flight) => in_flight.endpoint(),
            Held::Slot(slot) => &slot.endpoint,
        }
    }

    /// Whether upstream connections belong to places: then there are never more of them than places.
    pub fn owns_connection(&self) -> bool {
        matches!(self.0, Held::Slot(_))
    }

    /// The connection that comes with the place, if it can still be used. Without one, it is time to open one.
    pub fn check_out(&mut self, now: Instant) -> Option<Socket> {
        let Held::Slot(slot) = &mut self.0 else { return None };
        let kept = slot.grant.as_mut()?.kept.take()?;
        (now < kept.until && kept.is_open()).then_some(kept.socket)
    }

    /// Leaves a connection to whoever gets the place next.
    pub fn check_in(&mut self, kept: Kept) {
        if let Held::Slot(slot) = &mut self.0
            && let Some(grant) = &mut slot.grant
        {
            grant.kept = Some(kept);
        }
    }

    /// The endpoint has finished its answer: how long that took is something to learn from.
    pub fn finished(&mut self) {
        if let Held::Slot(slot) = &mut self.0 {
            slot.whole = true;
        }
    }

    /// The request's turn in the queue, for another attempt; 0 where there is no queue.
    pub fn turn(&self) -> u64 {
        match &self.0 {
            Held::Free(_) => 0,
            Held::Slot(slot) => slot.turn,
        }
    }
}

impl From<InFlight> for Place {
    fn from(in_flight: InFlight) -> Self {
        Self(Held::Free(in_flight))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            self.pool.release(grant, self.kind, self.begun, self.whole);
        }
    }
}

impl Kept {
    /// Whether the endpoint has neither closed it nor said something nobody asked for. One system call.
    pub(super) fn is_open(&self) -> bool {
        let peeked = SockRef::from(&self.socket).peek(&mut [std::mem::MaybeUninit::uninit()]);
        peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}
