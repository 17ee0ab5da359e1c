//! Medians, spreads and percentiles, and how numbers are written.
//!
//! Decides how several rounds become one figure, and many latencies a few. Called by all that has figures. Never reads the
//! world.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The middle of several values and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` when there are no values. The median of an even number is the mean of the two in the middle.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let below = if sorted.len().is_multiple_of(2) { sorted[middle - 1] } else { sorted[middle] };
        Some(Spread { median: f64::midpoint(below, sorted[middle]), min, max })
    }

    /// "median (min–max)", or the value alone when there is but one.
    pub(crate) fn text(self, number: impl Fn(f64) -> String) -> String {
        let [median, min, max] = [self.median, self.min, self.max].map(number);
        if self.min == self.max { median } else { format!("{median} ({min}–{max})") }
    }
}

/// How long requests took, to a ten-thousandth.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// `None` of nobody.
    pub(crate) fn of(latencies: impl IntoIterator<Item = Duration>) -> Option<Latencies> {
        let mut all = Histogram::new(4).ok()?;
        for latency in latencies {
            // It grows as it must.
            all.record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)).ok()?;
        }
        (!all.is_empty()).then_some(Latencies(all))
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Milliseconds that so many per cent did not exceed; the smallest such latency that was measured. 100 is the longest.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        self.0.value_at_quantile(percent / 100.0) as f64 / 1e6
    }

    /// Percentages and milliseconds, at most a few hundred, denser towards the slow end.
    pub(crate) fn curve(&self) -> Vec<(f64, f64)> {
        let points = self.0.iter_quantiles(CURVE_STEPS);
        points.map(|point| (100.0 * point.quantile_iterated_to(), point.value_iterated_to() as f64 / 1e6)).collect()
    }
}

/// By how much the line that fits the points best rises from the first to the last of them, in the unit of the second number
/// (least squares); `None` of fewer than three, or where all have the same first number.
pub(crate) fn rise(points: &[(f64, f64)]) -> Option<f64> {
    let ([(first, _), .., (last, _)], true) = (points, points.len() >= 3) else { return None };
    let count = points.len() as f64;
    let [mean_x, mean_y] =
        [points.iter().map(|(x, _)| x).sum::<f64>() / count, points.iter().map(|(_, y)| y).sum::<f64>() / count];
    let above: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (below > 0.0).then(|| above / below * (last - first))
}

/// Three meaningful digits: "0.113", "3.06", "35.4", "304".
pub(crate) fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        ..0.9995 => 3,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// Whole, with thousands apart: "81,204".
pub(crate) fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const CURVE_STEPS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_a_spread_is_written_only_when_there_is_one() {
        assert_eq!(Spread::of([3.0, 1.0, 9.0]), Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([7.0]).unwrap().text(three_digits), "7.00");
        assert_eq!(Spread::of([7.0, 6.5, 104.4]).unwrap().text(three_digits), "7.00 (6.50–104)");
    }

    #[test]
    fn percentiles_are_latencies_that_were_measured() {
        let all = Latencies::of((1..=200).rev().map(Duration::from_millis)).unwrap();
        for (percent, milliseconds) in [(50.0, 100.0), (90.0, 180.0), (99.0, 198.0), (100.0, 200.0)] {
            assert!((all.percentile(percent) / milliseconds - 1.0).abs() < 1e-4, "{}", all.percentile(percent));
        }
        assert_eq!((all.count(), Latencies::of([]).is_none()), (200, true));
        let curve = all.curve();
        assert!(curve.len() > 20 && curve.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1), "{curve:?}");
        assert!((curve.last().unwrap().1 - 200.0).abs() < 0.1, "{curve:?}");
    }

    #[test]
    fn a_rise_is_the_fitted_lines() {
        assert_eq!(rise(&[(0.0, 5.0), (1.0, 7.0), (3.0, 11.0)]), Some(6.0));
        assert_eq!(rise(&[(0.0, 5.0), (1.0, 9.0), (2.0, 5.0)]), Some(0.0));
        assert_eq!((rise(&[(0.0, 5.0), (1.0, 9.0)]), rise(&[(1.0, 5.0); 3])), (None, None));
    }

    #[test]
    fn numbers_are_written_for_reading() {
        assert_eq!(
            [0.0, 0.1134, 3.058, 9.996, 35.44, 99.96, 729.4].map(three_digits),
            ["0.000", "0.113", "3.06", "10.0", "35.4", "100", "729"]
        );
        assert_eq!([0.0, 999.4, 81204.4, -1234567.0].map(whole), ["0", "999", "81,204", "-1,234,567"]);
    }
}
