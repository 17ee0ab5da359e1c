//! The bars this project has set itself, and whether a comparison meets them.
//!
//! Decides figure, opponent and limits of each bar. Called by [`super::compare`] when everything is measured. Never rounds in
//! anybody's favour: the median of the rounds' own ratios counts.

use super::figures::{Runs, difference, quotient};
use super::measurement::{CPU, IDLE_MEMORY, RATE};
use super::scenario::{Column, Condition, Scenario};
use super::target::Target;
use crate::report::figure::{Bar, Figure, Unit};
use crate::statistics::Spread;

/// Every bar of a scenario.
pub(super) fn judge(runs: Runs<'_>) -> Vec<Figure> {
    BARS.iter().filter(|bar| bar.0 == runs.scenario).map(|bar| figure(bar, runs)).collect()
}

enum Against {
    /// A ratio to the best of these (for memory and CPU the lowest median).
    Best(&'static [Column]),
    /// What it is more than this.
    More(Column),
    Nobody,
}

fn figure((_, what, column, figure, against, bar, reach): &Judged, runs: Runs<'_>) -> Figure {
    let median = |base: &Column| Spread::of(runs.values(*base, figure)).map(|spread| spread.median);
    let (unit, rounds) = match against {
        Against::Nobody => (Unit::Ratio, runs.values(*column, figure)),
        Against::More(base) => (Unit::Ratio, runs.pairwise(*column, *base, figure, difference)),
        Against::Best(columns) => {
            let measured = columns.iter().filter_map(|base| Some((base, median(base)?)));
            let best = measured.min_by(|one, other| one.1.total_cmp(&other.1));
            let ratios = best.map(|(base, _)| runs.pairwise(*column, *base, figure, quotient));
            (Unit::Ratio, ratios.unwrap_or_default())
        }
    };
    Figure::of_rounds(runs.scenario.name(), *what, unit, rounds).barred(*bar).reaching(*reach)
}

/// Scenario, what, column, figure, against whom, bar, reach.
type Judged = (Scenario, &'static str, Column, &'static str, Against, Bar, f64);

const DIRECT: Column = Column::plain(Target::Direct);
const BALANCER: Column = Column::plain(Target::Balancer);
const BESIDE_IDLE: Column = Column { target: Target::Balancer, condition: Condition::Idle };
const LOGGING: Column = Column { target: Target::Balancer, condition: Condition::AccessLog };
const NGINX: Against = Against::Best(&[Column::plain(Target::Nginx)]);
const HAPROXY: Against = Against::Best(&[Column::plain(Target::Haproxy), Column::plain(Target::HaproxySplice)]);

/// With two cores, one proxy thread on its own core.
#[rustfmt::skip]
const BARS: [Judged; 10] = [
    (Scenario::Keepalive, "keep-alive, 11 bytes: CPU µs/request, nginx = 1", BALANCER, CPU, NGINX, Bar::AtMost(0.90), 0.80),
    (Scenario::Connection, "a connection per request (ab): CPU µs/request, nginx = 1", BALANCER, CPU, NGINX, Bar::AtMost(0.85), 0.70),
    (Scenario::Kb100, "100 KB responses: CPU µs/request, HAProxy (better of copy and splice) = 1", BALANCER, CPU, HAPROXY, Bar::AtMost(0.85), 0.70),
    (Scenario::Mb1, "1 MB responses: CPU µs/request, HAProxy (better of copy and splice) = 1", BALANCER, CPU, HAPROXY, Bar::AtMost(0.75), 0.60),
    (Scenario::Unix, "endpoints on Unix sockets: CPU µs/request, nginx on the same sockets = 1", BALANCER, CPU, NGINX, Bar::AtMost(0.90), 0.80),
    (Scenario::Many, "4,000 connections: requests/s, nginx = 1", BALANCER, RATE, NGINX, Bar::AtLeast(1.15), 1.4),
    (Scenario::Idle, "memory per idle keep-alive connection, KB", BALANCER, IDLE_MEMORY, Against::Nobody, Bar::AtMost(0.8), 0.36),
    (Scenario::IdleLoad, "beside 18,000 idle connections: requests/s, none idle = 1", BESIDE_IDLE, RATE, Against::Best(&[BALANCER]), Bar::AtLeast(0.97), 1.0),
    (Scenario::Work, "workers that compute 5 ms: p99 over two of them, one direct = 1", BALANCER, "99 %", Against::Best(&[DIRECT]), Bar::Below(1.0), 0.6),
    (Scenario::AccessLog, "combined access log to a file: CPU µs/request more than without", LOGGING, CPU, Against::More(BALANCER), Bar::AtMost(0.5), 0.5),
];

#[cfg(test)]
mod tests {
    use super::super::figures::tests::valued;
    use super::super::measurement::Measurement;
    use super::*;

    fn verdict(scenario: Scenario, runs: &[Measurement]) -> (usize, &'static str, String) {
        let judged = judge(Runs { scenario, columns: &[], runs });
        (judged.len(), judged[0].verdict(), judged[0].text())
    }

    #[test]
    fn the_median_of_the_rounds_own_ratios_is_judged() {
        // The machine was twice as slow in the second round.
        let both = |((round, slow), ours): ((u32, f64), f64)| {
            [valued(Target::Balancer, round, CPU, ours * slow), valued(Target::Nginx, round, CPU, slow)]
        };
        let runs =
            |ours: [f64; 3]| [(1, 1.0), (2, 2.0), (3, 1.0)].into_iter().zip(ours).flat_map(both).collect::<Vec<_>>();
        for (ours, expected) in
            [([0.85, 0.85, 1.5], "held"), ([0.8, 0.1, 0.9], "reached"), ([0.91, 0.91, 0.5], "MISSED")]
        {
            let (count, verdict, _) = verdict(Scenario::Keepalive, &runs(ours));
            assert_eq!((count, verdict), (1, expected), "{ours:?}");
        }
    }

    #[test]
    fn the_better_opponent_counts_and_a_missing_one_is_no_verdict() {
        let cpu = |target, value| valued(target, 1, CPU, value);
        let runs = [cpu(Target::Balancer, 0.9), cpu(Target::Haproxy, 2.0), cpu(Target::HaproxySplice, 1.0)];
        assert_eq!(verdict(Scenario::Kb100, &runs).2, "0.90");
        assert_eq!(verdict(Scenario::Kb100, &runs[..1]).1, "not measured");
        let p99 = |ours| {
            verdict(
                Scenario::Work,
                &[valued(Target::Direct, 1, "99 %", 10.0), valued(Target::Balancer, 1, "99 %", ours)],
            )
            .1
        };
        // A strict bar is missed by a tie.
        assert_eq!([10.0, 9.9, 6.0].map(p99), ["MISSED", "held", "reached"]);
    }
}
