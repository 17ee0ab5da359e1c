//! Many visits in few figures.
//!
//! Decides percentiles and counts. Called by [`crate::supermarket`], [`crate::overload`], [`crate::attack`] and
//! [`crate::replace`]. Never averages.

use std::collections::BTreeMap;

use serde::Serialize;

use super::visit::{End, Visit};
use crate::statistics::{three_digits, whole};

/// How long requests took, milliseconds, counted from when they were due.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Latencies {
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latencies {
    /// `None` of nobody. A percentile is the smallest latency that so many of them kept.
    pub(crate) fn of(latencies: &[f64]) -> Option<Latencies> {
        let mut sorted = latencies.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let at = |percent: usize| sorted.get((percent * count).div_ceil(100).saturating_sub(1)).copied();
        Some(Latencies { count, p50: at(50)?, p90: at(90)?, p99: at(99)?, max: at(100)? })
    }

    /// Cells of a table: p50, p90, p99, max.
    pub(crate) fn cells(latencies: Option<Latencies>) -> [String; 4] {
        match latencies {
            Some(Latencies { p50, p90, p99, max, .. }) => [p50, p90, p99, max].map(milliseconds),
            None => [const { "–" }; 4].map(str::to_owned),
        }
    }
}

/// "6.5", "1,195".
pub(crate) fn milliseconds(value: f64) -> String {
    if value < 1000.0 { three_digits(value) } else { whole(value) }
}

/// How often each end came: by status, and by what went wrong.
pub(crate) fn ends<'a>(visits: impl IntoIterator<Item = &'a Visit>) -> BTreeMap<String, usize> {
    let mut ends = BTreeMap::new();
    for visit in visits {
        *ends.entry(end_name(visit.end)).or_default() += 1;
    }
    ends
}

/// "200", "connection cut".
pub(crate) fn end_name(end: End) -> String {
    match end {
        End::Answered { status, .. } => status.to_string(),
        End::Failed(fault) => fault.name().to_owned(),
    }
}

/// In a cell: "3,066 × 200, 2 × no connection".
pub(crate) fn ends_text(ends: &BTreeMap<String, usize>) -> String {
    let text: Vec<String> = ends.iter().map(|(name, count)| format!("{} × {name}", whole(*count as f64))).collect();
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_latencies_that_were_measured() {
        let all: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let expected = Latencies { count: 200, p50: 100.0, p90: 180.0, p99: 198.0, max: 200.0 };
        assert_eq!(Latencies::of(&all), Some(expected));
        assert_eq!(Latencies::of(&[7.0]), Some(Latencies { count: 1, p50: 7.0, p90: 7.0, p99: 7.0, max: 7.0 }));
        assert_eq!(Latencies::of(&[]), None);
    }
}
