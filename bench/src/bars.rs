//! The bars this project has set itself, and whether a comparison meets them.
//!
//! Decides figure, opponent and limits of each bar. Called by [`crate::compare`] when everything is measured. Never
//! formats, never rounds in anybody's favour: the median of the rounds' own ratios counts.

use serde::Serialize;

use crate::figure::{Figure, Runs, difference, quotient};
use crate::measurement::Measurement;
use crate::scenario::{Column, Condition, Scenario};
use crate::statistics::Spread;
use crate::target::Target;

/// A bar and how it went.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Judged {
    pub(crate) scenario: Scenario,
    pub(crate) what: &'static str,
    /// Ratio, KB or µs, as `what` says; `None` when a column it takes was not measured.
    pub(crate) value: Option<Spread>,
    pub(crate) bound: Bound,
    pub(crate) bar: f64,
    /// What would be better still.
    pub(crate) reach: f64,
    pub(crate) verdict: Verdict,
}

/// On which side of the bar it is good to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bound {
    AtMost,
    Below,
    AtLeast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Reached,
    Met,
    Missed,
    NotMeasured,
}

impl Bound {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Bound::AtMost => value <= limit,
            Bound::Below => value < limit,
            Bound::AtLeast => value >= limit,
        }
    }

    /// "≤ 0.95"
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Bound::AtMost => "≤",
            Bound::Below => "<",
            Bound::AtLeast => "≥",
        }
    }
}

/// Every bar of the scenarios that were to be measured.
pub(crate) fn judge(scenarios: &[Scenario], measurements: &[Measurement]) -> Vec<Judged> {
    BARS.iter().filter(|bar| scenarios.contains(&bar.scenario)).map(|bar| bar.judge(measurements)).collect()
}

struct Bar {
    scenario: Scenario,
    what: &'static str,
    figure: Figure,
    column: Column,
    against: Against,
    bound: Bound,
    bar: f64,
    reach: f64,
}

enum Against {
    /// A ratio to the best of these (for memory and CPU the lowest median).
    Best(&'static [Column]),
    /// What it is more than this.
    More(Column),
    Nobody,
}

impl Bar {
    fn judge(&self, measurements: &[Measurement]) -> Judged {
        let runs = Runs { scenario: self.scenario, measurements };
        let value = match self.against {
            Against::Nobody => runs.spread(self.column, self.figure),
            Against::More(base) => runs.pairwise(self.column, base, self.figure, difference),
            Against::Best(columns) => {
                let measured = columns.iter().filter_map(|base| Some((base, runs.spread(*base, self.figure)?.median)));
                let best = measured.min_by(|one, other| one.1.total_cmp(&other.1));
                best.and_then(|(base, _)| runs.pairwise(self.column, *base, self.figure, quotient))
            }
        };
        let verdict = match value {
            None => Verdict::NotMeasured,
            // A strict bar's reach is not strict.
            Some(value) if self.bound == Bound::Below && value.median <= self.reach => Verdict::Reached,
            Some(value) if self.bound != Bound::Below && self.bound.holds(value.median, self.reach) => Verdict::Reached,
            Some(value) if self.bound.holds(value.median, self.bar) => Verdict::Met,
            Some(_) => Verdict::Missed,
        };
        let (scenario, what, bound, bar, reach) = (self.scenario, self.what, self.bound, self.bar, self.reach);
        Judged { scenario, what, value, bound, bar, reach, verdict }
    }
}

const DIRECT: Column = Column::plain(Target::Direct);
const BALANCER: Column = Column::plain(Target::Balancer);
const NGINX: &[Column] = &[Column::plain(Target::Nginx)];
const HAPROXY: &[Column] = &[Column::plain(Target::Haproxy), Column::plain(Target::HaproxySplice)];

/// With two cores, one proxy thread on its own core.
const BARS: [Bar; 10] = [
    Bar {
        scenario: Scenario::Keepalive,
        what: "keep-alive, 11 bytes: CPU µs/request, nginx = 1",
        figure: Figure::Cpu,
        column: BALANCER,
        against: Against::Best(NGINX),
        bound: Bound::AtMost,
        bar: 0.90,
        reach: 0.80,
    },
    Bar {
        scenario: Scenario::Connection,
        what: "a connection per request (ab): CPU µs/request, nginx = 1",
        figure: Figure::Cpu,
        column: BALANCER,
        against: Against::Best(NGINX),
        bound: Bound::AtMost,
        bar: 0.85,
        reach: 0.70,
    },
    Bar {
        scenario: Scenario::Kb100,
        what: "100 KB responses: CPU µs/request, HAProxy (better of copy and splice) = 1",
        figure: Figure::Cpu,
        column: BALANCER,
        against: Against::Best(HAPROXY),
        bound: Bound::AtMost,
        bar: 0.85,
        reach: 0.70,
    },
    Bar {
        scenario: Scenario::Mb1,
        what: "1 MB responses: CPU µs/request, HAProxy (better of copy and splice) = 1",
        figure: Figure::Cpu,
        column: BALANCER,
        against: Against::Best(HAPROXY),
        bound: Bound::AtMost,
        bar: 0.75,
        reach: 0.60,
    },
    Bar {
        scenario: Scenario::Unix,
        what: "endpoints on Unix sockets: CPU µs/request, nginx on the same sockets = 1",
        figure: Figure::Cpu,
        column: BALANCER,
        against: Against::Best(NGINX),
        bound: Bound::AtMost,
        bar: 0.90,
        reach: 0.80,
    },
    Bar {
        scenario: Scenario::Many,
        what: "4,000 connections: requests/s, nginx = 1",
        figure: Figure::Rate,
        column: BALANCER,
        against: Against::Best(NGINX),
        bound: Bound::AtLeast,
        bar: 1.15,
        reach: 1.4,
    },
    Bar {
        scenario: Scenario::Idle,
        what: "memory per idle keep-alive connection, KB",
        figure: Figure::IdleMemory,
        column: BALANCER,
        against: Against::Nobody,
        bound: Bound::AtMost,
        bar: 0.8,
        reach: 0.36,
    },
    Bar {
        scenario: Scenario::IdleLoad,
        what: "beside 18,000 idle connections: requests/s, none idle = 1",
        figure: Figure::Rate,
        column: Column { target: Target::Balancer, condition: Condition::Idle },
        against: Against::Best(&[BALANCER]),
        bound: Bound::AtLeast,
        bar: 0.97,
        reach: 1.0,
    },
    Bar {
        scenario: Scenario::Work,
        what: "workers that compute 5 ms: p99 over two of them, one direct = 1",
        figure: Figure::P99,
        column: BALANCER,
        against: Against::Best(&[DIRECT]),
        bound: Bound::Below,
        bar: 1.0,
        reach: 0.6,
    },
    Bar {
        scenario: Scenario::AccessLog,
        what: "combined access log to a file: CPU µs/request more than without",
        figure: Figure::Cpu,
        column: Column { target: Target::Balancer, condition: Condition::AccessLog },
        against: Against::More(BALANCER),
        bound: Bound::AtMost,
        bar: 0.5,
        reach: 0.5,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::run;

    fn keepalive(target: Target, round: u32, seconds: f64) -> Measurement {
        let mut run = run(target, round);
        run.scenario = Scenario::Keepalive;
        run.proxy_cpu = Some(crate::cpu::Cpu { user_seconds: seconds, system_seconds: 0.0 });
        run
    }

    #[test]
    fn the_median_of_the_rounds_own_ratios_is_judged() {
        let runs = |ours: [f64; 3]| {
            // The machine was twice as slow in the second round.
            let rounds = [(1, 1.0), (2, 2.0), (3, 1.0)].into_iter().zip(ours);
            let both = |((round, slow), ours)| {
                [keepalive(Target::Balancer, round, ours * slow), keepalive(Target::Nginx, round, slow)]
            };
            rounds.flat_map(both).collect::<Vec<_>>()
        };
        for (ours, verdict) in [
            ([0.85, 0.85, 1.5], Verdict::Met),
            ([0.8, 0.1, 0.9], Verdict::Reached),
            ([0.91, 0.91, 0.5], Verdict::Missed),
        ] {
            let judged = judge(&[Scenario::Keepalive], &runs(ours));
            assert_eq!((judged.len(), judged[0].verdict), (1, verdict), "{ours:?}");
        }
    }

    #[test]
    fn the_better_opponent_counts() {
        let kb100 = |target, seconds| Measurement { scenario: Scenario::Kb100, ..keepalive(target, 1, seconds) };
        let runs = [kb100(Target::Balancer, 0.9), kb100(Target::Haproxy, 2.0), kb100(Target::HaproxySplice, 1.0)];
        let judged = judge(&[Scenario::Kb100], &runs);
        assert_eq!(judged[0].value.map(|spread| spread.median), Some(0.9));
    }

    #[test]
    fn a_missing_opponent_is_no_verdict() {
        let judged = judge(&[Scenario::Keepalive], &[keepalive(Target::Balancer, 1, 1.0)]);
        assert_eq!(judged[0].verdict, Verdict::NotMeasured);
    }

    #[test]
    fn a_strict_bar_is_missed_by_a_tie() {
        let work = |target, p99: f64| {
            let mut run = Measurement { scenario: Scenario::Work, ..keepalive(target, 1, 1.0) };
            run.reading.percentiles[1].milliseconds = p99;
            run
        };
        let verdict =
            |p99| judge(&[Scenario::Work], &[work(Target::Direct, 10.0), work(Target::Balancer, p99)])[0].verdict;
        assert_eq!([10.0, 9.9, 6.0].map(verdict), [Verdict::Missed, Verdict::Met, Verdict::Reached]);
    }
}
