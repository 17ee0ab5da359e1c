//! What `soak` prints.
//!
//! Decides the bars. Called by [`super::soak`]. Never measures: pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use super::super::finding::{Bar, Finding, Unit};
use super::super::tally::Tally;
use super::disturb::Disturbed;
use super::ledger::{Ledger, Traffic};
use super::watch::{Look, Watch};
use crate::table::Table;

/// All there is to tell.
pub(super) struct Result {
    pub(super) seconds: u64,
    /// Without a client.
    pub(super) before: Look,
    pub(super) after: Look,
    pub(super) watch: Watch,
    pub(super) disturbed: Disturbed,
    pub(super) ledger: Ledger,
    pub(super) tally: Tally,
}

impl Result {
    /// Nothing failed unexplained and nothing grew.
    pub(super) fn is_sound(&self) -> bool {
        !self.findings().iter().any(Finding::is_missed)
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for traffic in Traffic::ALL {
            findings.push(Finding::count(traffic.name(), self.ledger.done.get(&traffic).copied().unwrap_or(0)));
            let failed = self.ledger.failed.iter().filter(|failed| failed.traffic == traffic);
            let (explained, not): (Vec<_>, Vec<_>) =
                failed.partition(|failed| failed.is_explained_by(&self.disturbed.kills));
            if traffic.is_cut_by_a_kill() {
                findings.push(Finding::count("  failed, which a kill explains", explained.len()));
            }
            findings.push(Finding::never("  failed", not.len()));
        }
        findings.push(Finding::never("POSTs run twice", self.tally.run_twice));
        findings.push(Finding::never("POSTs answered, not run", self.tally.not_recorded));
        let done = &self.disturbed;
        findings.push(Finding::count("workers killed", done.kills.len()));
        findings.push(Finding::count("rolls", done.rolls));
        findings.push(Finding::never("  failed", done.rolls_failed));
        findings.push(Finding::count("reloads", done.reloads));
        findings.push(Finding::never("  failed", done.reloads_failed));
        findings.extend(self.growth());
        findings.push(Finding::barred(
            "descriptors at rest, after all",
            self.after.descriptors,
            Unit::Count,
            Bar::AtMost(self.before.descriptors),
        ));
        findings.push(Finding::barred(
            "threads at rest, after all",
            self.after.threads,
            Unit::Count,
            Bar::AtMost(self.before.threads),
        ));
        findings
    }

    fn growth(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some((rise, median)) = self.watch.growth(|look| look.private) {
            let bar = Bar::AtMost((median / 10.0).max(BYTES) / 1e6);
            findings.push(Finding::barred("private memory rises by", rise / 1e6, Unit::Megabytes, bar));
        }
        if let Some((rise, median)) = self.watch.growth(|look| look.descriptors) {
            let bar = Bar::AtMost(median / 5.0);
            findings.push(Finding::barred("descriptors rise by", rise, Unit::Count, bar));
        }
        findings
    }
}

pub(super) fn render(result: &Result) -> String {
    // Writing to a String does not fail, here and below.
    let mut text = format!("{} s on one balancer with four workers\n\n", result.seconds);
    let mut table = Table::default();
    table.row("", ["seen", "bar", ""].map(str::to_owned));
    let findings = result.findings();
    findings.iter().for_each(|finding| table.row(format!("  {}", finding.what), finding.cells()));
    text += &table.render();

    // How many, and when the first of them was noticed.
    let mut reasons: BTreeMap<(Traffic, bool, &str), (usize, Instant)> = BTreeMap::new();
    for failed in &result.ledger.failed {
        let explained = failed.is_explained_by(&result.disturbed.kills);
        let (count, first) = reasons.entry((failed.traffic, !explained, &failed.why)).or_insert((0, failed.until));
        (*count, *first) = (*count + 1, failed.until.min(*first));
    }
    if !reasons.is_empty() {
        text.push_str("\nwhat failed, and why:\n");
    }
    for ((traffic, unexplained, why), (count, first)) in reasons {
        let mark = if unexplained { "!!! " } else { "" };
        let second = first.saturating_duration_since(result.watch.begun).as_secs_f64();
        let _ = writeln!(text, "  {mark}{}: {count} × {why}, from second {second:.1} on", traffic.name());
    }

    let mut table = Table::default();
    table.row("minute", ["private MB", "RSS MB", "descriptors", "threads"].map(str::to_owned));
    table.row("at rest", result.before.cells());
    result.watch.spans.iter().for_each(|(at, look)| table.row(format!("{:.1}", at / 60.0), look.cells()));
    table.row("at rest", result.after.cells());
    let _ = writeln!(text, "\n{}", table.render());
    let _ = writeln!(
        text,
        "Each line is the median of a look a second; what rises does so from second {:.0} to the end, by the line that fits best.",
        result.watch.warm_after()
    );
    let missed = findings.iter().filter(|finding| finding.is_missed()).count();
    let held = findings.iter().filter(|finding| finding.held == Some(true)).count();
    let _ = writeln!(text, "{held} bars held, {missed} missed");
    text
}

/// What an allocator makes of nothing: it takes and gives back in pieces of some MiB. Descriptors fall with each kill and rise again; how
/// many are open at rest is the sharper look at them.
const BYTES: f64 = 4e6;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::ledger::{Failed, Kill};
    use super::*;

    fn result() -> Result {
        let begun = Instant::now();
        let look = |private, descriptors| Look { private, resident: 2.0 * private, descriptors, threads: 5.0 };
        let mut watch = Watch::start(1, begun, Duration::from_secs(600));
        watch.spans = (1..=10).map(|minute| (f64::from(minute) * 60.0, look(40e6, 200.0))).collect();
        let mut ledger = Ledger::default();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let why = "the stream was cut".to_owned();
        ledger.note(Traffic::Stream, Some(Failed { traffic: Traffic::Stream, since: at(9), until: at(11), why }));
        ledger.note(Traffic::GetOnce, None);
        let kills = vec![Kill { since: at(10), until: at(10) }];
        let disturbed = Disturbed { kills, rolls: 2, reloads: 3, ..Disturbed::default() };
        let (before, after) = (look(20e6, 60.0), look(30e6, 60.0));
        Result { seconds: 600, before, after, watch, disturbed, ledger, tally: Tally::default() }
    }

    #[test]
    fn what_a_kill_explains_is_counted_and_forgiven() {
        let result = result();
        let text = render(&result);
        assert!(result.is_sound(), "{text}");
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for wanted in [
            "event streams 1",
            "failed, which a kill explains 1",
            "event streams: 1 × the stream was cut, from second 11.0 on",
            "1.0 40.0 80.0 200 5",
            "16 bars held, 0 missed",
        ] {
            assert!(lines.iter().any(|line| line == wanted), "{wanted} is not in\n{text}");
        }
    }

    #[test]
    fn what_nobody_explains_and_what_grows_is_missed() {
        let mut unexplained = result();
        unexplained.disturbed.kills.clear();
        assert!(!unexplained.is_sound());
        assert!(render(&unexplained).contains("\n  !!! event streams: 1 × the stream was cut, from second 11.0 on\n"));
        let mut grown = result();
        grown.watch.spans.iter_mut().for_each(|(at, look)| look.private += *at * 40e3);
        assert!(render(&grown).contains("private memory rises by"), "{}", render(&grown));
        assert!(!grown.is_sound());
        let mut leaking = result();
        leaking.after.descriptors += 1.0;
        assert!(!leaking.is_sound());
    }
}
