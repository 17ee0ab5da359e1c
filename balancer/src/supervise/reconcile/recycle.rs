//! When a worker is replaced though it runs well: pure.
//!
//! Decides by its age and its memory. Called by `reconcile` once a second. Never replaces anybody itself.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::config;
use crate::supervise::status::RestartReason;

/// The limits of one run of a worker: those of the configuration, each moved a little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RecycleLimits {
    /// Requests it may have.
    pub(super) requests: Option<u64>,
    age: Option<Duration>,
    memory: Option<u64>,
}

impl RecycleLimits {
    /// Moves each limit by up to a tenth at random, so that workers that were started together do not go together.
    pub(super) fn draw(recycle: &config::Recycle, rng: &mut impl Rng) -> Self {
        let mut moved = |value: f64| value * rng.random_range(1.0 - JITTER..=1.0 + JITTER);
        Self {
            requests: recycle.requests_max.map(|requests| (moved(requests as f64) as u64).max(1)),
            age: recycle.age_max.map(|age| Duration::from_secs_f64(moved(age.as_secs_f64()))),
            memory: recycle.memory_max.map(|memory| moved(memory as f64) as u64),
        }
    }

    /// What it has too much of.
    pub(super) fn exceeded(&self, age: Duration, rss_bytes: u64) -> Option<RestartReason> {
        if self.memory.is_some_and(|memory| rss_bytes > memory) {
            Some(RestartReason::MemoryMax)
        } else if self.age.is_some_and(|limit| age >= limit) {
            Some(RestartReason::AgeMax)
        } else {
            None
        }
    }
}

const JITTER: f64 = 0.1;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn limits_are_moved_by_a_tenth_at_most_and_each_time_differently() {
        let recycle = config::Recycle {
            requests_max: Some(1_000),
            age_max: Some(HOUR),
            memory_max: Some(1 << 30),
            ..config::Recycle::default()
        };
        let mut rng = SmallRng::seed_from_u64(5);
        let drawn: Vec<_> = (0..50).map(|_| RecycleLimits::draw(&recycle, &mut rng)).collect();
        for limits in &drawn {
            assert!((900..=1_100).contains(&limits.requests.unwrap()));
            assert!((HOUR.mul_f64(0.9)..=HOUR.mul_f64(1.1)).contains(&limits.age.unwrap()));
            let memory = limits.memory.unwrap() as f64 / f64::from(1 << 30);
            assert!((0.899..=1.101).contains(&memory));
        }
        assert!(drawn.iter().any(|limits| *limits != drawn[0]));
        let one = config::Recycle { requests_max: Some(1), ..config::Recycle::default() };
        assert_eq!(RecycleLimits::draw(&one, &mut rng).requests, Some(1));
    }

    #[test]
    fn what_is_too_much_is_named() {
        let limits = RecycleLimits { requests: None, age: Some(HOUR), memory: Some(100) };
        assert_eq!(limits.exceeded(HOUR / 2, 100), None);
        assert_eq!(limits.exceeded(HOUR, 100), Some(RestartReason::AgeMax));
        assert_eq!(limits.exceeded(HOUR, 101), Some(RestartReason::MemoryMax));
        assert_eq!(RecycleLimits::default().exceeded(HOUR * 99_999, u64::MAX), None);
    }
}
