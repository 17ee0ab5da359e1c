//! Requests that wait for the first endpoint of a pool where nobody takes requests: all workers start, or the only one is being
//! replaced.
//!
//! Decides how many may wait. Called by `forward` where no endpoint was to be had. Never picks one: whoever waits asks again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::net::{Crowd, Whose};

/// Those of one pool, whatever its configuration.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    waiting: Mutex<Crowd>,
    came: Notify,
}

/// One that waits.
#[derive(Debug)]
pub struct Expecting {
    arrivals: Arc<Arrivals>,
    until: Instant,
    whose: Whose,
}

impl Arrivals {
    /// One more of that client waits, until then; nothing where `most` do already, or half of as many are that client's.
    pub(super) fn expect(self: &Arc<Self>, whose: Whose, most: usize, until: Instant) -> Option<Expecting> {
        let may = self.crowd().enter(whose, most);
        may.then(|| Expecting { arrivals: Arc::clone(self), until, whose })
    }

    /// Members have changed, or one is back.
    pub(super) fn tell(&self) {
        self.came.notify_waiters();
    }

    /// Told of every change of the members.
    pub(super) fn changes(&self) -> &Notify {
        &self.came
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.crowd().len()
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expecting {
    /// When it ends.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Completes when it is worth asking again; counts from the call on, before it is polled.
    pub fn came(&self) -> Notified<'_> {
        self.arrivals.came.notified()
    }
}

impl Drop for Expecting {
    fn drop(&mut self) {
        self.arrivals.crowd().leave(self.whose);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_wait_than_may_and_who_goes_makes_room() {
        let (arrivals, now) = (Arc::new(Arrivals::default()), Instant::now());
        let first = arrivals.expect(None, 1, now).unwrap();
        assert!(arrivals.expect(None, 1, now).is_none());
        assert_eq!(arrivals.waiting(), 1);
        drop(first);
        assert!(arrivals.expect(None, 1, now).is_some());
        assert_eq!(arrivals.waiting(), 0);
    }
}
