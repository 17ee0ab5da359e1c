//! How many retries a pool may spend, so that retries never amplify an outage.

use std::time::{Duration, Instant};

/// A share of the requests of a second, and ten a second besides.
///
/// Counted in windows: what one window did not spend is not saved up for the next, so a quiet night does not pay for a
/// storm in the morning (the reasoning is that of Finagle's retry budget). How many requests a second has is known only at
/// its end, and an endpoint that dies takes many down at its beginning as well: so the rate of the time before counts too.
#[derive(Debug)]
pub(super) struct RetryBudget {
    share: f64,
    window: Window,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    requests_before: usize,
    /// Requests a second between the beginning of the last window and that of this one.
    rate_before: f64,
    spent: usize,
}

impl RetryBudget {
    /// `share` of the requests may be retried: 0.2 is one in five. `requests` were counted before.
    pub(super) fn new(share: f64, requests: usize, now: Instant) -> Self {
        Self { share, window: Window { began: now, requests_before: requests, rate_before: 0.0, spent: 0 } }
    }

    /// Takes one retry out of the budget, if there is one left. `requests` is the number counted since the start.
    pub(super) fn withdraw(&mut self, requests: usize, now: Instant) -> bool {
        let window = &mut self.window;
        let (elapsed, counted) =
            (now.saturating_duration_since(window.began), requests.saturating_sub(window.requests_before) as f64);
        if elapsed >= WINDOW {
            let rate_before = counted / elapsed.as_secs_f64();
            *window = Window { began: now, requests_before: requests, rate_before, spent: 0 };
        }
        // Read before the lock was had, it may be older than what the window began with.
        let counted = requests.saturating_sub(window.requests_before) as f64;
        let allowed = (self.share * counted.max(window.rate_before)) as usize + FLOOR_PER_WINDOW;
        let within = window.spent < allowed;
        window.spent += usize::from(within);
        within
    }
}

const WINDOW: Duration = Duration::from_secs(1);
/// "Plus ten a second": a pool with little traffic may retry all of it.
const FLOOR_PER_WINDOW: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(budget: &mut RetryBudget, requests: usize, now: Instant) -> usize {
        (0..1_000).filter(|_| budget.withdraw(requests, now)).count()
    }

    #[test]
    fn ten_a_second_are_free_and_a_share_of_the_requests_comes_on_top() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(0.2, 0, now);
        assert_eq!(spend(&mut budget, 0, now), 10);
        assert_eq!(spend(&mut budget, 100, now), 20);
        assert_eq!(spend(&mut budget, 100, now + WINDOW), 30, "a second like the one before");
        assert_eq!(spend(&mut budget, 100, now + WINDOW), 0);
        assert_eq!(spend(&mut budget, 100, now + 2 * WINDOW), 10, "in which there was none");
    }

    #[test]
    fn a_storm_is_paid_by_the_rate_before_it_and_not_by_all_that_was_saved() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(0.2, 0, now);
        let hour = Duration::from_secs(3_600);
        assert_eq!(spend(&mut budget, 3_600 * 50, now + hour), 10 + 10, "a fifth of 50 a second");
    }
}
