//! Requests that wait for a worker where none takes requests, or where the only one is gone and its death has not been noticed yet.
//!
//! Decides whether a request waits. Called by `forward` where no endpoint was to be had, and after a refused connection. Never takes a
//! member out.

use std::time::{Duration, Instant};

use super::Pool;
use super::arrivals::Expecting;
use crate::endpoint::{Endpoint, EndpointId};
use crate::net::{Whose, timeout, until};

impl Pool {
    /// A request waits from now on for somebody who takes it; nothing where the pool does not wait, or too many
    /// do already, of all clients or of this one.
    pub fn expect(&self, whose: Whose, now: Instant) -> Option<Expecting> {
        let (time, most) = self.ready_wait;
        if time.is_zero() { None } else { self.arrivals.expect(whose, most, now + time) }
    }

    /// Requests that wait so.
    pub fn expecting(&self) -> usize {
        self.arrivals.waiting()
    }

    /// Whether a request that a worker's endpoint has refused waits for another worker: there is none besides those that were `tried`, and
    /// the pool waits where there is none at all (`ready_wait`).
    pub fn may_await_another(&self, endpoint: &Endpoint, tried: &[EndpointId]) -> bool {
        let waits = endpoint.is_of_worker() && !self.has_slots() && !self.ready_wait.0.is_zero();
        waits && !self.has_other_than(tried, endpoint.id())
    }

    /// Waits until an endpoint takes no more requests, or for so long that it still does.
    pub async fn until_gone(&self, id: EndpointId) {
        let takes = || self.members.load().endpoints().any(|one| one.id() == id && one.accepts());
        let gone = until(self.arrivals.changes(), || (!takes()).then_some(()));
        let _ = timeout(NOTICED_WITHIN, gone).await;
    }
}

/// A worker that has died is noticed by then, on a machine that is busy too.
const NOTICED_WITHIN: Duration = Duration::from_millis(500);
