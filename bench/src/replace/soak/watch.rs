//! The balancer's memory, descriptors and threads, second by second.
//!
//! Decides how often it is looked and what counts as growth. Called by [`super::soak`] and [`super::disturb`]. Never asks the
//! balancer: the kernel knows.

use std::time::{Duration, Instant};

use super::super::site::Site;
use crate::statistics::{Spread, rise, three_digits};
use crate::usage::{Memory, open_descriptors, threads};
use crate::{failure::Failure, say};

/// One look at the balancer's process, without its workers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    /// Bytes.
    pub(super) private: f64,
    pub(super) resident: f64,
    pub(super) descriptors: f64,
    pub(super) threads: f64,
}

/// All looks.
pub(super) struct Watch {
    pid: u32,
    pub(super) begun: Instant,
    duration: Duration,
    next: Instant,
    /// How long each of `spans` is, and when the one that goes on is over.
    span: Duration,
    span_ends: Duration,
    now: Vec<Look>,
    /// Seconds at the end of each span, and the median of its looks.
    pub(super) spans: Vec<(f64, Look)>,
}

impl Look {
    pub(super) fn take(pid: u32) -> Result<Look, Failure> {
        let Memory { private, resident } = Memory::of(pid)?;
        Ok(Look {
            private: private as f64,
            resident: resident as f64,
            descriptors: open_descriptors(pid)? as f64,
            threads: threads(pid)? as f64,
        })
    }

    pub(super) fn text(self) -> String {
        let [private, resident, descriptors, threads] = self.cells();
        format!("private {private} MB, RSS {resident} MB, {descriptors} descriptors, {threads} threads")
    }

    /// Private and resident memory in MB, descriptors, threads.
    pub(super) fn cells(self) -> [String; 4] {
        let megabytes = |bytes: f64| three_digits(bytes / 1e6);
        let count = |count: f64| format!("{count:.0}");
        [megabytes(self.private), megabytes(self.resident), count(self.descriptors), count(self.threads)]
    }

    fn median(looks: &[Look]) -> Look {
        let of = |figure: fn(&Look) -> f64| Spread::of(looks.iter().map(figure)).map_or(0.0, |spread| spread.median);
        Look {
            private: of(|look| look.private),
            resident: of(|look| look.resident),
            descriptors: of(|look| look.descriptors),
            threads: of(|look| look.threads),
        }
    }
}

impl Watch {
    pub(super) fn start(pid: u32, begun: Instant, duration: Duration) -> Watch {
        // A short soak has no minutes to speak of.
        let span = MINUTE.min(duration / 12).max(BETWEEN_LOOKS);
        Watch { pid, begun, duration, next: begun, span, span_ends: span, now: Vec::new(), spans: Vec::new() }
    }

    /// Since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Lets time pass, looks once a second, and notices if the balancer ends.
    pub(super) fn pause(&mut self, site: &Site<'_>, time: Duration) -> Result<(), Failure> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let to_next = self.next.saturating_duration_since(Instant::now());
            site.pause(left.min(to_next))?;
            if Instant::now() >= self.next {
                self.next = Instant::now() + BETWEEN_LOOKS;
                let look = Look::take(self.pid)?;
                self.add(look, self.elapsed());
            }
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// Notes a look, and says what a span had when it is over.
    fn add(&mut self, look: Look, elapsed: Duration) {
        self.now.push(look);
        if elapsed >= self.span_ends && self.spans.len() < SPANS_MAX {
            let median = Look::median(&std::mem::take(&mut self.now));
            say(&format!("{:.1} min: {}", elapsed.as_secs_f64() / 60.0, median.text()));
            self.spans.push((elapsed.as_secs_f64(), median));
            self.span_ends = elapsed + self.span;
        }
    }

    /// From when growth counts, seconds: buffers have their size, and every kind of request has come.
    pub(super) fn warm_after(&self) -> f64 {
        WARM_UP.min(self.duration / 2).as_secs_f64()
    }

    /// By how much a figure rises from then to the end, by the line that fits best, and its median there.
    pub(super) fn growth(&self, figure: fn(&Look) -> f64) -> Option<(f64, f64)> {
        let warm = self.spans.iter().filter(|(at, _)| *at > self.warm_after());
        let points: Vec<(f64, f64)> = warm.map(|(at, look)| (*at, figure(look))).collect();
        let median = Spread::of(points.iter().map(|(_, value)| *value))?.median;
        Some((rise(&points)?, median))
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_secs(300);
/// A day of minutes.
const SPANS_MAX: usize = 1_440;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_that_of_the_warm_part() {
        let mut watch = Watch::start(std::process::id(), Instant::now(), Duration::from_secs(3_600));
        let look = |private| Look { private, ..Look::default() };
        watch.spans = [(60.0, 1.0), (300.0, 90.0), (360.0, 100.0), (420.0, 101.0), (480.0, 102.0)]
            .map(|(at, private)| (at, look(private)))
            .to_vec();
        assert_eq!(watch.growth(|look| look.private), Some((2.0, 101.0)));
        watch.spans.truncate(4);
        assert_eq!(watch.growth(|look| look.private), None);
    }

    #[test]
    fn a_span_is_over_with_the_first_look_behind_its_end() {
        let mut watch = Watch::start(1, Instant::now(), Duration::from_secs(3_600));
        for second in [1, 59, 61, 62, 120, 121, 185] {
            watch.add(Look::default(), Duration::from_secs(second));
        }
        let ends: Vec<f64> = watch.spans.iter().map(|(at, _)| *at).collect();
        assert_eq!((ends, watch.now.len()), (vec![61.0, 121.0, 185.0], 0));
    }

    #[test]
    fn a_span_has_the_median_of_its_looks() {
        let look = |private, descriptors| Look { private, descriptors, ..Look::default() };
        let median = Look::median(&[look(2e6, 9.0), look(8e6, 1.0), look(4e6, 5.0)]);
        assert_eq!(median.text(), "private 4.00 MB, RSS 0.000 MB, 5 descriptors, 0 threads");
        assert!(Look::take(std::process::id()).unwrap().private > 0.0);
    }
}
