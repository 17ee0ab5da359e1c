//! How many orders there are within a minute, all names together. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

/// The last orders.
#[derive(Debug, Default)]
pub(super) struct OrderPace(VecDeque<Timestamp>);

impl OrderPace {
    /// The first moment at which another order may begin.
    pub(super) fn earliest(&self, now: Timestamp) -> Timestamp {
        match self.0.front() {
            Some(oldest) if self.0.len() >= ORDERS_MAX => now.max(later(*oldest, MINUTE)),
            _ => now,
        }
    }

    /// An order begins.
    pub(super) fn begun(&mut self, now: Timestamp) {
        if self.0.len() >= ORDERS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(now);
    }
}

/// So much later; as late as there are dates where there is no such date.
pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Below what any CA counts.
const ORDERS_MAX: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_order_waits_until_the_first_is_a_minute_old() {
        let mut pace = OrderPace::default();
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
        for second in 0..10 {
            assert_eq!(pace.earliest(at(second)), at(second));
            pace.begun(at(second));
        }
        assert_eq!(pace.earliest(at(10)), at(60));
        assert_eq!(pace.earliest(at(70)), at(70));
        pace.begun(at(60));
        assert_eq!(pace.earliest(at(60)), at(61));
    }
}
