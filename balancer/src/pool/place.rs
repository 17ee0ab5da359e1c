//! A request's place at an endpoint, and the connection that belongs to it.

use std::cell::Cell;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Pool;
use super::queue::forecast::Running;
use super::queue::grant::{Grant, KeptConnection, Left};
use super::queue::held_up::HeldUp;
use super::queue::lasting::Crowding;
use super::queue::pressure::Pressure;
use crate::endpoint::{Connected, Endpoint, InFlight, Noted};
use crate::net::{Client, Socket};

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
    /// Whether the endpoint has finished its answer.
    pub(super) whole: bool,
    pub(super) grant: Option<Grant>,
    /// For how long its client has held it up, and whether the queue knows of that.
    held_up: Cell<HeldUp>,
    told: Cell<bool>,
    /// Whether it is a tunnel's or an event stream's.
    lasting: Cell<bool>,
}

impl Place {
    pub(super) fn slot(pool: &Arc<Pool>, grant: Grant, turn: u64) -> Self {
        let (pool, endpoint) = (Arc::clone(pool), Arc::clone(grant.in_flight.endpoint()));
        let (held_up, told) = Default::default();
        let slot =
            Slot { pool, endpoint, turn, whole: false, grant: Some(grant), held_up, told, lasting: Cell::new(false) };
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

    /// The connection that comes with the place, if it can still be used and may carry the request, see
    /// [`IdleTime::may_carry`](crate::endpoint::IdleTime::may_carry); and for how long it has been idle. Without one, it is time
    /// to open one.
    pub fn check_out(&mut self, repeatable: bool, now: Instant) -> Option<(Socket, Connected, Duration)> {
        let Held::Slot(slot) = &mut self.0 else { return None };
        let kept = slot.grant.as_mut()?.kept.take()?;
        let (endpoint, idle) = (&slot.endpoint, kept.idle(now));
        let usable = kept.connected.is_current()
            && kept.is_open(endpoint, now)
            && endpoint.idle_time().may_carry(repeatable, idle, kept.limit);
        usable.then_some((kept.socket.to_this_thread()?, kept.connected, idle))
    }

    /// Leaves a connection to whoever gets the place next, for `keep_alive` at most.
    pub fn check_in(&mut self, (socket, connected): (Socket, Connected), keep_alive: Duration, now: Instant) {
        let limit = self.endpoint().idle_time().limit(keep_alive, now);
        if let Held::Slot(slot) = &mut self.0
            && let Some(grant) = &mut slot.grant
            && !limit.is_zero()
        {
            grant.kept = Some(KeptConnection { socket, connected, since: now, limit });
        }
    }

    /// The head of a good answer is there; see [`InFlight::answered`].
    pub fn answered(&mut self) {
        if let Some(in_flight) = self.in_flight() {
            in_flight.answered();
        }
    }

    /// The endpoint has finished its answer: how long that took is something to learn from.
    pub fn served(&mut self) {
        if let Held::Slot(slot) = &mut self.0 {
            slot.whole = true;
        }
        if let Some(in_flight) = self.in_flight() {
            in_flight.served();
        }
    }

    /// The request failed, and it is the endpoint's fault, or that of what was asked for.
    pub fn failed(&mut self, why: &dyn Display) {
        if let Some(in_flight) = self.in_flight() {
            in_flight.failed(why);
        }
    }

    /// The same, though no byte of it had reached the endpoint.
    pub fn failed_alone(&mut self, why: &dyn Display) {
        if let Some(in_flight) = self.in_flight() {
            in_flight.failed_alone(why);
        }
    }

    /// The same, because there was no connection to be had.
    pub fn unreachable(&mut self, why: &dyn Display) {
        if let Some(in_flight) = self.in_flight() {
            in_flight.unreachable(why);
        }
    }

    /// There was no connection to be had in time, be it for what its client has asked for already.
    pub fn unheard(&mut self, why: &dyn Display) {
        if let Some(in_flight) = self.in_flight() {
            in_flight.unheard(why);
        }
    }

    /// Puts the request down, where the endpoint is a worker's.
    pub fn note(&mut self, noted: impl FnOnce() -> Noted) {
        if let Some(in_flight) = self.in_flight() {
            in_flight.note(noted);
        }
    }

    /// The endpoint has closed the connection without an answer, or in the middle of one: it may be dying.
    pub fn cut(&mut self) {
        if let Some(in_flight) = self.in_flight() {
            in_flight.cut();
        }
    }

    /// The client was too slow for those who wait, or for anybody, and loses its place: for a while others come first. Of one that is
    /// not known to be a single client nothing is remembered.
    pub fn kept_by_client(&self, client: Option<Client>) {
        if let (Held::Slot(slot), Some(client)) = (&self.0, client)
            && let Some(running) = slot.running()
        {
            slot.pool.kept_by_client(client, running.kind);
        }
    }

    /// How others press who would have this place; `None` where nobody waits for it.
    pub fn pressure(&self, now: Instant) -> Option<Pressure> {
        let Held::Slot(slot) = &self.0 else { return None };
        let held_up = slot.held_up.get();
        slot.told.set(held_up.since.is_some());
        slot.pool.pressure(slot.endpoint.id(), slot.running().map(|running| (running, held_up)), now)
    }

    /// The endpoint waits for the client since then, or does not: that time says nothing of the request.
    pub fn held_up_since(&self, since: Option<Instant>) {
        let Held::Slot(slot) = &self.0 else { return };
        let mut held_up = slot.held_up.get();
        if since.is_none() && held_up.since.is_none() {
            return;
        }
        let begun = slot.running().map(|running| running.begun);
        held_up.set(since.map(|since| begun.map_or(since, |begun| since.max(begun))), Instant::now);
        slot.held_up.set(held_up);
        if since.is_none()
            && slot.told.take()
            && let Some(running) = slot.running()
        {
            slot.pool.goes_on(running, held_up);
        }
    }

    /// It is a tunnel's or an event stream's from now on, of that client.
    pub fn lasts(&self, client: Option<Client>) {
        if let Held::Slot(slot) = &self.0
            && !slot.lasting.replace(true)
        {
            slot.pool.lasts(slot.turn, client);
        }
    }

    /// Whether it is one of those.
    pub fn is_lasting(&self) -> bool {
        matches!(&self.0, Held::Slot(slot) if slot.lasting.get())
    }

    /// Whether it has to make room for others, of those that [`Self::lasts`] has named.
    pub fn has_to_go(&self, now: Instant) -> Option<Crowding> {
        match &self.0 {
            Held::Slot(slot) if slot.lasting.get() => slot.pool.has_to_go(slot.turn, slot.endpoint.id(), now),
            _ => None,
        }
    }

    /// The request's turn in the queue, for another attempt; 0 where there is no queue.
    pub fn turn(&self) -> u64 {
        match &self.0 {
            Held::Free(_) => 0,
            Held::Slot(slot) => slot.turn,
        }
    }

    fn in_flight(&mut self) -> Option<&mut InFlight> {
        match &mut self.0 {
            Held::Free(in_flight) => Some(in_flight),
            Held::Slot(slot) => slot.grant.as_mut().map(|grant| &mut grant.in_flight),
        }
    }
}

impl From<InFlight> for Place {
    fn from(in_flight: InFlight) -> Self {
        Self(Held::Free(in_flight))
    }
}

impl Slot {
    fn running(&self) -> Option<Running> {
        self.grant.as_ref().and_then(|grant| grant.running)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            let (turn, whole, lasting) = (self.turn, self.whole, self.lasting.get());
            self.pool.release(grant, &Left { turn, whole, held_up: self.held_up.get(), lasting });
        }
    }
}
