//! The percentile curve: how long the slowest of so many requests took.
//!
//! Decides its axes and which points of many latencies are drawn. Called by the commands. Never draws the maximum: 100 %
//! has no place where 90, 99 and 99.9 are evenly apart.

use super::axis::{Axis, Scale};
use super::{Lines, Series};

/// A picture of latencies in milliseconds at percentiles (50, 99.9, …).
pub(crate) fn percentiles(title: impl Into<String>, subtitle: impl Into<String>, series: Vec<Series>) -> Lines {
    let latencies = series.iter().flat_map(|series| &series.points).map(|point| point.1);
    let drawn = latencies.filter(|value| *value > 0.0 && value.is_finite());
    let (least, most) = drawn.fold((f64::INFINITY, 0.0_f64), |(a, b), value| (a.min(value), b.max(value)));
    // Close together, the distance itself is what one wants to see; far apart, how many times longer.
    let scale = if most > least * 8.0 { Scale::Logarithmic } else { Scale::Linear };
    Lines {
        title: title.into(),
        subtitle: subtitle.into(),
        x: Axis { label: "percentile of requests, %".to_owned(), scale: Scale::Nines },
        y: Axis { label: "latency, ms".to_owned(), scale },
        series,
    }
}

/// The points of a curve through measured latencies, in any order and unit: at most a few hundred, denser towards the
/// slow end, the last one standing for the slowest request.
pub(crate) fn curve(latencies: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<f64> = latencies.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut step = 0;
    let mut last = None;
    while let Some(share) = Some(1.0 - 10_f64.powf(-f64::from(step) / STEPS_A_DECADE)).filter(|_| count > 0) {
        // The smallest latency that at least this share of the requests kept.
        let nth = ((share * count as f64).ceil() as usize).saturating_sub(1);
        if last != Some(nth) {
            points.push((100.0 * share, sorted[nth]));
            last = Some(nth);
        }
        if nth + 1 >= count {
            break;
        }
        step += 1;
    }
    points
}

const STEPS_A_DECADE: f64 = 50.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_through_the_percentiles() {
        let latencies: Vec<f64> = (1..=10_000).rev().map(f64::from).collect();
        let points = curve(&latencies);
        assert!(points.len() < 300 && points.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1), "{points:?}");
        let at = |percent: f64| points.iter().rev().find(|point| point.0 <= percent + 1e-6).unwrap().1;
        for (percent, value) in [(90.0, 9_000.0), (99.0, 9_900.0), (99.9, 9_990.0)] {
            assert!((at(percent) - value).abs() < 1.5, "{percent}: {}", at(percent));
        }
        assert_eq!(points.last().unwrap().1, 10_000.0);
    }

    #[test]
    fn few_latencies_make_few_points() {
        assert_eq!(curve(&[]), []);
        assert_eq!(curve(&[f64::NAN, f64::INFINITY]), []);
        assert_eq!(curve(&[7.0]), [(0.0, 7.0)]);
        assert_eq!(curve(&[3.0, 1.0, 2.0]).into_iter().map(|point| point.1).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn latencies_far_apart_get_a_logarithmic_axis() {
        let picture = |points| percentiles("", "", vec![Series { name: String::new(), hue: 0, points }]);
        assert_eq!(picture(vec![(50.0, 5.0), (99.0, 11.0)]).y.scale, Scale::Linear);
        assert_eq!(picture(vec![(50.0, 5.0), (99.0, 7_800.0)]).y.scale, Scale::Logarithmic);
        assert_eq!(picture(vec![]).y.scale, Scale::Linear);
    }
}
