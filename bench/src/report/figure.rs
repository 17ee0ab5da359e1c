//! One figure, and the bar it is held against.
//!
//! Decides how a figure is written and whether its bar is kept. Called by every command. Never measures: pure.

use serde::Serialize;

use crate::statistics::{Spread, three_digits, whole};

/// What was seen of one thing, in every round.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// Who or what it is a figure of: "nginx", "roll × built-in".
    pub(crate) of: String,
    pub(crate) what: String,
    pub(crate) unit: Unit,
    /// One for each round; none: it was not measured.
    pub(crate) rounds: Vec<f64>,
    pub(crate) bar: Option<Bar>,
    /// What would be better still, on the same side as the bar.
    pub(crate) reach: Option<f64>,
    /// Whether the median keeps the bar.
    pub(crate) held: Option<bool>,
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bar {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    Count,
    Number,
    Ratio,
    /// A ratio whose thousandths count.
    Thousandths,
    /// From 0 to 1.
    Share,
    Percent,
    Milliseconds,
    Microseconds,
    Kilobytes,
    Megabytes,
}

impl Figure {
    /// Of all rounds.
    pub(crate) fn of_rounds(of: impl Into<String>, what: impl Into<String>, unit: Unit, rounds: Vec<f64>) -> Figure {
        Figure { of: of.into(), what: what.into(), unit, rounds, bar: None, reach: None, held: None }
    }

    /// Without a promise; a value that is no number was not measured.
    pub(crate) fn seen(what: impl Into<String>, value: f64, unit: Unit) -> Figure {
        let rounds = if value.is_nan() { Vec::new() } else { vec![value] };
        Figure::of_rounds("", what, unit, rounds)
    }

    pub(crate) fn count(what: impl Into<String>, count: usize) -> Figure {
        Figure::seen(what, count as f64, Unit::Count)
    }

    /// What must not happen.
    pub(crate) fn never(what: impl Into<String>, count: usize) -> Figure {
        Figure::count(what, count).barred(Bar::AtMost(0.0))
    }

    pub(crate) fn of(self, of: impl Into<String>) -> Figure {
        Figure { of: of.into(), ..self }
    }

    /// Holds it against a bar; what was not measured keeps none.
    pub(crate) fn barred(self, bar: Bar) -> Figure {
        Figure { bar: Some(bar), held: Some(self.median().is_some_and(|median| bar.is_kept_by(median))), ..self }
    }

    pub(crate) fn reaching(self, reach: f64) -> Figure {
        Figure { reach: Some(reach), ..self }
    }

    pub(crate) fn median(&self) -> Option<f64> {
        Spread::of(self.rounds.iter().copied()).map(|spread| spread.median)
    }

    pub(crate) fn is_missed(&self) -> bool {
        self.held == Some(false)
    }

    /// "0.85 (0.72–1.02)"; "–" where it was not measured.
    pub(crate) fn text(&self) -> String {
        let spread = Spread::of(self.rounds.iter().copied());
        spread.map_or_else(|| "–".to_owned(), |spread| spread.text(|value| self.unit.text(value)))
    }

    /// The same with its unit behind it.
    pub(crate) fn text_with_unit(&self) -> String {
        self.unit.after(self.text())
    }

    /// "≤ 150 ms"; "0" for what must not happen; empty without a bar.
    pub(crate) fn bar_text(&self) -> String {
        self.bar.map_or_else(String::new, |bar| bar.text(self.unit))
    }

    /// What reaching the bar's better limit would be.
    pub(crate) fn reach_text(&self) -> String {
        match (self.bar, self.reach) {
            (Some(Bar::AtLeast(_)), Some(reach)) => Bar::AtLeast(reach).text(self.unit),
            (Some(_), Some(reach)) => Bar::AtMost(reach).text(self.unit),
            _ => String::new(),
        }
    }

    pub(crate) fn verdict(&self) -> &'static str {
        let reached = |reach| match self.bar {
            Some(Bar::AtLeast(_)) => self.median() >= Some(reach),
            _ => self.median() <= Some(reach),
        };
        match self.held {
            None => "",
            Some(_) if self.rounds.is_empty() => "not measured",
            Some(true) if self.reach.is_some_and(reached) => "reached",
            Some(true) => "held",
            Some(false) => "MISSED",
        }
    }
}

impl Bar {
    fn is_kept_by(self, seen: f64) -> bool {
        match self {
            Bar::AtMost(limit) => seen <= limit,
            Bar::Below(limit) => seen < limit,
            Bar::AtLeast(limit) => seen >= limit,
        }
    }

    /// "≤ 150 ms"
    pub(crate) fn text(self, unit: Unit) -> String {
        let (sign, limit) = match self {
            Bar::AtMost(0.0) => return unit.after(unit.text(0.0)),
            Bar::AtMost(limit) => ("≤", limit),
            Bar::Below(limit) => ("<", limit),
            Bar::AtLeast(limit) => ("≥", limit),
        };
        format!("{sign} {}", unit.after(unit.text(limit)))
    }
}

impl Unit {
    /// The number alone.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Unit::Count => whole(value),
            Unit::Milliseconds if value >= 1000.0 => whole(value),
            Unit::Ratio => format!("{value:.2}"),
            Unit::Thousandths => format!("{value:.3}"),
            Unit::Share => format!("{:.0} %", value * 100.0),
            Unit::Percent => format!("{value:.1} %"),
            _ if value == 0.0 => "0".to_owned(),
            _ => three_digits(value),
        }
    }

    fn after(self, text: String) -> String {
        let name = match self {
            Unit::Milliseconds => " ms",
            Unit::Microseconds => " µs",
            Unit::Kilobytes => " KB",
            Unit::Megabytes => " MB",
            _ => "",
        };
        text + name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_kept_or_missed_and_shown_beside_what_was_seen() {
        let cells =
            |figure: Figure| [figure.text_with_unit(), figure.bar_text(), figure.verdict().to_owned()].join(" | ");
        assert_eq!(cells(Figure::count("requests", 12_345)), "12,345 |  | ");
        assert_eq!(cells(Figure::never("failed", 0)), "0 | 0 | held");
        assert_eq!(cells(Figure::never("failed", 2)), "2 | 0 | MISSED");
        let time = |seen| Figure::seen("ready again", seen, Unit::Milliseconds).barred(Bar::Below(150.0));
        assert_eq!(cells(time(71.64)), "71.6 ms | < 150 ms | held");
        assert!(time(150.0).is_missed() && !Figure::count("requests", 1).is_missed());
        assert_eq!(cells(time(f64::NAN)), "– ms | < 150 ms | not measured");
    }

    #[test]
    fn the_median_of_the_rounds_is_judged_and_may_reach_further() {
        let ratio = |rounds: &[f64]| {
            let figure = Figure::of_rounds("a", "b", Unit::Ratio, rounds.to_vec());
            figure.barred(Bar::AtMost(0.9)).reaching(0.8).verdict()
        };
        assert_eq!(
            [ratio(&[0.85, 0.85, 1.5]), ratio(&[0.8, 0.1, 0.9]), ratio(&[0.91, 0.91, 0.5])],
            ["held", "reached", "MISSED"]
        );
        let more = Figure::seen("", 1.2, Unit::Ratio).barred(Bar::AtLeast(1.15)).reaching(1.4);
        assert_eq!((more.verdict(), more.reach_text().as_str()), ("held", "≥ 1.40"));
    }
}
