//! How those who wait get places from those whose clients are slow.

use std::net::IpAddr;
use std::time::Instant;

use super::forecast::Kind;
use super::members::Members;
use super::pressure::Pressure;
use super::queue::Queue;
use crate::endpoint::EndpointId;

impl Queue {
    /// A client has kept a place with such a request that others waited for: what it has waiting like that lets others go first.
    pub(super) fn kept_by_client(&mut self, client: IpAddr, kind: Kind, now: Instant) {
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
        // Who waits while a place is free waits for another reason.
        let full = !members.any_free(self.slots.count, self.places.despite);
        let since = self.line.oldest_of(|waiter| waiter.only.map_or(full, |only| only == at))?;
        Some(Pressure::of(now.saturating_duration_since(since), self.slots.queue_timeout))
    }
}
