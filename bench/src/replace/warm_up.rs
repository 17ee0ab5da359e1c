//! Workers that are slow at first are rolled while clients ask.
//!
//! Decides the phases: no roll, roll, no roll, roll …, neighbours compared. Called by [`super::replace`]. Never compares two runs.

use std::time::Duration;

use super::kind::{COLD_MS, Manners, Program};
use super::site::{Ground, Setup, Site};
use super::{Row, ask};
use crate::report::figure::{Bar, Figure, Unit};
use crate::statistics::{Latencies, Spread, three_digits};
use crate::{failure::Failure, load::Sent};

/// Client p99 with and without a roll.
pub(super) fn warm_up(ground: &Ground, program: &Program, time: Duration) -> Result<Row, Failure> {
    let site = Site::start(ground, program, SETUP, "")?;
    let capacity = site.capacity()?;
    let load = ask::start(site.port, SHARE * capacity, ground.connections, 'r')?;
    site.pause(SETTLING)?;
    let pairs = (time.as_secs() / PAIR.as_secs()).max(1);
    let (mut phases, mut failed, mut rolls) = (Vec::new(), 0, Vec::new());
    for _ in 0..pairs {
        let quiet = load.elapsed();
        site.pause(QUIET)?;
        let begun = load.elapsed();
        let order = site.order(&["restart", "app"])?;
        failed += usize::from(!order.ok);
        rolls.push(order.time.as_secs_f64() * 1e3);
        phases.push([quiet, begun, load.elapsed()]);
    }
    let (tally, sent) = site.tally(&load, 'r')?;
    let p99 = |from, to| Some(Latencies::of(between(&sent, from, to))?.percentile(99.0));
    let pairs = phases.iter().filter_map(|[quiet, begun, ended]| Some([p99(*quiet, *begun)?, p99(*begun, *ended)?]));
    let pairs: Vec<[f64; 2]> = pairs.collect();
    let median =
        |which: usize| Spread::of(pairs.iter().map(|pair| pair[which])).map_or(f64::NAN, |spread| spread.median);
    let changes = pairs.iter().map(|[quiet, roll]| (roll / quiet - 1.0) * 100.0);
    let change = Spread::of(changes).map_or(f64::NAN, |spread| spread.median);
    let by_second = by_second(&sent);
    let seconds = |from: Duration, to: Duration| {
        let within = by_second.iter().take(to.as_secs() as usize).skip(from.as_secs() as usize + 1).copied();
        Spread::of(within).map(|seconds| seconds.median)
    };
    let steadier = phases
        .iter()
        .filter_map(|[quiet, begun, ended]| Some((seconds(*begun, *ended)? / seconds(*quiet, *begun)? - 1.0) * 100.0));
    let steadier = Spread::of(steadier).map_or(f64::NAN, |spread| spread.median);
    let noise = Spread::of(pairs.iter().map(|[quiet, _]| *quiet))
        .map_or(f64::NAN, |quiet| (quiet.max / quiet.min - 1.0) * 100.0);
    let slowest = Latencies::of(sent.iter().map(Sent::latency)).map_or(f64::NAN, |all| all.percentile(100.0));
    let figures = vec![
        Figure::count("rolls", rolls.len()),
        Figure::never("rolls failed", failed),
        Figure::seen(
            "one takes (median)",
            Spread::of(rolls).map_or(f64::NAN, |spread| spread.median),
            Unit::Milliseconds,
        ),
        Figure::count("requests", tally.requests()),
        Figure::never("requests failed", tally.failed_gets + tally.failed_posts),
        Figure::seen("p99 without a roll", median(0), Unit::Milliseconds),
        Figure::seen("p99 while rolled", median(1), Unit::Milliseconds),
        Figure::seen("change of p99 (median of pairs)", change, Unit::Percent).barred(Bar::Below(10.0)),
        Figure::seen("the same of its median second", steadier, Unit::Percent),
        // What the machine does by itself: a change below that says nothing.
        Figure::seen("phases without a roll differ by", noise, Unit::Percent),
        // One request that met a cold worker is no matter for p99, and the very thing the gate is for.
        Figure::seen("slowest of all", slowest, Unit::Milliseconds).barred(Bar::Below(COLD_MS as f64)),
    ];
    let text: Vec<String> = pairs.iter().map(|[quiet, roll]| format!("{quiet:.1} → {roll:.1} ms")).collect();
    let spans =
        phases.iter().map(|[_, begun, ended]| format!("{:.1} to {:.1}", begun.as_secs_f64(), ended.as_secs_f64()));
    let spans = spans.collect::<Vec<_>>().join(", ");
    let seconds = by_second.iter().map(|p99| three_digits(*p99)).collect::<Vec<_>>().join(" ");
    let mut notes = vec![format!("p99 of each pair: {}; rolled from second {spans}", text.join(", "))];
    notes.push(format!("p99 of each second, ms: {seconds}"));
    notes.extend(tally.notes);
    Ok(Row { figures, notes })
}

/// Latencies of those that ended in a span.
fn between(sent: &[Sent], from: Duration, to: Duration) -> Vec<Duration> {
    sent.iter().filter(|one| (from..to).contains(&one.at)).map(Sent::latency).collect()
}

/// The p99 of each second, ms; 0 where nothing ended.
fn by_second(sent: &[Sent]) -> Vec<f64> {
    let seconds = sent.iter().map(|one| one.at.as_secs() + 1).max().unwrap_or(0);
    let second = |nth| between(sent, Duration::from_secs(nth), Duration::from_secs(nth + 1));
    (0..seconds).map(|nth| Latencies::of(second(nth)).map_or(0.0, |latencies| latencies.percentile(99.0))).collect()
}

/// Two workers, replaced at once: twenty requests of two seconds, one after another, take 40 s for however many.
const SETUP: Setup = Setup {
    count: 2,
    manners: Manners { delay_ms: 10, cold_requests: 20, start_delay_ms: 0 },
    keys: "roll_parallel = 2\nready_timeout = \"90s\"\nwarm_up = { path = \"/\", requests = 20 }",
};
const SHARE: f64 = 0.8;
const SETTLING: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(14);
/// Of the time asked for.
const PAIR: Duration = Duration::from_secs(40);

#[cfg(test)]
mod tests {
    use super::super::tally::tests::sent;
    use super::*;
    use crate::load::answer::End;

    #[test]
    fn a_phase_has_what_ended_in_it() {
        let end = End::Answered { status: 200, retry_after: false };
        let all: Vec<Sent> = (0..5).map(|nth| sent(nth, 1_000 * nth, end)).collect();
        assert_eq!(between(&all, Duration::from_secs(1), Duration::from_secs(3)), [1, 2].map(Duration::from_secs));
        assert_eq!(by_second(&all[1..3]).iter().map(|p99| p99.round()).collect::<Vec<_>>(), [0.0, 1_000.0, 2_000.0]);
        assert!(by_second(&[]).is_empty());
    }
}
