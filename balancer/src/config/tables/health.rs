//! What takes an endpoint out of its pool and brings it back: the keys `eject_after`, `eject_time`, `panic_threshold` and
//! `slow_start`, and the table `probe`. Decides what can be asked of an endpoint; called by [`super::pool`]; never asks one.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::question::{self, Question};
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;
use crate::config::syntax::units::{DURATION_MAX, DURATION_MIN};

/// How a pool judges its endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// Failed requests in a row after which an endpoint is ejected; 0: never.
    pub eject_after: u32,
    /// How long the first time, doubling from then on up to [`EJECT_TIME_MAX`].
    pub eject_time: Duration,
    /// Share of endpoints, 0.0 to 1.0; with fewer available than that, verdicts are ignored.
    pub panic_threshold: f64,
    /// Ramp of a freshly up endpoint's share; zero: none.
    pub slow_start: Duration,
    /// What is asked of endpoints besides the requests they get.
    pub probe: Option<Probe>,
}

/// A question asked of every endpoint again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What is asked; without it, that a connection is accepted is enough.
    pub question: Option<Question>,
    /// From one question to the next.
    pub interval: Duration,
    /// Not answered within this: failed.
    pub timeout: Duration,
    /// Good answers in a row that bring an endpoint up; at least 1.
    pub rise: u32,
    /// Failures in a row that take it down; at least 1.
    pub fall: u32,
    /// Statuses of a good answer.
    pub status: StatusSet,
}

/// Some of the statuses 100 to 599; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSet(Vec<RangeInclusive<u16>>);

impl StatusSet {
    /// All of these ranges together; at least one.
    pub fn of(ranges: &[RangeInclusive<u16>]) -> Self {
        Self(ranges.to_vec())
    }

    /// Whether it has this one.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// No endpoint is out for longer without another chance.
pub const EJECT_TIME_MAX: Duration = Duration::from_secs(300);

/// The keys of a pool that are about its endpoints' health.
pub(in crate::config) fn read(section: &mut Section<'_>, default: Health) -> Health {
    let eject_after = section.take("eject_after").and_then(|item| item.integer(0..=TIMES_MAX));
    let eject_time = section.take("eject_time").and_then(|item| item.duration(DURATION_MIN..=EJECT_TIME_MAX));
    let panic_threshold = section.take("panic_threshold").and_then(|item| item.percent(1.0));
    let slow_start = section.take("slow_start").and_then(|item| item.duration(Duration::ZERO..=SLOW_START_MAX));
    Health {
        eject_after: eject_after.unwrap_or(default.eject_after),
        eject_time: eject_time.unwrap_or(default.eject_time),
        panic_threshold: panic_threshold.unwrap_or(default.panic_threshold),
        slow_start: slow_start.unwrap_or(default.slow_start),
        probe: section.take("probe").and_then(|item| probe(&item)),
    }
}

/// The table `probe`; empty, it asks for a connection.
fn probe(item: &Item<'_>) -> Option<Probe> {
    let mut section = item.section("pool.NAME.probe", "[pool.app.probe], with single brackets")?;
    let default = Probe::default();
    let (path, grpc) = (section.take("path"), section.take("grpc"));
    let interval = section.take("interval").and_then(|item| item.duration(INTERVAL_MIN..=DURATION_MAX));
    let timeout = section.take("timeout").and_then(|item| item.duration(DURATION_MIN..=DURATION_MAX));
    let rise = section.take("rise").and_then(|item| item.integer(1..=TIMES_MAX));
    let fall = section.take("fall").and_then(|item| item.integer(1..=TIMES_MAX));
    let status = section.take("status");
    if let (Some(status), None) = (&status, &path) {
        status.wrong("`status` has no effect without `path`", "add path = \"/health\", or leave it out");
    }
    if let (Some(grpc), Some(_)) = (&grpc, &path) {
        grpc.key_wrong("`grpc` and `path` are two questions", "keep one of the two");
    }
    let (host, fields) = question::read(&mut section, path.is_some() || grpc.is_some());
    section.finish();
    let grpc = grpc.and_then(|item| question::service(&item));
    let path = path.and_then(|item| question::path(&item)).or_else(|| grpc.as_ref().map(|_| HEALTH.to_owned()));
    let question = path.map(|path| Question { host, fields, grpc, ..Question::of(path) });
    Some(Probe {
        question,
        interval: interval.unwrap_or(default.interval),
        timeout: timeout.unwrap_or(default.timeout),
        rise: rise.unwrap_or(default.rise),
        fall: fall.unwrap_or(default.fall),
        status: status.and_then(|item| statuses(&item)).unwrap_or(default.status),
    })
}

/// `"200-399"`, `"200"`, `"200, 204, 300-399"`.
fn statuses(item: &Item<'_>) -> Option<StatusSet> {
    if let Some(code) = item.as_integer() {
        return item.mistyped("a text", format!("write \"{code}\""));
    }
    let text = item.text("\"200-399\"")?;
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let code = |code: &str| code.trim().parse().ok().filter(|code| (100..=599).contains(code));
        Some(code(first)?..=code(last)?).filter(|range| !range.is_empty())
    };
    let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
    if ranges.is_none() {
        let help = "write codes from 100 to 599 and ranges of them, as in \"200-399\" or \"200,204\"";
        item.wrong(format!("{} is not a set of statuses", quote(text)), help);
    }
    ranges.map(StatusSet)
}

/// The method of gRPC's health checking (grpc.health.v1).
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// In a row; whoever needs more does not want it at all.
const TIMES_MAX: u32 = 1_000;

/// Asked more often, a pool of many endpoints does little else.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// A longer ramp is a weight.
const SLOW_START_MAX: Duration = Duration::from_secs(3_600);
