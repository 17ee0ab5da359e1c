//! What a soak comes to: what failed and whether a kill explains it, what grew, and the bars.
//!
//! Decides what a killed worker may break: whatever is not a GET that can be asked again elsewhere. Called by
//! [`super::soak`]. Never forgives what failed while nobody was killed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::tally::Tally;
use super::watch::{Look, Watch};
use super::{client::Traffic, disturb::Disturbed};
use crate::report::figure::{Bar, Figure, Unit};
use crate::report::{Report, Section};
use crate::{load::Sent, report::table::Table};

/// All there is to tell.
pub(super) struct Soaked {
    pub(super) seconds: u64,
    /// Without a client.
    pub(super) before: Look,
    pub(super) after: Look,
    pub(super) watch: Watch,
    pub(super) disturbed: Disturbed,
    /// An entry for each request.
    pub(super) done: Vec<Traffic>,
    pub(super) failed: Vec<Failed>,
    pub(super) tally: Tally,
}

/// One that failed.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    traffic: Traffic,
    /// The last moment at which all was well, and the first at which it was not.
    since: Instant,
    until: Instant,
    why: String,
}

/// From before a worker was killed until another was ready in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    pub(super) since: Instant,
    pub(super) until: Instant,
}

impl Failed {
    /// `None` of one that was served; `begun`: when its load was.
    pub(super) fn of(traffic: Traffic, begun: Instant, sent: &Sent) -> Option<Failed> {
        let end = sent.end.name();
        let why = sent.said.as_ref().map_or_else(|| end.clone(), |said| format!("{end}: {said}"));
        (!sent.is_served()).then(|| Failed { traffic, since: begun + sent.well, until: begun + sent.at, why })
    }

    fn is_explained_by(&self, kills: &[Kill]) -> bool {
        let meets = |kill: &Kill| self.since <= kill.until + SLACK && self.until >= kill.since;
        self.traffic.is_cut_by_a_kill() && kills.iter().any(meets)
    }
}

impl Soaked {
    pub(super) fn report(&self) -> Report {
        let mut section = Section::of_lines(self.figures());
        section.notes = self.reasons();
        let head = format!("{} s on one balancer with four workers", self.seconds);
        let mut report = Report::of(vec![head], section);
        report.foot = vec![
            self.minutes().trim_end().to_owned(),
            format!(
                "Each line is the median of a look a second; what rises does so from second {:.0} to the end, by the line that fits best.",
                self.watch.warm_after()
            ),
            report.bars(),
        ];
        report
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for traffic in Traffic::ALL {
            figures.push(Figure::count(traffic.name(), self.done.iter().filter(|one| **one == traffic).count()));
            let failed = self.failed.iter().filter(|failed| failed.traffic == traffic);
            let (explained, not): (Vec<_>, Vec<_>) =
                failed.partition(|failed| failed.is_explained_by(&self.disturbed.kills));
            if traffic.is_cut_by_a_kill() {
                figures.push(Figure::count("  failed, which a kill explains", explained.len()));
            }
            figures.push(Figure::never("  failed", not.len()));
        }
        let done = &self.disturbed;
        figures.extend([
            Figure::never("POSTs run twice", self.tally.run_twice),
            Figure::never("POSTs answered, not run", self.tally.not_recorded),
            Figure::count("workers killed", done.kills.len()),
            Figure::count("rolls", done.rolls),
            Figure::never("  failed", done.rolls_failed),
            Figure::count("reloads", done.reloads),
            Figure::never("  failed", done.reloads_failed),
        ]);
        if let Some((rise, median)) = self.watch.growth(|look| look.private) {
            let bar = Bar::AtMost((median / 10.0).max(BYTES) / 1e6);
            figures.push(Figure::seen("private memory rises by", rise / 1e6, Unit::Megabytes).barred(bar));
        }
        if let Some((rise, median)) = self.watch.growth(|look| look.descriptors) {
            figures.push(Figure::seen("descriptors rise by", rise, Unit::Count).barred(Bar::AtMost(median / 5.0)));
        }
        let rest = |what, of: fn(&Look) -> f64| {
            Figure::seen(what, of(&self.after), Unit::Count).barred(Bar::AtMost(of(&self.before)))
        };
        figures.push(rest("descriptors at rest, after all", |look| look.descriptors));
        figures.push(rest("threads at rest, after all", |look| look.threads));
        figures
    }

    /// What failed, how many, and when the first of them was noticed.
    fn reasons(&self) -> Vec<String> {
        let mut reasons: BTreeMap<(Traffic, bool, &str), (usize, Instant)> = BTreeMap::new();
        for failed in &self.failed {
            let explained = failed.is_explained_by(&self.disturbed.kills);
            let (count, first) = reasons.entry((failed.traffic, !explained, &failed.why)).or_insert((0, failed.until));
            (*count, *first) = (*count + 1, failed.until.min(*first));
        }
        let in_words = |((traffic, unexplained, why), (count, first)): ((Traffic, bool, &str), (usize, Instant))| {
            let mark = if unexplained { "!!! " } else { "" };
            let second = first.saturating_duration_since(self.watch.begun).as_secs_f64();
            format!("{mark}{}: {count} × {why}, from second {second:.1} on", traffic.name())
        };
        reasons.into_iter().map(in_words).collect()
    }

    fn minutes(&self) -> String {
        let mut table = Table::default();
        table.row("minute", ["private MB", "RSS MB", "descriptors", "threads"].map(str::to_owned));
        table.row("at rest", self.before.cells());
        self.watch.spans.iter().for_each(|(at, look)| table.row(format!("{:.1}", at / 60.0), look.cells()));
        table.row("at rest", self.after.cells());
        table.render()
    }
}

/// A dead worker's sockets are closed when the kernel gets to it.
const SLACK: Duration = Duration::from_secs(1);
/// What an allocator makes of nothing: it takes and gives back in pieces of some MiB. Descriptors fall with each kill and rise again; how
/// many are open at rest is the sharper look at them.
const BYTES: f64 = 4e6;

#[cfg(test)]
mod tests {
    use super::super::super::tally::tests::sent;
    use super::*;
    use crate::load::answer::{End, Fault};

    fn soaked() -> Soaked {
        let begun = Instant::now();
        let look = |private, descriptors| Look { private, resident: 2.0 * private, descriptors, threads: 5.0 };
        let mut watch = Watch::start(1, begun, Duration::from_secs(600));
        watch.spans = (1..=10).map(|minute| (f64::from(minute) * 60.0, look(40e6, 200.0))).collect();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let why = "the stream was cut".to_owned();
        let failed = vec![Failed { traffic: Traffic::Stream, since: at(9), until: at(11), why }];
        let kills = vec![Kill { since: at(10), until: at(10) }];
        let disturbed = Disturbed { kills, rolls: 2, reloads: 3, ..Disturbed::default() };
        let (before, after, done) = (look(20e6, 60.0), look(30e6, 60.0), vec![Traffic::Stream, Traffic::GetOnce]);
        Soaked { seconds: 600, before, after, watch, disturbed, done, failed, tally: Tally::default() }
    }

    #[test]
    fn a_kill_explains_what_it_met_and_no_get() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let failed = |traffic, since, until| Failed { traffic, since: at(since), until: at(until), why: String::new() };
        let kills = [Kill { since: at(10), until: at(11) }];
        for (traffic, since, until, explained) in [
            (Traffic::Tunnel, 9, 10, true),
            (Traffic::Counted, 11, 13, true),
            (Traffic::Post, 12, 12, true),
            (Traffic::Stream, 8, 9, false),
            (Traffic::Chunked, 13, 14, false),
            (Traffic::Get, 9, 12, false),
            (Traffic::GetOnce, 9, 12, false),
        ] {
            assert_eq!(failed(traffic, since, until).is_explained_by(&kills), explained, "{traffic:?} {since} {until}");
        }
        assert!(!failed(Traffic::Tunnel, 9, 12).is_explained_by(&[]));
    }

    #[test]
    fn what_failed_has_its_times_and_its_reason() {
        let begun = Instant::now();
        let mut cut = sent(3, 5_000, End::Failed(Fault::Cut));
        (cut.well, cut.said) = (Duration::from_secs(3), Some("closed_early".to_owned()));
        let failed = Failed::of(Traffic::Post, begun, &cut).unwrap();
        assert_eq!(failed.why, "connection cut: closed_early");
        assert_eq!([failed.since - begun, failed.until - begun], [3, 5].map(Duration::from_secs));
        let ok = End::Answered { status: 200, retry_after: false };
        assert!(Failed::of(Traffic::Post, begun, &sent(1, 1, ok)).is_none());
    }

    #[test]
    fn what_a_kill_explains_is_counted_and_forgiven() {
        let report = soaked().report();
        let text = report.text();
        assert!(report.sound, "{text}");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
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
        let missed = |change: fn(&mut Soaked)| {
            let mut soaked = soaked();
            change(&mut soaked);
            let report = soaked.report();
            assert!(!report.sound, "{}", report.text());
            report.text()
        };
        let text = missed(|soaked| soaked.disturbed.kills.clear());
        assert!(text.contains("\n!!! event streams: 1 × the stream was cut, from second 11.0 on\n"), "{text}");
        let text = missed(|soaked| soaked.watch.spans.iter_mut().for_each(|(at, look)| look.private += *at * 40e3));
        assert!(text.contains("private memory rises by"), "{text}");
        missed(|soaked| soaked.after.descriptors += 1.0);
    }
}
