//! Which endpoint of a pool is slow beside the others.
//!
//! Decides from when on it is. Called by [`super::row`] and [`super::problem`]. Pure.

use super::samples::EndpointFigures;

/// The one that takes longest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slow {
    /// Which of those that were handed in it is.
    pub(super) at: usize,
    /// Seconds below which half of its requests lie, and half of the requests of the one in the middle of the others.
    pub(super) p50: f64,
    pub(super) others: f64,
}

/// The endpoint that takes much longer than the others, if there is one; handed in are the figures of each, where it has some.
pub(super) fn slow<'a>(figures: impl Iterator<Item = Option<&'a EndpointFigures>>) -> Option<Slow> {
    let median = |figures: Option<&EndpointFigures>| {
        let times = &figures?.recent.seconds;
        (times.count() >= REQUESTS_ENOUGH).then(|| times.quantile(0.5)).flatten()
    };
    let mut all: Vec<(f64, usize)> = figures.enumerate().filter_map(|(at, one)| Some((median(one)?, at))).collect();
    all.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let (p50, at) = all.pop().filter(|_| !all.is_empty())?;
    let (others, _) = *all.get((all.len() - 1) / 2)?;
    (p50 >= SLOW_TIMES * others && p50 >= SLOW_SECONDS).then_some(Slow { at, p50, others })
}

/// So much slower than the others, and so slow, is slow; of fewer requests nothing is said.
const SLOW_TIMES: f64 = 4.0;
const SLOW_SECONDS: f64 = 0.025;
const REQUESTS_ENOUGH: u64 = 10;
