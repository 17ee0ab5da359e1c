//! The places of a pool with slots, and the idle connections that belong to them.
//!
//! Requests in flight at an endpoint and idle connections to it are never more than its slots, together: so whoever gets a
//! place without a connection may open one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::forecast::Running;
use super::grant::{Grant, KeptConnection};
use super::line::Waiter;
use crate::endpoint::{Endpoint, EndpointId};
use crate::pick::Turn;
use crate::pool::cursors::Cursors;
use crate::pool::members::Members;

/// What is free and what comes with it.
#[derive(Debug)]
pub(in crate::pool) struct Places {
    /// At each endpoint.
    pub(in crate::pool) slots: usize,
    kept: HashMap<EndpointId, Vec<KeptConnection>>,
    pub(in crate::pool) rng: SmallRng,
    /// Whether verdicts on endpoints are ignored at this moment.
    pub(in crate::pool) despite: bool,
}

impl Places {
    pub(in crate::pool) fn new(slots: usize) -> Self {
        Self { slots, kept: HashMap::new(), rng: SmallRng::from_rng(&mut rand::rng()), despite: false }
    }

    /// Takes a free place for a waiter who is not served at `tried`, with the connection that belongs to it.
    pub(super) fn take(
        &mut self,
        members: &Members,
        cursors: &Cursors,
        waiter: &Waiter,
        tried: &[EndpointId],
        now: Instant,
    ) -> Option<Grant> {
        let (slots, despite) = (self.slots, self.despite);
        // At once, the endpoint would refuse it again; a moment later it may be another's place, or gone.
        let again = !tried.is_empty() && now.saturating_duration_since(waiter.since) >= AGAIN;
        let is_free = |endpoint: &Endpoint| endpoint.in_flight() < slots;
        let only = waiter.only.filter(|id| !tried.contains(id)).and_then(|id| members.get(id));
        let in_flight = match only.filter(|only| only.accepts() && (despite || !only.is_out())) {
            Some(only) if is_free(only) => only.claim_for(waiter.routing.client),
            Some(_) => None,
            None => {
                let cursor = if tried.is_empty() { &cursors.first } else { &cursors.retry };
                let mut turn = Turn { cursor, key: waiter.routing.key, rng: &mut self.rng };
                // An endpoint may begin to drain between the pick and the claim, or another request be the one on
                // probation; then it is not picked again.
                (0..=members.len()).find_map(|_| {
                    members.pick_free(&mut turn, tried, (slots, again, despite))?.claim_for(waiter.routing.client)
                })
            }
        }?;
        let kept = self.kept.get_mut(&in_flight.endpoint().id()).and_then(Vec::pop);
        Some(Grant { in_flight, kept, running: Some(Running::new(waiter.kind, waiter.lane, now)) })
    }

    /// Takes a free place at one endpoint for somebody who is no request.
    pub(in crate::pool) fn reserve(&mut self, endpoint: &Arc<Endpoint>) -> Option<Grant> {
        let in_flight = (endpoint.in_flight() < self.slots).then(|| endpoint.reserve())??;
        let kept = self.kept.get_mut(&endpoint.id()).and_then(Vec::pop);
        Some(Grant { in_flight, kept, running: None })
    }

    /// A place comes back.
    pub(in crate::pool) fn put_back(&mut self, grant: Grant) {
        let Grant { in_flight, kept, running: _ } = grant;
        let endpoint = in_flight.endpoint();
        if let Some(kept) = kept {
            let idle = self.kept.entry(endpoint.id()).or_default();
            // With fewer slots than there were, this one may be one too many.
            if endpoint.accepts() && endpoint.in_flight() + idle.len() <= self.slots {
                idle.push(kept);
            }
        }
    }

    /// Takes out connections that are too old, closed, too many, or of an endpoint that serves no more.
    pub(in crate::pool) fn take_stale(&mut self, members: &Members, now: Instant) -> Vec<KeptConnection> {
        let (mut stale, slots) = (Vec::new(), self.slots);
        self.kept.retain(|&id, idle| {
            let Some(endpoint) = members.get(id).filter(|endpoint| endpoint.accepts()) else {
                stale.append(idle);
                return false;
            };
            let room = slots.saturating_sub(endpoint.in_flight());
            stale.extend(idle.drain(room.min(idle.len())..));
            stale.extend(idle.extract_if(.., |kept| !kept.is_open(endpoint, now) || kept.idle(now) >= kept.limit));
            !idle.is_empty()
        });
        stale
    }
}

/// How long a request waits before it goes to an endpoint once more that has failed it, when there is no other.
pub(super) const AGAIN: Duration = Duration::from_millis(100);
