//! What `replace` prints and writes.
//!
//! Decides the table and the CSV. Called by [`super::replace`]. Never judges: a finding has its verdict.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Outcome, Replace};
use crate::crowd::summary::ends_text;
use crate::table::Table;

pub(super) fn render(all: &Replace) -> String {
    // Writing to a String does not fail, here and below.
    let mut text = format!(
        "{} s each, {} clients, GETs and POSTs in turn at 80 % of what was measured first\n\n",
        all.seconds, all.connections
    );
    let mut table = Table::default();
    table.row("", ["seen", "bar", ""].map(str::to_owned));
    for outcome in &all.rows {
        table.gap();
        table.row(format!("{} × {}", outcome.scenario.name(), outcome.workers.name()), []);
        for finding in &outcome.row.findings {
            table.row(format!("  {}", finding.what), finding.cells());
        }
    }
    text += &table.render();
    for outcome in &all.rows {
        let name = format!("{} × {}", outcome.scenario.name(), outcome.workers.name());
        if let Some(tally) = outcome.row.tally.as_ref().filter(|tally| tally.ends.len() > 1) {
            let _ = writeln!(text, "\n{name}: {}", ends_text(&tally.ends));
        }
        for note in &outcome.row.notes {
            let _ = writeln!(text, "\n{name}: {note}");
        }
        if let Some(failure) = &outcome.failure {
            let _ = writeln!(text, "\n!!! {name} could not be tried: {failure}");
        }
    }
    let missed: usize = all.rows.iter().map(missed).sum();
    let held = all.rows.iter().flat_map(|outcome| &outcome.row.findings).filter(|finding| finding.held == Some(true));
    let _ = writeln!(text, "\n{} bars held, {missed} missed", held.count());
    text
}

/// One line about an outcome, as soon as it is there.
pub(super) fn progress(outcome: &Outcome, time: Duration) -> String {
    let name = format!("{} × {}, {} s", outcome.scenario.name(), outcome.workers.name(), time.as_secs());
    match (&outcome.failure, missed(outcome)) {
        (Some(failure), _) => format!("{name}: could not be tried: {failure}"),
        (None, 0) => format!("{name}: all bars held"),
        (None, _) => {
            let missed = outcome.row.findings.iter().filter(|finding| finding.is_missed());
            let missed: Vec<String> =
                missed.map(|finding| format!("{}: {}", finding.what, finding.cells()[0])).collect();
            let failures: String = outcome
                .row
                .tally
                .iter()
                .flat_map(|tally| &tally.failures)
                .fold(String::new(), |text, failed| format!("{text}\n    {failed:?}"));
            format!("{name}: MISSED {}{failures}", missed.join(", "))
        }
    }
}

/// One line for each finding.
pub(super) fn csv(all: &Replace) -> String {
    let mut text = "scenario,workers,seconds,what,seen,unit,bar,held\n".to_owned();
    for outcome in &all.rows {
        for finding in &outcome.row.findings {
            let fields = [
                outcome.scenario.name().to_owned(),
                outcome.workers.name().to_owned(),
                all.seconds.to_string(),
                format!("\"{}\"", finding.what),
                format!("{:.3}", finding.seen),
                finding.unit.name().to_owned(),
                finding.bar.map_or_else(String::new, super::finding::Bar::text),
                finding.held.map_or_else(String::new, |held| held.to_string()),
            ];
            let _ = writeln!(text, "{}", fields.join(","));
        }
    }
    text
}

fn missed(outcome: &Outcome) -> usize {
    outcome.row.findings.iter().filter(|finding| finding.is_missed()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replace::finding::{Bar, Finding, Unit};
    use crate::replace::kind::Kind;
    use crate::replace::{Row, Scenario};

    fn all() -> Replace {
        let findings = vec![
            Finding::count("GETs", 1_000),
            Finding::never("GETs failed", 2),
            Finding::barred("ready again", 71.6, Unit::Milliseconds, Bar::Below(150.0)),
        ];
        let row = Row { findings, notes: vec!["a note".to_owned()], ..Row::default() };
        let tried = Outcome { scenario: Scenario::Kill, workers: Kind::BuiltIn, row, failure: None };
        let failure = Some("node ended".to_owned());
        let not_tried = Outcome { scenario: Scenario::Kill, workers: Kind::Node, row: Row::default(), failure };
        Replace { seconds: 120, connections: 32, rows: vec![tried, not_tried] }
    }

    #[test]
    fn the_table_has_what_was_seen_against_its_bar() {
        let text = render(&all());
        assert!(text.contains("\n  GETs failed           2          0   MISSED\n"), "{text}");
        assert!(text.contains("\n  ready again     71.6 ms   < 150 ms     held\n"), "{text}");
        assert!(text.contains("\n!!! kill × node could not be tried: node ended\n"), "{text}");
        assert!(text.ends_with("\n1 bars held, 1 missed\n"), "{text}");
    }

    #[test]
    fn the_csv_has_a_line_for_each_finding() {
        assert_eq!(
            csv(&all()),
            "scenario,workers,seconds,what,seen,unit,bar,held\n\
             kill,built-in,120,\"GETs\",1000.000,,,\n\
             kill,built-in,120,\"GETs failed\",2.000,,<=0.000,false\n\
             kill,built-in,120,\"ready again\",71.600,ms,<150.000,true\n"
        );
    }

    #[test]
    fn a_line_tells_at_once_what_was_missed() {
        let all = all();
        let time = Duration::from_secs(130);
        assert_eq!(progress(&all.rows[0], time), "kill × built-in, 130 s: MISSED GETs failed: 2");
        assert_eq!(progress(&all.rows[1], time), "kill × node, 130 s: could not be tried: node ended");
    }
}
