//! Who comes when.
//!
//! Decides the times: a Poisson process, and which arrivals want something that takes long. Called by
//! [`crate::supermarket`], [`crate::overload`] and [`crate::attack`]. Never draws anew: the same seed gives the same crowd,
//! on every machine and in every version, which no published generator promises.

use std::time::Duration;

/// One client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arrival {
    /// Since the start.
    pub(crate) due: Duration,
    /// What it wants, a place in the list of paths.
    pub(crate) path: usize,
}

/// Arrivals with exponential gaps at `rate` a second for `time`; the share `slow` of them wants path 1, the rest path 0.
pub(crate) fn poisson(rate: f64, time: Duration, slow: f64, seed: u64) -> Vec<Arrival> {
    let (mut random, mut at, mut arrivals) = (SplitMix(seed), 0.0, Vec::new());
    if rate.is_nan() || rate <= 0.0 {
        return arrivals;
    }
    loop {
        at -= (1.0 - random.share()).ln() / rate;
        let path = usize::from(random.share() < slow);
        if at >= time.as_secs_f64() || arrivals.len() >= ARRIVALS_MAX {
            return arrivals;
        }
        arrivals.push(Arrival { due: Duration::from_secs_f64(at), path });
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
struct SplitMix(u64);

impl SplitMix {
    /// From 0 to below 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
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
        let slow = arrivals.iter().filter(|arrival| arrival.path == 1).count() as f64;
        assert!((slow / count - 0.05).abs() < 0.005, "{slow}");
        assert!(arrivals.is_sorted_by(|a, b| a.due <= b.due) && arrivals.last().unwrap().due < MINUTE);
        // Of exponential gaps 1/e are longer than their mean.
        let long = arrivals.windows(2).filter(|pair| (pair[1].due - pair[0].due).as_secs_f64() > 1.0 / 500.0).count();
        assert!((long as f64 / count - (-1.0_f64).exp()).abs() < 0.01, "{long}");
    }

    #[test]
    fn a_seed_is_a_crowd() {
        assert_eq!(poisson(50.0, MINUTE, 0.05, 1), poisson(50.0, MINUTE, 0.05, 1));
        assert_ne!(poisson(50.0, MINUTE, 0.05, 1), poisson(50.0, MINUTE, 0.05, 2));
        // Held so that figures of different versions stay comparable.
        let first = poisson(50.0, MINUTE, 0.05, 1)[0].due.as_nanos();
        assert_eq!(first, FIRST_OF_SEED_1);
    }

    #[test]
    fn nobody_comes_at_no_rate() {
        for rate in [0.0, -1.0, f64::NAN] {
            assert_eq!(poisson(rate, MINUTE, 0.05, 1), []);
        }
    }

    const FIRST_OF_SEED_1: u128 = 16_720_111;
}
