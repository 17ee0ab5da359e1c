//! The one queue of a pool with slots.
//!
//! Decides who gets a place that is free, who waits, and who is refused. Called by [`super::Pool`] with the members of the
//! moment, under one lock that is held for a few instructions. Never waits and never wakes: it says whom to wake.

pub(super) mod ask;
pub(super) mod forecast;
pub(super) mod grant;
pub(super) mod held_up;
mod keepers;
mod lane;
pub(super) mod lasting;
pub(super) mod learned;
mod line;
mod overload;
mod places;
pub(super) mod pressure;
mod refusal;
mod yielding;

use std::collections::HashMap;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::cursors::Cursors;
use super::members::Members;
use crate::config::{Shed, Slots};
use crate::endpoint::EndpointId;
use crate::net::Client;
use ask::{Ask, Claimed, Refused};
use forecast::{Forecast, Kind, Running};
use grant::{Grant, Left};
use keepers::Keepers;
use lane::{Lane, Lanes, Patience, next};
use lasting::LastingRequests;
use line::{Line, Waiter};
use overload::Overload;
use places::{AGAIN, Places};

/// Who waits, for what, and what has been given.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) slots: Slots,
    line: Line,
    pub(super) places: Places,
    pub(super) forecast: Forecast,
    keepers: Keepers,
    pub(super) lasting: LastingRequests,
    /// Answers to those who waited, until they come for them.
    answers: HashMap<u64, Result<Grant, Refused>>,
    /// Of each lane.
    overload: [Overload; 3],
    /// When the last request came that is of no client which has kept places.
    others_at: Option<Instant>,
    next_turn: u64,
}

impl Queue {
    pub(super) fn new(slots: Slots, now: Instant) -> Self {
        Self {
            line: Line::default(),
            places: Places::new(slots.count),
            forecast: Forecast::new(now),
            keepers: Keepers::default(),
            lasting: LastingRequests::default(),
            answers: HashMap::new(),
            overload: Default::default(),
            others_at: None,
            next_turn: 1,
            slots,
        }
    }

    /// Goes on with other settings; those who wait stay.
    pub(super) fn configure(&mut self, slots: Slots) {
        self.places.slots = slots.count;
        self.slots = slots;
    }

    /// Has room for all who wait.
    pub(super) fn open(&mut self) {
        self.configure(Slots { count: OPEN, slow_lane: false, ..self.slots.clone() });
    }

    /// A place, a turn or a refusal. `only` is the endpoint that the client's affinity asks for.
    pub(super) fn claim(
        &mut self,
        (members, cursors): (&Members, &Cursors),
        ask: &Ask<'_>,
        only: Option<EndpointId>,
        now: Instant,
        wake: &mut Vec<Waker>,
    ) -> Claimed {
        let streams = ask.streams;
        let (lane, patience) = self.lane_of((ask.kind, streams, ask.client), members, now);
        if lane != Lane::Kept {
            self.others_at = Some(now);
        }
        let (since, routing, client, tried) = (now, ask.routing, ask.client, Vec::new());
        let mut waiter = Waiter { since, routing, only, tried, client, kind: ask.kind, streams, lane, waker: None };
        // With the line served as far as it goes, what is left is of no use to anybody in it: all have tried it, or their
        // affinity asks for another, or the slow ones leave it to fast ones.
        if ask.turn == 0 && !self.line.is_empty() {
            self.dispatch(members, cursors, now, wake);
        }
        if (ask.turn == 0 || self.line.is_empty())
            && self.may_go(members, (ask.kind, lane, patience), now)
            && let Some(grant) = self.places.take(members, cursors, &waiter, ask.tried, now)
        {
            self.begin(&grant);
            return Claimed::Place(grant, self.turn_of(ask));
        }
        if ask.turn == 0
            && let Some(refused) = self.refusal(members, &waiter, now, wake)
        {
            return Claimed::Refused(refused);
        }
        waiter.tried = ask.tried.to_vec();
        let turn = self.turn_of(ask);
        self.line.enter(turn, waiter);
        self.dispatch(members, cursors, now, wake);
        match self.answers.remove(&turn) {
            Some(Ok(grant)) => Claimed::Place(grant, turn),
            Some(Err(refused)) => Claimed::Refused(refused),
            None => {
                let again = (!ask.tried.is_empty()).then_some(AGAIN);
                let reserve = (lane != Lane::Fast).then_some(patience.reserve);
                let look = [again, reserve].into_iter().flatten().min();
                Claimed::Turn(turn, self.slots.queue_timeout, look)
            }
        }
    }

    /// Hands out places as long as there is one free for somebody who may have it.
    pub(super) fn dispatch(&mut self, members: &Members, cursors: &Cursors, now: Instant, wake: &mut Vec<Waker>) {
        while !self.line.is_empty() && members.any_free(self.slots.count, self.places.despite) {
            let mut lanes = self.lanes(members, now);
            // Those of a lane may all have tried what is free; then it is another's turn, if it has one by itself.
            loop {
                let Some(lane) = next(&lanes) else { return };
                if self.hand_over(lane, (members, cursors), now, wake) {
                    break;
                }
                lanes = lanes.without(lane);
            }
        }
        self.calm_down();
    }

    /// The answer for a turn, if there is one; if not, `waker` is who to wake for it.
    pub(super) fn answer(&mut self, turn: u64, waker: &Waker) -> Option<Result<Grant, Refused>> {
        let answer = self.answers.remove(&turn);
        if answer.is_none() {
            self.line.set_waker(turn, waker);
        }
        answer
    }

    /// A turn is given up; what it was given meanwhile comes back.
    pub(super) fn leave(&mut self, turn: u64) {
        self.line.leave(turn);
        if let Some(Ok(grant)) = self.answers.remove(&turn) {
            self.put_back(grant);
        }
        self.calm_down();
    }

    /// A request has left its place. Of a tunnel or an event stream nothing is learned: it lasts as long as its client likes.
    pub(super) fn finish(&mut self, grant: Grant, left: &Left, now: Instant) {
        if left.lasting {
            self.lasting.leave(left.turn);
        } else if let Some(Running { kind, begun, .. }) = grant.running {
            let service = now.saturating_duration_since(begun).saturating_sub(left.held_up.total(now));
            self.forecast.learn(kind, service, left.whole, now);
        }
        self.put_back(grant);
    }

    /// Places there are, free or not.
    pub(super) fn all_places(&self, members: &Members) -> usize {
        members.places(self.slots.count, self.places.despite)
    }

    fn turn_of(&mut self, ask: &Ask<'_>) -> u64 {
        let is_new = ask.turn == 0;
        self.next_turn += u64::from(is_new);
        if is_new { self.next_turn - 1 } else { ask.turn }
    }

    fn begin(&mut self, grant: &Grant) {
        if let Some(running) = grant.running {
            self.forecast.begin(running);
        }
    }

    fn put_back(&mut self, grant: Grant) {
        if let Some(running) = grant.running {
            self.forecast.end(running);
        }
        self.places.put_back(grant);
    }

    /// Where such a request waits, as far as is known by now of its kind and of its client, and with what patience.
    fn lane_of(
        &self,
        (kind, streams, client): (Kind, bool, Option<Client>),
        members: &Members,
        now: Instant,
    ) -> (Lane, Patience) {
        if !self.slots.slow_lane {
            return (Lane::Fast, Patience::NONE);
        }
        // Nobody is told to wait for what is not known to be slow where nobody may wait.
        let (may_wait, timeout) = (self.slots.queue_max > 0, self.slots.queue_timeout);
        let places = || if may_wait { self.all_places(members) } else { usize::MAX };
        if may_wait && self.keepers.may_be(client, (kind, streams), now) {
            return (Lane::Kept, Patience::of_slow_clients(timeout));
        }
        let patience = self.forecast.slow(kind, places, now).map(|expected| Patience::new(expected, timeout));
        let patience = patience.or_else(|| streams.then(|| Patience::streaming(timeout)));
        patience.map_or((Lane::Fast, Patience::NONE), |patience| (Lane::Slow, patience))
    }

    /// Whether a request that has just come leaves enough to others.
    fn may_go(&self, members: &Members, (kind, lane, patience): (Kind, Lane, Patience), now: Instant) -> bool {
        if lane == Lane::Fast {
            return true;
        }
        let (places, slow_in_flight) = (self.all_places(members), self.forecast.slow_running(kind, now));
        let slow = (lane == Lane::Slow).then_some((Duration::ZERO, patience));
        let kept = (lane == Lane::Kept).then(|| (Duration::ZERO, patience, self.forecast.kept_running(kind)));
        next(&Lanes { places, slow_in_flight, fast: None, slow, kept, is_calm: self.is_calm(now) }).is_some()
    }

    /// Whether those who have kept places would keep nobody waiting, as far as one can know.
    fn is_calm(&self, now: Instant) -> bool {
        self.others_at.is_none_or(|at| now.saturating_duration_since(at) >= CALM)
    }

    fn lanes(&self, members: &Members, now: Instant) -> Lanes {
        let waited = |since: Instant| now.saturating_duration_since(since);
        let [fast, slow, kept] = [Lane::Fast, Lane::Slow, Lane::Kept].map(|lane| self.line.first(lane));
        // More is known than when they came; perhaps that one is fast after all.
        let patience = |first: &Waiter| self.lane_of((first.kind, first.streams, first.client), members, now).1;
        // Counting the members is only worth it where somebody may have to leave a place.
        let held_back = slow.or(kept);
        Lanes {
            places: held_back.map_or(0, |_| self.all_places(members)),
            slow_in_flight: held_back.map_or(0, |first| self.forecast.slow_running(first.kind, now)),
            fast: fast.map(|first| waited(first.since)),
            slow: slow.map(|first| (waited(first.since), patience(first))),
            kept: kept.map(|first| (waited(first.since), patience(first), self.forecast.kept_running(first.kind))),
            is_calm: self.is_calm(now),
        }
    }

    /// Gives a free place to the first of a lane who may have it; whether anybody may.
    fn hand_over(
        &mut self,
        lane: Lane,
        (members, cursors): (&Members, &Cursors),
        now: Instant,
        wake: &mut Vec<Waker>,
    ) -> bool {
        let newest_first = self.slots.shed == Shed::NewestFirst && self.overload.iter().any(Overload::is_standing);
        let places = &mut self.places;
        let take = |waiter: &Waiter| places.take(members, cursors, waiter, &waiter.tried, now);
        let Some((turn, waiter, grant)) = self.line.serve_first(lane, newest_first, take) else { return false };
        self.begin(&grant);
        self.answers.insert(turn, Ok(grant));
        wake.extend(waiter.waker);
        true
    }
}

/// Who asks once a second, as a probe does, is not kept waiting by those who have kept a place.
const CALM: Duration = Duration::from_secs(2);
/// Slots of an endpoint without slots: more than it can have requests.
const OPEN: usize = 1 << 30;

#[cfg(test)]
mod simulation;
