//! The part of a pool that has slots: its queue, under its lock.

use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::Instant;

use super::members::Members;
use super::queue::Queue;
use super::queue::ask::{Ask, Claimed, Figures, Reason, Refused};
use super::queue::forecast::{Kind, Running};
use super::queue::grant::{Grant, Left};
use super::queue::held_up::HeldUp;
use super::queue::lasting::Crowding;
use super::queue::learned::Learned;
use super::queue::pressure::Pressure;
use super::{Place, Pool, Waiting};
use crate::config;
use crate::endpoint::{Endpoint, EndpointId};
use crate::net::Client;

/// What [`Pool::claim_slot`] gives.
#[derive(Debug)]
pub enum SlotClaim {
    /// A place, at once.
    Place(Place),
    /// A turn in the queue.
    Wait(Waiting),
    /// Neither.
    Refused(Refused),
}

/// A slot in which somebody other than a request talks to the endpoint; dropping it gives it back.
#[derive(Debug)]
pub struct Reservation {
    pool: Arc<Pool>,
    grant: Option<Grant>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.locked(|queue, members, wake| {
            if let Some(grant) = self.grant.take() {
                queue.places.put_back(grant);
            }
            queue.dispatch(members, &self.pool.cursors, Instant::now(), wake);
        });
    }
}

impl Pool {
    /// Takes a free slot of an endpoint and closes the idle connection that belongs to it: an endpoint that serves one
    /// connection at a time would answer no other. `None` where every slot is in use, or there are none.
    pub fn reserve(self: &Arc<Self>, endpoint: &Arc<Endpoint>) -> Option<Reservation> {
        let grant = self.locked(|queue, _, _| queue.places.reserve(endpoint))??;
        let Grant { in_flight, kept, running } = grant;
        // Closed here, outside of the lock.
        drop(kept);
        Some(Reservation { pool: Arc::clone(self), grant: Some(Grant { in_flight, kept: None, running }) })
    }

    /// Whether requests at an endpoint are counted and the others queued; then places are had from
    /// [`Self::claim_slot`].
    pub fn has_slots(&self) -> bool {
        self.queue.is_some()
    }

    /// Takes a place at an endpoint with a free slot, or a turn in the queue. A pool without slots refuses.
    pub fn claim_slot(self: &Arc<Self>, ask: &Ask<'_>) -> SlotClaim {
        let now = Instant::now();
        let claimed = self.locked(|queue, members, wake| {
            let tagged = |tag| members.tagged(tag, self.affinity.as_ref()?, ask.tried);
            let only = ask.routing.affinity.and_then(tagged).map(|endpoint| endpoint.id());
            queue.claim((members, &self.cursors), ask, only, now, wake)
        });
        match claimed {
            Some(Claimed::Place(grant, turn)) => SlotClaim::Place(Place::slot(self, grant, turn)),
            Some(Claimed::Turn(turn, timeout, patience)) => {
                SlotClaim::Wait(Waiting::new(self, turn, now, timeout, patience))
            }
            Some(Claimed::Refused(refused)) => SlotClaim::Refused(refused),
            None => SlotClaim::Refused(Refused { reason: Reason::QueueFull, retry_after: 1 }),
        }
    }

    /// Says that endpoints may be available that were not: those who wait have a look.
    pub fn available_changed(&self) {
        self.arrivals.tell();
        self.locked(|queue, members, wake| queue.dispatch(members, &self.cursors, Instant::now(), wake));
    }

    /// Goes on with other slots and another queue; those who wait stay, and take part in what there is more.
    pub fn configure_slots(&self, slots: config::Slots) {
        self.locked(|queue, _, _| queue.configure(slots));
        self.tend(Instant::now());
    }

    /// Slots are no more: those who wait go on, as those who come do not wait.
    pub fn open_slots(&self) {
        self.locked(|queue, _, _| queue.open());
        self.tend(Instant::now());
    }

    /// Closes idle connections that nobody should use any more, and looks after those who wait.
    pub fn tend(&self, now: Instant) {
        let stale = self.locked(|queue, members, wake| {
            queue.dispatch(members, &self.cursors, now, wake);
            queue.places.take_stale(members, now)
        });
        // Closed here, outside of the lock.
        drop(stale);
    }

    /// Queue and slots at this moment; `None` without slots.
    pub fn figures(&self) -> Option<Figures> {
        self.locked(|queue, members, _| queue.figures(members, Instant::now()))
    }

    pub(super) fn kept_by_client(&self, client: Client, kind: Kind) {
        self.locked(|queue, _, _| queue.kept_by_client(client, kind, Instant::now()));
    }

    pub(super) fn pressure(
        &self,
        at: EndpointId,
        held_up: Option<(Running, HeldUp)>,
        now: Instant,
    ) -> Option<Pressure> {
        let pressure = |queue: &mut Queue, members: &Members, _: &mut Vec<Waker>| {
            if let Some((running, held_up)) = held_up {
                queue.forecast.hold_up(running, held_up);
            }
            queue.pressure(members, at, now)
        };
        self.locked(pressure).flatten()
    }

    pub(super) fn goes_on(&self, running: Running, held_up: HeldUp) {
        self.locked(|queue, _, _| queue.forecast.hold_up(running, held_up));
    }

    pub(super) fn lasts(&self, turn: u64, client: Option<Client>) {
        self.locked(|queue, _, _| queue.lasting.enter(turn, client));
    }

    pub(super) fn has_to_go(&self, turn: u64, at: EndpointId, now: Instant) -> Option<Crowding> {
        self.locked(|queue, members, _| queue.has_to_go(members, (turn, at), now)).flatten()
    }

    /// What has been learned of its requests, if anything has been.
    pub fn learned(&self) -> Option<Learned> {
        self.locked(|queue, _, _| queue.forecast.learned(Instant::now())).flatten()
    }

    /// Goes on from what was learned before, unless something is known already.
    pub fn remember(&self, learned: &Learned) {
        self.locked(|queue, _, _| queue.forecast.remember(learned, Instant::now()));
    }

    pub(super) fn release(&self, grant: Grant, left: &Left) {
        self.locked(|queue, members, wake| {
            let now = Instant::now();
            queue.finish(grant, left, now);
            queue.dispatch(members, &self.cursors, now, wake);
        });
    }

    pub(super) fn answer(&self, turn: u64, waker: &Waker) -> Option<Result<Grant, Refused>> {
        self.locked(|queue, _, _| queue.answer(turn, waker)).flatten()
    }

    pub(super) fn timed_out(&self) -> Refused {
        let refused = self.locked(|queue, members, _| queue.refused(Reason::QueueTimeout, members));
        refused.unwrap_or(Refused { reason: Reason::QueueTimeout, retry_after: 1 })
    }

    pub(super) fn leave(&self, turn: u64) {
        self.locked(|queue, members, wake| {
            queue.leave(turn);
            queue.dispatch(members, &self.cursors, Instant::now(), wake);
        });
    }

    /// Does something with the queue under its lock, and wakes whoever got something once it is free again.
    fn locked<T>(&self, act: impl FnOnce(&mut Queue, &Members, &mut Vec<Waker>) -> T) -> Option<T> {
        let mut wake = Vec::new();
        let done = {
            let mut queue = self.queue.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
            let members = self.members.load();
            // Counted only where one is out, or was.
            queue.places.despite = (self.panic.holds() || members.any_out()) && self.panic.is_due(&self.name, &members);
            act(&mut queue, &members, &mut wake)
        };
        wake.into_iter().for_each(Waker::wake);
        Some(done)
    }
}
