//! An endpoint that takes no more requests: for ever, or until an operator lets it. Decides when it is drained; called by whoever drains it.
//! Never cuts off what is in flight.

use std::sync::atomic::Ordering;

use super::Endpoint;
use crate::net::until;

impl Endpoint {
    /// From now on no request gets a place, for ever; those in flight go on.
    pub fn drain(&self) {
        self.close(DRAINING);
    }

    /// As [`Self::drain`], until [`Self::release`]: an operator wants it so.
    pub fn hold(&self) {
        self.close(HELD);
    }

    /// Ends [`Self::hold`].
    pub fn release(&self) {
        self.closed.fetch_and(!HELD, Ordering::SeqCst);
        self.drained.notify_waiters();
    }

    /// Whether it takes no request any more, for ever: what becomes of those that it has says nothing to anybody.
    pub(super) fn is_retired(&self) -> bool {
        self.closed.load(Ordering::SeqCst) & DRAINING != 0
    }

    /// Whether an operator holds it.
    pub fn is_held(&self) -> bool {
        self.closed.load(Ordering::SeqCst) & HELD != 0
    }

    fn close(&self, reason: u8) {
        self.closed.fetch_or(reason, Ordering::SeqCst);
        if self.in_flight() == 0 {
            self.drained.notify_waiters();
        }
    }

    /// Requests in flight that have become tunnels.
    pub fn tunnels(&self) -> usize {
        self.tunnels.load(Ordering::SeqCst)
    }

    /// Returns when the endpoint drains and nothing but tunnels is in flight.
    pub async fn drained_but_for_tunnels(&self) {
        self.until(|| !self.accepts() && self.in_flight() <= self.tunnels()).await;
    }

    /// Returns when the endpoint drains and nothing is in flight.
    pub async fn drained(&self) {
        self.until(|| !self.accepts() && self.in_flight() == 0).await;
    }

    /// Returns when nobody holds the endpoint any more, or nothing is in flight.
    pub async fn drained_or_released(&self) {
        self.until(|| !self.is_held() || self.in_flight() == 0).await;
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        until(&self.drained, || is_so().then_some(())).await;
    }

    /// Whether requests get a place.
    pub fn accepts(&self) -> bool {
        self.closed.load(Ordering::SeqCst) == 0
    }
}

/// It leaves, and does not come back.
const DRAINING: u8 = 1;
/// An operator has taken it out for a while.
const HELD: u8 = 2;
