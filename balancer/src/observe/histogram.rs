//! How often, and how long: numbers that one thread writes and any reads. Decides the bounds of the buckets; called by [`super::metrics`] and
//! [`super::by_endpoint`]. Never locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number with one writer.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

/// Times of one writer.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// The last is for what lies above every bound.
    buckets: [Count; BOUNDS.len() + 1],
    micros: Count,
}

/// A histogram as it is told.
#[derive(Debug, Default, Clone)]
pub struct Times {
    /// How many lie below each of [`BOUNDS`] and above the one before; then how many lie above all.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// All of them together, in seconds.
    pub sum: f64,
}

impl Count {
    /// Not a read-modify-write: nobody else writes.
    pub(super) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Histogram {
    pub(super) fn add(&self, time: Duration) {
        let micros = time.as_secs() * 1_000_000 + u64::from(time.subsec_micros());
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].add(1);
        self.micros.add(micros);
    }

    pub(super) fn add_to(&self, times: &mut Times) {
        for (total, bucket) in times.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.get();
        }
        times.sum += self.micros.get() as f64 / 1e6;
    }
}

impl Times {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Those that came since `before`; all, where the counters have begun anew since.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        if before.count() <= self.count() {
            since.buckets.iter_mut().zip(before.buckets).for_each(|(now, before)| *now = now.saturating_sub(before));
            since.sum = (self.sum - before.sum).max(0.0);
        }
        since
    }

    /// Those of both.
    pub fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(own, other)| *own += other);
        self.sum += other.sum;
    }

    /// The bound in seconds below which a share of them lies; `None` without any, or above the last bound.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (self.count() as f64 * share).ceil().max(1.0);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|bucket| {
            seen += bucket;
            seen as f64 >= wanted
        })?;
        BOUNDS.get(bucket).map(|bound| *bound as f64 / 1e6)
    }
}

/// Upper bounds of a histogram's buckets in microseconds: half a millisecond is what a local worker's short answer takes.
pub const BOUNDS: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_since_is_told_apart_and_counters_that_began_anew_count_whole() {
        let histogram = Histogram::default();
        histogram.add(Duration::from_millis(1));
        let mut before = Times::default();
        histogram.add_to(&mut before);
        histogram.add(Duration::from_millis(400));
        let mut after = Times::default();
        histogram.add_to(&mut after);
        let since = after.since(&before);
        assert_eq!((since.count(), since.quantile(0.5), since.sum), (1, Some(0.5), 0.4));
        assert_eq!(before.since(&after).count(), 1, "fewer than before: they have begun anew");
        before.add(&after);
        assert_eq!(before.count(), 3);
        assert_eq!(Times::default().quantile(0.99), None);
    }
}
