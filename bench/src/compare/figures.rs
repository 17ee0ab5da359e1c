//! The figures of one scenario, and how two columns are compared.
//!
//! Decides which ratios a scenario is about, and that two columns are set against each other round by round. Called by
//! [`super::compare`], [`super::bars`] and [`super::pictures`]. Never judges.

use super::measurement::{CPU, IDLE_MEMORY, Measurement, RATE};
use super::scenario::{Column, Condition, Scenario};
use super::target::Target;
use crate::report::figure::{Figure, Unit};

/// The runs of one scenario.
#[derive(Clone, Copy)]
pub(crate) struct Runs<'a> {
    pub(crate) scenario: Scenario,
    pub(crate) columns: &'a [Column],
    pub(crate) runs: &'a [Measurement],
}

impl<'a> Runs<'a> {
    /// Those of one column.
    pub(crate) fn of(self, column: Column) -> impl Iterator<Item = &'a Measurement> {
        self.runs.iter().filter(move |run| run.column == column)
    }

    /// One value for each round.
    pub(crate) fn values(self, column: Column, what: &str) -> Vec<f64> {
        self.of(column).filter_map(|run| run.value(what)).collect()
    }

    /// `combine(column, base)` of each round, for two runs of one round were neighbours.
    pub(crate) fn pairwise(
        self,
        column: Column,
        base: Column,
        what: &str,
        combine: fn(f64, f64) -> Option<f64>,
    ) -> Vec<f64> {
        let combined = self.of(column).filter_map(|run| {
            let neighbour = self.of(base).find(|other| other.round == run.round)?;
            combine(run.value(what)?, neighbour.value(what)?)
        });
        combined.collect()
    }

    /// All there is, in groups: latencies, costs, ratios.
    pub(crate) fn groups(self) -> Vec<Vec<Figure>> {
        let mut names: Vec<(&str, Unit)> = Vec::new();
        for (name, unit, _) in self.runs.iter().flat_map(|run| &run.values) {
            if !names.contains(&(name.as_str(), *unit)) {
                names.push((name, *unit));
            }
        }
        let figure = |column: &Column, (what, unit): (&str, Unit)| {
            Figure::of_rounds(column.name(), what, unit, self.values(*column, what))
        };
        let (latencies, costs): (Vec<_>, Vec<_>) = names.into_iter().partition(|(_, unit)| *unit == Unit::Milliseconds);
        let group = |names: Vec<(&str, Unit)>| -> Vec<Figure> {
            names.into_iter().flat_map(|name| self.columns.iter().map(move |column| figure(column, name))).collect()
        };
        let mut groups: Vec<Vec<Figure>> =
            [latencies, costs].into_iter().filter(|names| !names.is_empty()).map(group).collect();
        groups.push(self.ratios());
        groups
    }

    fn ratios(self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (label, what, base) in ratios(self.scenario) {
            for column in self.columns {
                let base = match base {
                    Base::Target(target) => Column::plain(*target),
                    Base::WithoutCondition => Column { condition: Condition::Plain, ..*column },
                };
                let rounds = self.pairwise(*column, base, what, quotient);
                figures.push(Figure::of_rounds(column.name(), *label, Unit::Ratio, rounds));
            }
        }
        if self.scenario == Scenario::AccessLog {
            for column in self.columns {
                let plain = Column { condition: Condition::Plain, ..*column };
                let rounds = self.pairwise(*column, plain, CPU, difference);
                figures.push(Figure::of_rounds(
                    column.name(),
                    "CPU µs/request more with log",
                    Unit::Microseconds,
                    rounds,
                ));
            }
        }
        figures
    }
}

/// `None` where there is nothing to divide by.
pub(crate) fn quotient(value: f64, base: f64) -> Option<f64> {
    (base > 0.0).then(|| value / base)
}

/// What `value` is more than `base`.
pub(crate) fn difference(value: f64, base: f64) -> Option<f64> {
    Some(value - base)
}

/// To what a figure is set in proportion.
#[derive(Clone, Copy)]
enum Base {
    Target(Target),
    /// The same target without what the column's name adds.
    WithoutCondition,
}

type Ratio = (&'static str, &'static str, Base);

const P99: &str = "99 %";
const CPU_NGINX: Ratio = ("proxy CPU, nginx = 1", CPU, Base::Target(Target::Nginx));
const CPU_HAPROXY: Ratio = ("proxy CPU, haproxy = 1", CPU, Base::Target(Target::Haproxy));
const CPU_SPLICE: Ratio = ("proxy CPU, haproxy splice = 1", CPU, Base::Target(Target::HaproxySplice));
const RATE_DIRECT: Ratio = ("requests/s, direct = 1", RATE, Base::Target(Target::Direct));
const RATE_NGINX: Ratio = ("requests/s, nginx = 1", RATE, Base::Target(Target::Nginx));
const P99_DIRECT: Ratio = ("p99, direct = 1", P99, Base::Target(Target::Direct));
const P99_NGINX: Ratio = ("p99, nginx = 1", P99, Base::Target(Target::Nginx));

fn ratios(scenario: Scenario) -> &'static [Ratio] {
    match scenario {
        Scenario::Keepalive | Scenario::Connection | Scenario::Many => {
            &[RATE_DIRECT, RATE_NGINX, CPU_NGINX, CPU_HAPROXY]
        }
        Scenario::Kb100 | Scenario::Mb1 | Scenario::Upload => {
            &[RATE_DIRECT, RATE_NGINX, CPU_NGINX, CPU_HAPROXY, CPU_SPLICE]
        }
        Scenario::Latency | Scenario::Open50 | Scenario::Open90 => &[P99_DIRECT, P99_NGINX, CPU_NGINX, CPU_HAPROXY],
        Scenario::Idle => &[
            ("memory, nginx = 1", IDLE_MEMORY, Base::Target(Target::Nginx)),
            ("memory, haproxy = 1", IDLE_MEMORY, Base::Target(Target::Haproxy)),
        ],
        Scenario::IdleLoad => &[
            ("requests/s, none idle = 1", RATE, Base::WithoutCondition),
            ("proxy CPU, none idle = 1", CPU, Base::WithoutCondition),
        ],
        Scenario::Unix => &[RATE_NGINX, CPU_NGINX, CPU_HAPROXY],
        Scenario::Work => &[RATE_DIRECT, P99_DIRECT, P99_NGINX],
        Scenario::AccessLog => &[("proxy CPU, no log = 1", CPU, Base::WithoutCondition)],
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tool::Reading;
    use super::*;
    use crate::cpu::Cpu;
    use crate::report::{Layout, Section};

    /// 10,000 requests a second; a proxy takes 40 µs CPU for each.
    pub(in crate::compare) fn run(target: Target, round: u32) -> Measurement {
        let proxied = target != Target::Direct;
        let mut values = vec![(P99.to_owned(), Unit::Milliseconds, 8.0), (RATE.to_owned(), Unit::Count, 10_000.0)];
        if proxied {
            values.push((CPU.to_owned(), Unit::Microseconds, 40.0));
        }
        Measurement {
            column: Column::plain(target),
            round,
            command: "ab -n 100000".to_owned(),
            tool: "ab",
            reading: Reading { requests: 100_000, requests_per_second: 10_000.0, ..Reading::default() },
            proxy_cpu: proxied.then_some(Cpu { user_seconds: 1.0, system_seconds: 3.0 }),
            steps: Vec::new(),
            values,
        }
    }

    /// The same with another value of one figure.
    pub(in crate::compare) fn valued(target: Target, round: u32, what: &str, value: f64) -> Measurement {
        let mut run = run(target, round);
        match run.values.iter_mut().find(|(name, ..)| name == what) {
            Some(found) => found.2 = value,
            None => run.values.push((what.to_owned(), Unit::Number, value)),
        }
        run
    }

    #[test]
    fn the_table_stands_side_by_side_and_a_ratio_is_taken_within_its_round() {
        // The second minute was twice as noisy for both: no difference between them.
        let rounds = [(1, 1000.0), (2, 500.0), (3, 800.0)].into_iter().flat_map(|(round, rate)| {
            [valued(Target::Direct, round, RATE, rate), valued(Target::Nginx, round, RATE, rate / 2.0)]
        });
        let (runs, columns) = (rounds.collect::<Vec<_>>(), [Target::Direct, Target::Nginx].map(Column::plain));
        let groups = Runs { scenario: Scenario::Connection, columns: &columns, runs: &runs }.groups();
        let text = Section::new(Layout::Columns, "ab latency, ms", groups).body();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
        for line in [
            "ab latency, ms direct nginx",
            "99 % 8.00 8.00",
            "requests/s 800 (500–1,000) 400 (250–500)",
            "proxy, CPU µs/request – 40.0",
            "requests/s, direct = 1 1.00 0.50",
            "proxy CPU, nginx = 1 – 1.00",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("haproxy"), "{text}");
    }
}
