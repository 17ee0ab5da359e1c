//! How long to wait until a name is asked for again. Pure.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Never less than `interval`, also after errors; a little more each time, so that several of us do not ask in step.
pub(super) fn pause(interval: Duration, rng: &mut impl Rng) -> Duration {
    interval.mul_f64(rng.random_range(1.0..=1.0 + JITTER))
}

const JITTER: f64 = 0.1;
