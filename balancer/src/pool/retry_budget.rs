//! How many retries a pool may spend, so that retries never amplify an outage.

use std::time::{Duration, Instant};

/// A share of the requests of the last while, and ten a second besides.
///
/// Counted in windows: what one window did not spend is not saved up for the next, so a quiet night does not pay for a
/// storm in the morning (the reasoning is that of Finagle's retry budget).
#[derive(Debug)]
pub(super) struct RetryBudget {
    share: f64,
    window: Option<Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    requests_before: usize,
    spent: usize,
}

impl RetryBudget {
    /// `share` of the requests may be retried: 0.2 is one in five.
    pub(super) fn new(share: f64) -> Self {
        Self { share, window: None }
    }

    /// Takes one retry out of the budget, if there is one left. `requests` is the number counted since the start.
    pub(super) fn withdraw(&mut self, requests: usize, now: Instant) -> bool {
        let expired = |window: &Window| now.saturating_duration_since(window.began) >= WINDOW;
        if self.window.as_ref().is_none_or(expired) {
            self.window = Some(Window { began: now, requests_before: requests, spent: 0 });
        }
        let Some(window) = &mut self.window else { return false };
        let of_requests = self.share * requests.wrapping_sub(window.requests_before) as f64;
        let allowed = of_requests as usize + FLOOR_PER_WINDOW;
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

    #[test]
    fn ten_a_second_are_free_and_a_share_of_the_requests_comes_on_top() {
        let (mut budget, now) = (RetryBudget::new(0.2), Instant::now());
        let spend =
            |budget: &mut RetryBudget, requests, now| (0..1_000).filter(|_| budget.withdraw(requests, now)).count();
        assert_eq!(spend(&mut budget, 0, now), 10);
        assert_eq!(spend(&mut budget, 100, now), 20);
        assert_eq!(spend(&mut budget, 100, now + WINDOW), 10, "a new window begins with the floor");
        assert_eq!(spend(&mut budget, 100, now + WINDOW), 0);
    }
}
