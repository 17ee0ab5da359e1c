//! When waiting has become the rule: a queue that does not empty any more. Pure.
//!
//! A burst makes a queue that goes away by itself; nobody is refused for it. Overload makes one that stays, in which everybody
//! waits as long as the last one is allowed to. The idea of telling them apart by how long the wait has been standing is
//! that of CoDel (Nichols and Jacobson, "Controlling queue delay", 2012).

use std::time::{Duration, Instant};

/// Follows the wait of the first in a line.
#[derive(Debug, Default)]
pub(super) struct Overload {
    /// Since when the first has always waited longer than the target.
    above_since: Option<Instant>,
    standing: bool,
}

impl Overload {
    /// Looks at how long the first has waited; whether one more should be refused, for it would wait longer than `target`,
    /// and for `interval` everybody has.
    pub(in crate::pool) fn look(
        &mut self,
        first: Duration,
        target: Duration,
        interval: Duration,
        now: Instant,
    ) -> bool {
        if first <= target {
            self.above_since = None;
            return false;
        }
        let since = *self.above_since.get_or_insert(now);
        self.standing |= now.saturating_duration_since(since) >= interval;
        self.standing
    }

    /// Nobody waits.
    pub(super) fn emptied(&mut self) {
        *self = Self::default();
    }

    /// Whether the queue has not been empty since it was found to stand.
    pub(super) fn is_standing(&self) -> bool {
        self.standing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_no_overload() {
        let (mut overload, now) = (Overload::default(), Instant::now());
        assert!(!overload.look(3 * SECOND, 2 * SECOND, 5 * SECOND, now));
        assert!(!overload.look(4 * SECOND, 2 * SECOND, 5 * SECOND, now + 4 * SECOND));
        assert!(!overload.look(SECOND, 2 * SECOND, 5 * SECOND, now + 5 * SECOND));
        assert!(!overload.look(3 * SECOND, 2 * SECOND, 5 * SECOND, now + 6 * SECOND), "counted anew");
        assert!(!overload.is_standing());
    }

    #[test]
    fn a_wait_that_stays_is_overload_until_the_queue_is_empty() {
        let (mut overload, now) = (Overload::default(), Instant::now());
        assert!(!overload.look(3 * SECOND, 2 * SECOND, 5 * SECOND, now));
        assert!(overload.look(3 * SECOND, 2 * SECOND, 5 * SECOND, now + 5 * SECOND));
        assert!(!overload.look(SECOND, 2 * SECOND, 5 * SECOND, now + 6 * SECOND), "it would wait less than the target");
        assert!(overload.look(3 * SECOND, 2 * SECOND, 5 * SECOND, now + 7 * SECOND), "without another interval");
        overload.emptied();
        assert!(!overload.look(3 * SECOND, 2 * SECOND, 5 * SECOND, now + 8 * SECOND));
    }
}
