//! Who comes when.
//!
//! Decides the moments: a Poisson process, or even distances. Called by whoever starts a [`super::Load`]. Never draws anew:
//! the same seed gives the same crowd, on every machine and in every version.

use std::time::Duration;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

/// One request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arrival {
    /// Since the start.
    pub(crate) due: Duration,
    /// What it wants, as its visitor understands it.
    pub(crate) kind: usize,
}

/// Arrivals with exponential gaps at `rate` a second for `time`; the share `slow` of them is of kind 1, the rest of kind 0.
pub(crate) fn poisson(rate: f64, time: Duration, slow: f64, seed: u64) -> Vec<Arrival> {
    let (mut random, mut at, mut arrivals) = (SplitMix64::seed_from_u64(seed), 0.0, Vec::new());
    let mut share = || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    if rate.is_nan() || rate <= 0.0 {
        return arrivals;
    }
    loop {
        at -= (1.0 - share()).ln() / rate;
        let kind = usize::from(share() < slow);
        if at >= time.as_secs_f64() || arrivals.len() >= ARRIVALS_MAX {
            return arrivals;
        }
        arrivals.push(Arrival { due: Duration::from_secs_f64(at), kind });
    }
}

/// One after the other at even distances, `rate` a second, without an end.
pub(crate) fn evenly(rate: f64) -> impl Iterator<Item = Arrival> + Send {
    // Of no rate nobody comes.
    let due = move |number: u64| Duration::try_from_secs_f64(number as f64 / rate).ok();
    (0_u64..).map_while(move |number| Some(Arrival { due: due(number)?, kind: 0 }))
}

/// Ten million clients are no test of a machine like this.
const ARRIVALS_MAX: usize = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_crowd_has_its_rate_its_share_and_exponential_gaps() {
        let arrivals = poisson(500.0, MINUTE, 0.05, 7);
        let count = arrivals.len() as f64;
        assert!((count / 30_000.0 - 1.0).abs() < 0.03, "{count}");
        let slow = arrivals.iter().filter(|arrival| arrival.kind == 1).count() as f64;
        assert!((slow / count - 0.05).abs() < 0.005, "{slow}");
        assert!(arrivals.is_sorted_by(|a, b| a.due <= b.due) && arrivals.last().unwrap().due < MINUTE);
        // Of exponential gaps 1/e are longer than their mean.
        let long = arrivals.windows(2).filter(|pair| (pair[1].due - pair[0].due).as_secs_f64() > 1.0 / 500.0).count();
        assert!((long as f64 / count - (-1.0_f64).exp()).abs() < 0.01, "{long}");
    }

    #[test]
    fn a_seed_is_a_crowd_in_every_version() {
        assert_eq!(poisson(50.0, MINUTE, 0.05, 1), poisson(50.0, MINUTE, 0.05, 1));
        assert_ne!(poisson(50.0, MINUTE, 0.05, 1), poisson(50.0, MINUTE, 0.05, 2));
        // Held so that figures of different versions stay comparable.
        assert_eq!(poisson(50.0, MINUTE, 0.05, 1)[0].due.as_nanos(), 16_720_111);
        assert!([0.0, -1.0, f64::NAN].iter().all(|rate| poisson(*rate, MINUTE, 0.05, 1).is_empty()));
    }

    #[test]
    fn an_even_pace_is_even() {
        assert_eq!(evenly(250.0).nth(500).unwrap().due, Duration::from_secs(2));
        assert!([0.0, f64::NAN].iter().all(|rate| evenly(*rate).next().is_none()));
    }
}
