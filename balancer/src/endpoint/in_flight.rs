//! A request's place at an endpoint: taken, judged and given back.
//!
//! Decides whether an endpoint takes one more request ([`Endpoint::claim`]). Called by `pool`, and told by `forward` what became of the
//! request. Never chooses an endpoint.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Endpoint;
use super::health::{ClaimedAs, HealthEvent};
use super::ledger::Noted;
use crate::net::ClientKey;

/// A request's place at an endpoint; dropping it gives the place back.
///
/// Whoever has it says what became of the request, once: [`Self::served`] or [`Self::failed`]. Neither, and nothing is
/// learned of the endpoint.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
    claimed: ClaimedAs,
    judged: bool,
    /// Whose request it is.
    client: ClientKey,
    /// Where the request stands in the ledger.
    entry: Option<u8>,
}

impl Endpoint {
    /// Takes a place for a request of `client`, unless the endpoint drains. One that is out is not refused, for verdicts may have to be ignored; but
    /// of requests that meet the end of an ejection together one gets the place, and decides.
    ///
    /// Counts first and asks then (both sequentially consistent), so that whoever sees [`Self::drain`] done and nothing in
    /// flight knows that nothing will be.
    pub fn claim_for(self: &Arc<Self>, client: ClientKey) -> Option<InFlight> {
        let mut place = self.reserve()?;
        place.claimed = self.verdict.claim(client)?;
        place.client = client;
        place.judged = false;
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(ledger) = &self.ledger {
            ledger.count();
        }
        Some(place)
    }

    /// The same for a request of whose client nothing is known.
    pub fn claim(self: &Arc<Self>) -> Option<InFlight> {
        self.claim_for(ClientKey::default())
    }

    /// Counts somebody who is no request, and of whom nothing is learned; `None` when it does not accept.
    pub fn reserve(self: &Arc<Self>) -> Option<InFlight> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let (endpoint, claimed, client) = (Arc::clone(self), ClaimedAs::Ordinary, ClientKey::default());
        let place = InFlight { endpoint, claimed, judged: true, client, entry: None };
        self.accepts().then_some(place)
    }

    /// One of the requests in flight has become a tunnel, until the guard is dropped.
    pub fn begin_tunnel(self: &Arc<Self>) -> Tunnel {
        self.tunnels.fetch_add(1, Ordering::SeqCst);
        self.drained.notify_waiters();
        Tunnel(Arc::clone(self))
    }
}

impl InFlight {
    /// Where the place is.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The head of a good answer is there, which is all that a request on probation has to show: its body may take hours.
    pub fn answered(&mut self) {
        if self.claimed != ClaimedAs::Ordinary {
            self.served();
        }
    }

    /// The request was served to its end.
    pub fn served(&mut self) {
        if !std::mem::replace(&mut self.judged, true) {
            self.endpoint.verdict.served(&self.endpoint.name, self.claimed);
        }
    }

    /// The request failed, and it is the endpoint's fault, or that of what was asked for.
    pub fn failed(&mut self, why: &dyn Display) {
        if self.is_to_be_judged() {
            self.endpoint.verdict.failed(&self.endpoint.name, (self.claimed, self.client), why);
        }
    }

    /// The request failed, and no byte of it had reached the endpoint: it is the endpoint's fault.
    pub fn failed_alone(&mut self, why: &dyn Display) {
        if self.is_to_be_judged() {
            self.endpoint.verdict.failed_alone(&self.endpoint.name, self.claimed, why);
        }
    }

    fn is_to_be_judged(&mut self) -> bool {
        !std::mem::replace(&mut self.judged, true) && !self.endpoint.is_retired()
    }

    /// The same, because there was no connection to be had: where a name has led here, others are not sent until there is one.
    pub fn unreachable(&mut self, why: &dyn Display) {
        self.unconnected();
        self.failed_alone(why);
    }

    /// There was no connection to be had in time: one client's requests may wait for one in all the room that there is.
    pub fn unheard(&mut self, why: &dyn Display) {
        self.unconnected();
        self.failed(why);
    }

    fn unconnected(&self) {
        self.endpoint.reached(false);
        if let Some(found) = &self.endpoint.found {
            found.failed();
        }
    }

    /// Puts the request down, where the endpoint is a worker's.
    pub fn note(&mut self, noted: impl FnOnce() -> Noted) {
        if let Some(ledger) = &self.endpoint.ledger {
            self.entry = ledger.enter(noted());
        }
    }

    /// The endpoint has closed the connection without an answer, or in the middle of one: it may be dying.
    pub fn cut(&self) {
        if let (Some(ledger), Some(entry)) = (&self.endpoint.ledger, self.entry) {
            ledger.cut(entry);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let (Some(ledger), Some(entry)) = (&self.endpoint.ledger, self.entry) {
            ledger.leave(entry);
        }
        if !self.judged && self.claimed == ClaimedAs::OnProbation {
            self.endpoint.verdict.step(&self.endpoint.name, HealthEvent::Abandoned(self.claimed), &"");
        }
        let before = self.endpoint.in_flight.fetch_sub(1, Ordering::SeqCst);
        if before - 1 <= self.endpoint.tunnels() && !self.endpoint.accepts() {
            self.endpoint.drained.notify_waiters();
        }
    }
}

/// A tunnel at an endpoint.
#[derive(Debug)]
pub struct Tunnel(Arc<Endpoint>);

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::SeqCst);
    }
}
