//! Axes.
//!
//! Decides where a number stands on an axis, which numbers are written beside it, and how. Called by [`super::lines`].
//! Never takes a number the axis has no place for: zero on a logarithmic one, infinity anywhere.

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

/// The part of an axis that is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Extent {
    /// Ends, as places.
    pub(super) from: f64,
    pub(super) to: f64,
    /// Where a number is written, in order, and the numbers.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Scale {
    /// Where a value stands; `None` where this scale has no place for it.
    pub(super) fn place(self, value: f64) -> Option<f64> {
        let place = match self {
            Scale::Linear => value,
            Scale::Logarithmic if value > SMALLEST => value.log10(),
            Scale::Nines if (0.0..100.0).contains(&value) => -(1.0 - value / 100.0).log10(),
            _ => return None,
        };
        (place.is_finite() && value.abs() < LARGEST).then_some(place)
    }

    /// The axis that holds all these values; something sensible where there is none.
    pub(super) fn extent(self, values: impl IntoIterator<Item = f64>) -> Extent {
        let places = values.into_iter().filter_map(|value| self.place(value));
        let (from, to) = places.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), at| (a.min(at), b.max(at)));
        let (from, to) = if from <= to { (from, to) } else { (0.0, 1.0) };
        match self {
            Scale::Linear => linear(from, to),
            Scale::Logarithmic => logarithmic(from, to),
            Scale::Nines => nines(from, to),
        }
    }
}

fn linear(from: f64, to: f64) -> Extent {
    let (from, mut to) = (from.min(0.0), to.max(0.0));
    if to - from < SMALLEST {
        to = from + 1.0;
    }
    let step = nice_step((to - from) / 5.0);
    let (first, last) = ((from / step).floor(), (to / step - 1e-9).ceil());
    let mut ticks = Vec::new();
    let mut nth = first;
    while nth <= last {
        ticks.push((nth * step, number(nth * step)));
        nth += 1.0;
    }
    Extent { from: first * step, to: last * step, ticks }
}

/// 1, 2, 2.5 or 5 times a power of ten, the next above.
fn nice_step(rough: f64) -> f64 {
    let decade = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * decade >= rough * 0.999);
    factor.unwrap_or(10.0) * decade
}

fn logarithmic(from: f64, to: f64) -> Extent {
    // Over few decades 2 and 5 are written too, else the axis would have hardly a number.
    let factors: &[f64] = if to - from < 3.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let decades = (from.floor() as i32)..=(to.floor() as i32 + 1);
    let all = decades.flat_map(|decade| factors.iter().map(move |factor| factor * 10_f64.powi(decade)));
    let all: Vec<(f64, String)> = all.map(|value| (value.log10(), number(value))).collect();
    // From the last number at or below the smallest value to the first at or above the largest.
    let first = all.iter().rposition(|(at, _)| *at <= from + 1e-9).unwrap_or(0);
    let mut last = all.iter().position(|(at, _)| *at >= to - 1e-9).unwrap_or(all.len() - 1);
    if first == last {
        last = (last + 1).min(all.len() - 1);
    }
    let ticks = all[first..=last].to_vec();
    Extent { from: all[first].0, to: all[last].0, ticks }
}

fn nines(from: f64, to: f64) -> Extent {
    let all = [0.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999, 99.9999];
    let all = all.into_iter().filter_map(|value| Some((Scale::Nines.place(value)?, format!("{value}"))));
    let (from, to) = (from.min(0.3), to.max(1.0));
    let ticks = all.filter(|(at, _)| (from - 0.01..=to + 0.01).contains(at)).collect();
    Extent { from, to, ticks }
}

/// "0.002", "2.5", "40", "12,500".
fn number(value: f64) -> String {
    if value.abs() >= 1000.0 {
        return if value < 0.0 { format!("−{}", whole(-value)) } else { whole(value) };
    }
    let decimals = match value.abs() {
        0.0 | 1.0.. => 3,
        small => (2.0 - small.log10()).ceil().clamp(3.0, 12.0) as usize,
    };
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').replace('-', "−")
}

/// Beyond, a number is a mistake, and steps between such numbers cannot be told apart.
const LARGEST: f64 = 1e15;
/// Below, a number is zero.
const SMALLEST: f64 = 1e-12;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(scale: Scale, values: &[f64]) -> Vec<String> {
        scale.extent(values.iter().copied()).ticks.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_ends_at_a_round_number() {
        assert_eq!(written(Scale::Linear, &[37.0, 93.0]), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(written(Scale::Linear, &[84_000.0]), ["0", "20,000", "40,000", "60,000", "80,000", "100,000"]);
        assert_eq!(written(Scale::Linear, &[-3.0, 6.0]), ["−4", "−2", "0", "2", "4", "6"]);
        assert_eq!(written(Scale::Linear, &[0.9]), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
    }

    #[test]
    fn a_logarithmic_axis_writes_decades_and_few_numbers_between() {
        assert_eq!(written(Scale::Logarithmic, &[6.5, 80.0]), ["5", "10", "20", "50", "100"]);
        assert_eq!(
            written(Scale::Logarithmic, &[1.0, 4000.0, 100_000.0]),
            ["1", "10", "100", "1,000", "10,000", "100,000"]
        );
        assert_eq!(written(Scale::Logarithmic, &[0.004]), ["0.002", "0.005"]);
    }

    #[test]
    fn percentiles_are_written_as_far_as_they_go() {
        assert_eq!(written(Scale::Nines, &[50.0, 99.0]), ["50", "75", "90", "95", "99"]);
        let places: Vec<f64> = [90.0, 99.0, 99.9].into_iter().filter_map(|value| Scale::Nines.place(value)).collect();
        assert!((places[1] - places[0] - 1.0).abs() < 1e-9 && (places[2] - places[1] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_has_no_place_has_none() {
        for (scale, value) in [
            (Scale::Linear, f64::NAN),
            (Scale::Linear, f64::INFINITY),
            (Scale::Linear, 1e300),
            (Scale::Logarithmic, 0.0),
            (Scale::Logarithmic, -1.0),
            (Scale::Logarithmic, f64::INFINITY),
            (Scale::Nines, 100.0),
            (Scale::Nines, -1.0),
        ] {
            assert_eq!(scale.place(value), None, "{scale:?} {value}");
        }
    }

    #[test]
    fn an_axis_has_ends_and_numbers_whatever_it_is_given() {
        let odd =
            [f64::NAN, f64::NEG_INFINITY, 0.0, -0.0, 1e-300, 1e-13, 1.0, 7.0, 50.0, 100.0, 9.9e14, -9.9e14, 1e300];
        for scale in [Scale::Linear, Scale::Logarithmic, Scale::Nines] {
            for (nth, first) in odd.iter().enumerate() {
                for second in &odd[nth..] {
                    let extent = scale.extent([*first, *second]);
                    assert!(extent.from < extent.to, "{scale:?} {first} {second}: {extent:?}");
                    assert!((2..40).contains(&extent.ticks.len()), "{extent:?}");
                }
            }
        }
    }
}
