//! How long a worker waits before it is started again.
//!
//! Decides the next delay from the last one and from how long the worker served. Called by `life`. Never waits, and never
//! gives up: a worker whose database comes back after an hour is started again.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::config;

/// The delay of one worker, from exit to exit.
#[derive(Debug, Clone)]
pub(super) struct RestartDelay {
    min: Duration,
    max: Duration,
    next: Duration,
    /// The next restart of a worker that was ready need not wait.
    first: bool,
}

impl RestartDelay {
    /// Begins at the shortest delay.
    pub(super) fn new(backoff: &config::Backoff) -> Self {
        Self { min: backoff.min, max: backoff.max.max(backoff.min), next: backoff.min, first: true }
    }

    /// The delay after an exit; `ready_for`: how long this run was ready, if it was.
    ///
    /// None for the first death of a worker that was ready, for most deaths come alone. After that
    /// twice the last one up to the longest, or the shortest again when the worker was ready for ten seconds and for no
    /// less than the delay that would follow. One that served for two seconds and more waits for no longer than it has served: what is
    /// killed every few seconds must not end up waiting most of the time, and all workers of a pool with it. Up to a quarter is taken off at random, so that workers that died together do not come
    /// back together.
    pub(super) fn after_exit(&mut self, ready_for: Option<Duration>, rng: &mut impl Rng) -> Duration {
        if ready_for.is_some_and(|ready_for| ready_for >= self.next.max(LIVED_LONG_ENOUGH)) {
            self.next = self.min;
            self.first = true;
        }
        if std::mem::replace(&mut self.first, false) && ready_for.is_some() {
            return Duration::ZERO;
        }
        let delay = self.next;
        self.next = delay.saturating_mul(2).min(self.max);
        let served = ready_for.filter(|ready_for| *ready_for >= SERVED);
        let delay = served.map_or(delay, |served| delay.min(served.max(self.min)));
        delay.mul_f64(rng.random_range(JITTER_FLOOR..=1.0))
    }
}

/// Who dies younger dies of what it is, and not of what happens to it now and then.
pub(super) const LIVED_LONG_ENOUGH: Duration = Duration::from_secs(10);
/// Who dies younger has served nobody to speak of.
const SERVED: Duration = Duration::from_secs(2);
const JITTER_FLOOR: f64 = 0.75;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn delay() -> RestartDelay {
        RestartDelay::new(&config::Backoff { min: 100 * MS, max: 1_000 * MS })
    }

    fn within(delay: Duration, base: Duration) -> bool {
        delay >= base.mul_f64(0.75) && delay <= base
    }

    #[test]
    fn the_delay_doubles_up_to_the_longest_and_stays_there() {
        let (mut delay, mut rng) = (delay(), SmallRng::seed_from_u64(3));
        for base in [100, 200, 400, 800, 1_000, 1_000, 1_000] {
            let drawn = delay.after_exit(None, &mut rng);
            assert!(within(drawn, base * MS), "{drawn:?} for {base}");
        }
    }

    #[test]
    fn the_delay_begins_again_after_a_worker_was_ready_long_enough() {
        let (mut delay, mut rng) = (delay(), SmallRng::seed_from_u64(3));
        for (ready_for, base) in [(None, 100), (Some(9_999), 200), (Some(10_000), 0), (Some(1), 100), (Some(1), 200)] {
            let drawn = delay.after_exit(ready_for.map(|ms| ms * MS), &mut rng);
            assert!(within(drawn, base * MS), "{drawn:?} for {base}");
        }
    }

    #[test]
    fn the_first_death_of_a_worker_that_served_costs_no_delay() {
        let (mut delay, mut rng) = (delay(), SmallRng::seed_from_u64(3));
        for base in [0, 100, 200] {
            let drawn = delay.after_exit(Some(MS), &mut rng);
            assert!(within(drawn, base * MS), "{drawn:?} for {base}");
        }
    }

    #[test]
    fn a_long_delay_asks_for_a_life_as_long() {
        let mut delay = RestartDelay::new(&config::Backoff { min: 20_000 * MS, max: 60_000 * MS });
        let mut rng = SmallRng::seed_from_u64(3);
        for (ready_for, base) in [(None, 20_000), (Some(15_000), 20_000), (Some(60_000), 0), (None, 20_000)] {
            let drawn = delay.after_exit(ready_for.map(|ms| ms * MS), &mut rng);
            assert!(within(drawn, base * MS), "{drawn:?} for {base}");
        }
    }

    #[test]
    fn who_dies_young_again_and_again_waits_longer_each_time_but_not_longer_than_it_serves() {
        let mut delay = RestartDelay::new(&config::Backoff { min: 100 * MS, max: 30_000 * MS });
        let mut rng = SmallRng::seed_from_u64(3);
        for base in [0, 100, 200, 400, 800, 1_600, 2_500, 2_500, 2_500] {
            let drawn = delay.after_exit(Some(2_500 * MS), &mut rng);
            assert!(within(drawn, base * MS), "{drawn:?} for {base}");
        }
    }

    #[test]
    fn workers_that_died_together_come_back_apart() {
        let mut rng = SmallRng::seed_from_u64(3);
        let mut drawn: Vec<_> = (0..8).map(|_| delay().after_exit(None, &mut rng)).collect();
        drawn.sort();
        drawn.dedup();
        assert_eq!(drawn.len(), 8);
    }
}
