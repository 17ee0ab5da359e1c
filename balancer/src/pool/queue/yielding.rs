//! How those who wait get places from those whose clients are slow.

use std::time::Instant;

use super::Queue;
use super::forecast::Kind;
use super::lane::Lane;
use super::lasting::Crowding;
use super::line::Waiter;
use super::pressure::Pressure;
use crate::endpoint::EndpointId;
use crate::net::Client;
use crate::pool::members::Members;

impl Queue {
    /// A client has kept a place with such a request that others waited for: what it has waiting like that lets others go first.
    pub(in crate::pool) fn kept_by_client(&mut self, client: Client, kind: Kind, now: Instant) {
        self.keepers.note(client, kind, now);
        if self.slots.slow_lane {
            let Self { line, keepers, .. } = self;
            line.hold_back(client, |kind, streams| keepers.may_be(Some(client), (kind, streams), now));
        }
    }

    /// How those press who would have the place at an endpoint that somebody keeps; `None` where there is nobody.
    pub(in crate::pool) fn pressure(&self, members: &Members, at: EndpointId, now: Instant) -> Option<Pressure> {
        let since = self.pressed_since(members, at)?;
        Some(Pressure::of(now.saturating_duration_since(since), self.slots.queue_timeout))
    }

    /// Whether a tunnel or an event stream at an endpoint has to make room for those who have waited for a while.
    pub(in crate::pool) fn has_to_go(
        &self,
        members: &Members,
        (turn, at): (u64, EndpointId),
        now: Instant,
    ) -> Option<Crowding> {
        let since = self.pressed_since(members, at)?;
        let long = self.slots.queue_timeout / PATIENCE;
        let places = || self.all_places(members);
        let waits = now.saturating_duration_since(since) >= long;
        waits.then(|| self.lasting.has_to_go(turn, places())).flatten()
    }

    /// Since when the first has waited who would have the place at that endpoint.
    fn pressed_since(&self, members: &Members, at: EndpointId) -> Option<Instant> {
        if self.line.is_empty() {
            return None;
        }
        // Who waits while a place is free that it may have waits for another reason.
        let is_any_free = |tried: &[EndpointId]| members.is_any_free_for(tried, self.slots.count, self.places.despite);
        let full = !is_any_free(&[]);
        // Those whose clients have kept places would hardly get this one, and might keep it again.
        let would_have_it = |waiter: &Waiter| match waiter.only {
            _ if waiter.lane == Lane::Kept => false,
            Some(only) => only == at,
            None if waiter.tried.is_empty() => full,
            None => !waiter.tried.contains(&at) && !is_any_free(&waiter.tried),
        };
        self.line.oldest_of(would_have_it)
    }
}

/// Others have waited for one in so many parts of `queue_timeout` before what may last for hours makes room for them.
const PATIENCE: u32 = 4;
