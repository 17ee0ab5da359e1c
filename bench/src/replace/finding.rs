//! A figure and the bar it is held against.
//!
//! Decides whether a bar is kept. Called by the scenarios and [`super::report`]. Never measures: pure.

use serde::Serialize;

use crate::statistics::{three_digits, whole};

/// One line of the result.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) what: String,
    pub(super) seen: f64,
    pub(super) unit: Unit,
    pub(super) bar: Option<Bar>,
    /// Whether the bar is kept.
    pub(super) held: Option<bool>,
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Bar {
    AtMost(f64),
    Below(f64),
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Unit {
    Count,
    Milliseconds,
    Megabytes,
    Percent,
}

impl Finding {
    /// A figure without a promise.
    pub(super) fn seen(what: impl Into<String>, seen: f64, unit: Unit) -> Finding {
        Finding { what: what.into(), seen, unit, bar: None, held: None }
    }

    pub(super) fn barred(what: impl Into<String>, seen: f64, unit: Unit, bar: Bar) -> Finding {
        Finding { bar: Some(bar), held: Some(bar.is_kept_by(seen)), ..Finding::seen(what, seen, unit) }
    }

    pub(super) fn count(what: impl Into<String>, count: usize) -> Finding {
        Finding::seen(what, count as f64, Unit::Count)
    }

    /// What must not happen.
    pub(super) fn never(what: impl Into<String>, count: usize) -> Finding {
        Finding::barred(what, count as f64, Unit::Count, Bar::AtMost(0.0))
    }

    pub(super) fn is_missed(&self) -> bool {
        self.held == Some(false)
    }

    /// Cells of a table: seen, bar, verdict.
    pub(super) fn cells(&self) -> [String; 3] {
        let bar = match self.bar {
            None => String::new(),
            Some(Bar::AtMost(0.0)) => self.unit.text(0.0),
            Some(Bar::AtMost(value)) => format!("≤ {}", self.unit.text(value)),
            Some(Bar::Below(value)) => format!("< {}", self.unit.text(value)),
        };
        let verdict = match self.held {
            None => "",
            Some(true) => "held",
            Some(false) => "MISSED",
        };
        [self.unit.text(self.seen), bar, verdict.to_owned()]
    }
}

impl Bar {
    fn is_kept_by(self, seen: f64) -> bool {
        match self {
            Bar::AtMost(value) => seen <= value,
            Bar::Below(value) => seen < value,
        }
    }

    /// "<=0", "<150" for the CSV.
    pub(super) fn text(self) -> String {
        match self {
            Bar::AtMost(value) => format!("<={value:.3}"),
            Bar::Below(value) => format!("<{value:.3}"),
        }
    }
}

impl Unit {
    pub(super) fn name(self) -> &'static str {
        match self {
            Unit::Count => "",
            Unit::Milliseconds => "ms",
            Unit::Megabytes => "MB",
            Unit::Percent => "%",
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Unit::Count => whole(value),
            Unit::Percent => format!("{value:.1} %"),
            _ if value == 0.0 => format!("0 {}", self.name()),
            _ => format!("{} {}", three_digits(value), self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_kept_or_missed_and_shown_beside_what_was_seen() {
        let cells = |finding: Finding| finding.cells().join(" | ");
        assert_eq!(cells(Finding::count("requests", 12_345)), "12,345 |  | ");
        assert_eq!(cells(Finding::never("failed", 0)), "0 | 0 | held");
        assert_eq!(cells(Finding::never("failed", 2)), "2 | 0 | MISSED");
        let time = |seen| Finding::barred("ready again", seen, Unit::Milliseconds, Bar::Below(150.0));
        assert_eq!(cells(time(71.64)), "71.6 ms | < 150 ms | held");
        assert!(time(150.0).is_missed() && !Finding::count("requests", 1).is_missed());
        let share = Finding::barred("change", -3.21, Unit::Percent, Bar::Below(10.0));
        assert_eq!(cells(share), "-3.2 % | < 10.0 % | held");
    }
}
