//! What a queue asks of those who hold a place while their client is waited for. Pure.

use std::time::Duration;

/// How much those who wait press, by how long the first of them has waited.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pressure(f64);

impl Pressure {
    /// Of a queue whose first has waited for `waited`, where nobody waits longer than `queue_timeout`.
    pub fn of(waited: Duration, queue_timeout: Duration) -> Self {
        let steps = waited.as_secs_f64() / queue_timeout.as_secs_f64().max(f64::MIN_POSITIVE) * DOUBLINGS;
        Self(steps.min(STEPS_MAX).exp2())
    }

    /// How many times faster a client has to be than otherwise, and how many times sooner; 1 at least.
    pub fn times(self) -> f64 {
        self.0
    }
}

/// Within `queue_timeout`: in a tenth of it the slowest have made room, and those who are a little slow need not.
const DOUBLINGS: f64 = 50.0;
/// Beyond it, a number says no more.
const STEPS_MAX: f64 = 40.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_with_each_fiftieth_of_what_the_queue_waits() {
        let of = |ms| Pressure::of(Duration::from_millis(ms), Duration::from_secs(5)).times();
        assert_eq!([0, 100, 300, 1_000].map(of), [1.0, 2.0, 8.0, 1_024.0]);
        assert_eq!(of(5_000), of(3_600_000));
        assert!(Pressure::of(Duration::ZERO, Duration::ZERO).times() >= 1.0);
    }
}
