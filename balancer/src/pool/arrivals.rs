//! Requests that wait for the first endpoint of a pool where nobody takes requests: all workers start, or the only one is being
//! replaced.
//!
//! Decides how many may wait. Called by `forward` where no endpoint was to be had. Never picks one: whoever waits asks again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Those of one pool, whatever its configuration.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    waiting: AtomicUsize,
    came: Notify,
}

/// One that waits.
#[derive(Debug)]
pub struct Expecting {
    arrivals: Arc<Arrivals>,
    until: Instant,
}

impl Arrivals {
    /// One more waits, until then; nothing where `most` do already.
    pub(super) fn expect(self: &Arc<Self>, most: usize, until: Instant) -> Option<Expecting> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        // Dropped, it is counted off again.
        Some(Expecting { arrivals: Arc::clone(self), until }).filter(|_| before < most)
    }

    /// Members have changed, or one is back.
    pub(super) fn tell(&self) {
        self.came.notify_waiters();
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
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
        self.arrivals.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_wait_than_may_and_who_goes_makes_room() {
        let (arrivals, now) = (Arc::new(Arrivals::default()), Instant::now());
        let first = arrivals.expect(1, now).unwrap();
        assert!(arrivals.expect(1, now).is_none());
        assert_eq!(arrivals.waiting(), 1);
        drop(first);
        assert!(arrivals.expect(1, now).is_some());
        assert_eq!(arrivals.waiting(), 0);
    }
}
