//! Axes.
//!
//! Decides where a number stands on an axis and which numbers are written beside it. Called by [`super::lines`]. Never takes a
//! number the axis has no place for: zero on a logarithmic one, infinity anywhere.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

use crate::statistics::whole;

/// What an axis shows.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// The quantity with its unit: "latency, ms".
    pub(crate) label: String,
    pub(crate) scale: Scale,
}

/// How numbers become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Even steps, from zero.
    Linear,
    /// Each decade as wide as the next; positive numbers only.
    Logarithmic,
    /// Percentiles: 90, 99, 99.9 are evenly apart. From 0 to below 100.
    Nines,
}

/// The part of an axis that is drawn, as places.
pub(super) struct Extent {
    range: Range<f64>,
    /// Where a number is written.
    ticks: Vec<f64>,
}

impl Ranged for Extent {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (place - self.range.start) / (self.range.end - self.range.start);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl Scale {
    /// Where a value stands; `None` where this scale has no place for it.
    pub(super) fn place(self, value: f64) -> Option<f64> {
        match self {
            Scale::Linear if value.abs() < LARGEST => Some(value),
            Scale::Logarithmic if (SMALLEST..LARGEST).contains(&value) => Some(value.log10()),
            Scale::Nines if (0.0..100.0).contains(&value) => Some(-(1.0 - value / 100.0).log10()),
            _ => None,
        }
    }

    /// What is written beside a place.
    pub(super) fn number(self, place: f64) -> String {
        let value = match self {
            Scale::Linear => place,
            Scale::Logarithmic => 10_f64.powf(place),
            Scale::Nines => 100.0 * (1.0 - 10_f64.powf(-place)),
        };
        if value.abs() >= 999.5 {
            return whole(value);
        }
        let decimals = if value == 0.0 { 0.0 } else { (2.0 - value.abs().log10().floor()).clamp(0.0, 12.0) };
        let decimals = if self == Scale::Nines { 4 } else { decimals as usize };
        let text = format!("{value:.decimals$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    }

    /// The part of an axis that holds all these places.
    pub(super) fn extent(self, places: impl Iterator<Item = f64>) -> Extent {
        let (from, to) = places.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), at| (a.min(at), b.max(at)));
        let (from, to) = if from <= to { (from, to) } else { (0.0, 1.0) };
        let ticks: Vec<f64> = match self {
            Scale::Linear => {
                let (from, to) = (from.min(0.0), to.max(0.0));
                let step = nice_step((to - from).max(SMALLEST) / 5.0);
                let steps = (from / step).floor() as i64..=(to / step - 1e-9).ceil().max(1.0) as i64;
                steps.map(|nth| nth as f64 * step).collect()
            }
            Scale::Logarithmic => {
                // Over few decades 2 and 5 are written too, else the axis would have hardly a number.
                let factors: &[f64] = if to - from < 3.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let decades = from.floor() as i32..=to.floor() as i32 + 1;
                let all =
                    decades.flat_map(|decade| factors.iter().map(move |factor| f64::from(decade) + factor.log10()));
                let all: Vec<f64> = all.collect();
                let first = all.iter().rposition(|at| *at <= from + 1e-9).unwrap_or(0);
                let last = all.iter().position(|at| *at >= to - 1e-9 && *at > all[first]).unwrap_or(all.len() - 1);
                all[first..=last].to_vec()
            }
            Scale::Nines => {
                let all = [0.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999].map(|value| self.place(value));
                all.into_iter().flatten().filter(|at| *at <= to.max(1.0) + 0.01).collect()
            }
        };
        let [first, last] = [ticks.first(), ticks.last()].map(|tick| tick.copied().unwrap_or_default());
        Extent { range: first.min(from)..last.max(to).max(first + SMALLEST), ticks }
    }
}

/// 1, 2, 2.5 or 5 times a power of ten, the next above.
fn nice_step(rough: f64) -> f64 {
    let decade = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * decade >= rough * 0.999);
    factor.unwrap_or(10.0) * decade
}

/// Beyond, a number is a mistake, and steps between such numbers cannot be told apart.
const LARGEST: f64 = 1e15;
/// Below, a number is zero.
const SMALLEST: f64 = 1e-12;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(scale: Scale, values: &[f64]) -> Vec<String> {
        let Extent { ticks, .. } = scale.extent(values.iter().filter_map(|value| scale.place(*value)));
        ticks.into_iter().map(|place| scale.number(place)).collect()
    }

    #[test]
    fn an_axis_has_round_numbers() {
        assert_eq!(written(Scale::Linear, &[37.0, 93.0]), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(written(Scale::Linear, &[84_000.0]), ["0", "20,000", "40,000", "60,000", "80,000", "100,000"]);
        assert_eq!(written(Scale::Linear, &[0.9]), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(written(Scale::Logarithmic, &[6.5, 80.0]), ["5", "10", "20", "50", "100"]);
        assert_eq!(written(Scale::Logarithmic, &[1.0, 100_000.0]), ["1", "10", "100", "1,000", "10,000", "100,000"]);
        assert_eq!(written(Scale::Logarithmic, &[0.004]), ["0.002", "0.005"]);
        assert_eq!(written(Scale::Nines, &[50.0, 99.0]), ["0", "50", "75", "90", "95", "99"]);
    }
}
