//! The claim of a place in a pool without slots.
//!
//! Decides who is asked when there are verdicts, tried endpoints and affinity to mind. Called by `forward` for every attempt. Never
//! waits.

use std::sync::Arc;

use rand::Rng;

use super::Pool;
use super::key::RoutingKey;
use super::members::Members;
use crate::endpoint::{Endpoint, EndpointId, InFlight};
use crate::pick::Turn;

impl Pool {
    /// Takes a place at an available endpoint that is none of `tried`; where there is none, at one that is ejected, which may
    /// work again; then at one of `tried`. `None` when no endpoint accepts requests. For a pool without slots; see
    /// [`Self::claim_slot`].
    pub fn claim(&self, routing: &RoutingKey, tried: &[EndpointId], rng: &mut impl Rng) -> Option<InFlight> {
        loop {
            let members = self.members.load();
            let place = self.claim_among(&members, routing, tried, rng);
            // Those that were members a moment ago may have made room for others.
            if place.is_some() || std::ptr::eq(&**members, &**self.members.load()) {
                return place;
            }
        }
    }

    fn claim_among(
        &self,
        members: &Members,
        routing: &RoutingKey,
        tried: &[EndpointId],
        rng: &mut impl Rng,
    ) -> Option<InFlight> {
        if let Some(place) = routing
            .affinity
            .and_then(|tag| members.tagged(tag, self.affinity.as_ref()?, tried)?.claim_for(routing.client))
        {
            return Some(place);
        }
        let cursor = if tried.is_empty() { &self.cursors.first } else { &self.cursors.retry };
        let mut turn = Turn { cursor, key: routing.key, rng };
        // An endpoint may begin to drain between the pick and the claim, or another request be the one on probation; then it
        // is not picked again.
        for _ in 0..=members.len() {
            let Some(endpoint) = self.pick(members, &mut turn, tried) else { break };
            if let Some(place) = endpoint.claim_for(routing.client) {
                return Some(place);
            }
        }
        let ejected =
            (0..members.len()).find_map(|_| members.pick_ejected(&mut turn, tried)?.claim_for(routing.client));
        if ejected.is_some() {
            return ejected;
        }
        if tried.is_empty() { None } else { self.claim_among(members, routing, &[], turn.rng) }
    }

    fn pick<'m, R: Rng>(
        &self,
        members: &'m Members,
        turn: &mut Turn<'_, R>,
        tried: &[EndpointId],
    ) -> Option<&'m Arc<Endpoint>> {
        // A retry goes first to who is available, however few they are: it is the last chance of its request.
        let is_retry = !tried.is_empty();
        let mut despite = !is_retry && self.panic.holds() && self.panic.is_due(&self.name, members);
        loop {
            let (picked, kept_out) = members.pick(turn, tried, despite);
            let is_final = despite || !kept_out || (is_retry && picked.is_some());
            if is_final || !self.panic.is_due(&self.name, members) {
                return picked;
            }
            despite = true;
        }
    }
}
