//! Medians and spreads.
//!
//! Decides how several rounds become one figure. Called by [`crate::report`]. Never reads the world.

use serde::Serialize;

/// The middle of several values and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
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
    pub(crate) fn text(self, number: fn(f64) -> String) -> String {
        let [median, min, max] = [self.median, self.min, self.max].map(number);
        if self.min == self.max { median } else { format!("{median} ({min}–{max})") }
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
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// "0.94"
pub(crate) fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

/// "97 %" of a share of 0.97.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 9.0]), Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_rise_is_the_fitted_lines() {
        assert_eq!(rise(&[(0.0, 5.0), (1.0, 7.0), (3.0, 11.0)]), Some(6.0));
        assert_eq!(rise(&[(0.0, 5.0), (1.0, 9.0), (2.0, 5.0)]), Some(0.0));
        assert_eq!((rise(&[(0.0, 5.0), (1.0, 9.0)]), rise(&[(1.0, 5.0); 3])), (None, None));
    }

    #[test]
    fn a_spread_is_written_only_when_there_is_one() {
        assert_eq!(Spread::of([7.0]).unwrap().text(three_digits), "7.00");
        assert_eq!(Spread::of([7.0, 6.5, 104.4]).unwrap().text(three_digits), "7.00 (6.50–104)");
    }

    #[test]
    fn numbers_are_written_for_reading() {
        assert_eq!(
            [0.0, 0.1134, 3.058, 9.996, 35.44, 99.96, 729.4].map(three_digits),
            ["0.000", "0.113", "3.06", "10.0", "35.4", "100", "729"]
        );
        assert_eq!([0.0, 999.4, 1000.0, 81204.4, 1234567.0].map(whole), ["0", "999", "1,000", "81,204", "1,234,567"]);
        assert_eq!((ratio(0.944), percent(0.966)), ("0.94".to_owned(), "97 %".to_owned()));
    }
}
