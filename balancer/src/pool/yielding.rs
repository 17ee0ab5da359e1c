//! How those who wait get places from those whose clients are slow.

use std::time::Instant;

use super::forecast::Kind;
use super::line::Waiter;
use super::members::Members;
use super::pressure::Pressure;
use super::queue::Queue;
use crate::endpoint::EndpointId;
use crate::net::Client;

impl Queue {
    /// A client has kept a place with such a request that others waited for: what it has waiting like that lets others go first.
    pub(super) fn kept_by_client(&mut self, client: Client, kind: Kind, now: Instant) {
        self.kept.note(client, kind, now);
        if self.slots.slow_lane {
            self.line.slow_down(client, kind);
        }
    }

    /// How those press who would have the place at an endpoint that somebody keeps; `None` where there is nobody.
    pub(super) fn pressure(&self, members: &Members, at: EndpointId, now: Instant) -> Option<Pressure> {
        if self.line.is_empty() {
            return None;
        }
        // Who waits while a place is free that it may have waits for another reason.
        let is_any_free = |tried: &[EndpointId]| members.is_any_free_for(tried, self.slots.count, self.places.despite);
        let full = !is_any_free(&[]);
        let would_have_it = |waiter: &Waiter| match waiter.only {
            Some(only) => only == at,
            None if waiter.tried.is_empty() => full,
            None => !waiter.tried.contains(&at) && !is_any_free(&waiter.tried),
        };
        let since = self.line.oldest_of(would_have_it)?;
        Some(Pressure::of(now.saturating_duration_since(since), self.slots.queue_timeout))
    }
}
