//! What of a comparison is drawn.
//!
//! Decides which pictures there are and what each is called; one that would be empty is left out. Called by `main` when
//! everything is measured. Never draws: that is [`crate::plot`].

use crate::compare::Comparison;
use crate::cpu::Cpu;
use crate::figure::{Figure, Runs};
use crate::measurement::Measurement;
use crate::plot::{Axis, Bar, Bars, Lines, Panel, Picture, Scale, Series, percentiles};
use crate::scenario::{Column, Scenario};
use crate::statistics::Spread;
use crate::target::Target;

/// A picture and what the page says of it.
pub(crate) struct Drawing {
    /// Of its files, without an ending.
    pub(crate) name: String,
    pub(crate) caption: String,
    pub(crate) picture: Box<dyn Picture>,
}

/// All there is something to draw for.
pub(crate) fn of(comparison: &Comparison) -> Vec<Drawing> {
    let measurements = comparison.measurements.as_slice();
    let curves = [Scenario::Connection, Scenario::Open50, Scenario::Open90, Scenario::Work];
    let curves = curves.into_iter().filter_map(|scenario| percentile_curve(comparison, scenario));
    let rest = [cpu_bars(comparison), throughput(measurements), memory(measurements)];
    curves.chain(rest.into_iter().flatten()).collect()
}

/// Latency at percentiles.
fn percentile_curve(comparison: &Comparison, scenario: Scenario) -> Option<Drawing> {
    let section = comparison.sections.iter().find(|section| section.scenario == scenario)?;
    let runs = Runs { scenario, measurements: &comparison.measurements };
    let points = |column: &Column| points(&runs.of(*column).collect::<Vec<_>>());
    let series: Vec<Series> = section.columns.iter().map(|column| series(*column, points(column))).collect();
    let is_empty = series.iter().all(|series| series.points.is_empty());
    let name = format!("percentiles-{}", scenario.name());
    let picture = percentiles(format!("Latency: {}", section.title), section.load.clone(), series);
    (!is_empty).then(|| Drawing { name, caption: format!("Latency: {}", section.title), picture: Box::new(picture) })
}

/// The curve of the round that was in the middle, or the medians of what the generator told of each round.
fn points(runs: &[&Measurement]) -> Vec<(f64, f64)> {
    let Some(first) = runs.first() else { return Vec::new() };
    if !first.reading.curve.is_empty() {
        let mut rounds = runs.to_vec();
        rounds.sort_by(|one, other| {
            let p99 = |run: &Measurement| run.reading.percentile(99.0).unwrap_or(f64::INFINITY);
            p99(one).total_cmp(&p99(other))
        });
        return rounds[rounds.len() / 2]
            .reading
            .curve
            .iter()
            .map(|point| (point.percent, point.milliseconds))
            .collect();
    }
    let below_all = first.reading.percentiles.iter().map(|found| found.percent).filter(|percent| *percent < 100.0);
    let median = |percent| Spread::of(runs.iter().filter_map(|run| run.reading.percentile(percent)));
    below_all.filter_map(|percent| Some((percent, median(percent)?.median))).collect()
}

/// CPU per request, user and kernel apart, a panel for each scenario that is about requests.
fn cpu_bars(comparison: &Comparison) -> Option<Drawing> {
    let panels = comparison.sections.iter().filter(|section| COSTS.contains(&section.scenario)).filter_map(|section| {
        let runs = Runs { scenario: section.scenario, measurements: &comparison.measurements };
        let part = |column: Column, part: fn(Cpu) -> f64| {
            Spread::of(runs.of(column).filter_map(|run| Some(run.per_request(part(run.proxy_cpu?)))))
        };
        let bars = section.columns.iter().filter_map(|column| {
            let user = part(*column, |cpu| cpu.user_seconds)?;
            let kernel = part(*column, |cpu| cpu.system_seconds)?;
            Some(Bar { name: column.name(), hue: hue(column.target), parts: [user.median, kernel.median] })
        });
        let bars: Vec<Bar> = bars.collect();
        (!bars.is_empty()).then(|| Panel { name: section.scenario.name(), bars })
    });
    let panels: Vec<Panel> = panels.collect();
    let caption = "CPU time of the proxy per request, µs".to_owned();
    let picture = Bars {
        title: "CPU time of the proxy per request".into(),
        subtitle: "µs, medians; each panel has its own scale".into(),
        parts: ["user", "kernel"],
        panels,
    };
    (!picture.panels.is_empty()).then(|| Drawing { name: "cpu".into(), caption, picture: Box::new(picture) })
}

/// Requests a second with one, some and thousands of connections.
fn throughput(measurements: &[Measurement]) -> Option<Drawing> {
    let scenarios = [Scenario::Latency, Scenario::Keepalive, Scenario::Many];
    let point = |column, scenario| {
        let runs = Runs { scenario, measurements };
        let connections = connections(&runs.of(column).next()?.command)?;
        Some((connections, runs.spread(column, Figure::Rate)?.median))
    };
    let series = plain_series(|column| scenarios.iter().filter_map(|scenario| point(column, *scenario)).collect());
    let picture = Lines {
        title: "Throughput over concurrency".into(),
        subtitle: "wrk, 11 bytes, connections kept open; medians".into(),
        x: Axis { label: "connections".into(), scale: Scale::Logarithmic },
        y: Axis { label: "requests/s".into(), scale: Scale::Linear },
        series,
    };
    let several = picture.series.iter().any(|series| series.points.len() > 1);
    let caption = "Requests a second over connections at once".to_owned();
    several.then(|| Drawing { name: "throughput".into(), caption, picture: Box::new(picture) })
}

/// Resident memory over idle connections.
fn memory(measurements: &[Measurement]) -> Option<Drawing> {
    let runs = Runs { scenario: Scenario::Idle, measurements };
    let points = |column| {
        let counts = runs.of(column).next().map(|run| run.memory_steps.as_slice()).unwrap_or_default();
        let median = |nth: usize| {
            Spread::of(runs.of(column).filter_map(|run| Some(run.memory_steps.get(nth)?.rss_bytes as f64)))
        };
        let points = counts.iter().enumerate();
        points.filter_map(|(nth, step)| Some((f64::from(step.connections), median(nth)?.median / 1e6))).collect()
    };
    let picture = Lines {
        title: "Memory over idle connections".into(),
        subtitle: "resident, of a fresh process; each connection has carried one request; medians".into(),
        x: Axis { label: "idle connections".into(), scale: Scale::Linear },
        y: Axis { label: "RSS, MB".into(), scale: Scale::Linear },
        series: plain_series(points),
    };
    let caption = "Resident memory over idle keep-alive connections".to_owned();
    (!picture.series.is_empty()).then(|| Drawing { name: "memory".into(), caption, picture: Box::new(picture) })
}

/// A line for each target that has points.
fn plain_series(points: impl Fn(Column) -> Vec<(f64, f64)>) -> Vec<Series> {
    let all = Target::ALL.into_iter().map(Column::plain).map(|column| series(column, points(column)));
    all.filter(|series| !series.points.is_empty()).collect()
}

fn series(column: Column, points: Vec<(f64, f64)>) -> Series {
    Series { name: column.name(), hue: hue(column.target), points }
}

/// The same in all pictures; 0 is the grey of base lines.
fn hue(target: Target) -> usize {
    match target {
        Target::Direct => 0,
        Target::Balancer => 1,
        Target::Nginx => 2,
        Target::Haproxy => 3,
        Target::HaproxySplice => 4,
        Target::NginxBare => 5,
    }
}

/// `-c64` of wrk.
fn connections(command: &str) -> Option<f64> {
    command.split(' ').find_map(|word| word.strip_prefix("-c"))?.parse().ok()
}

/// Scenarios whose cost is a request's; as many as the picture has room for.
const COSTS: [Scenario; 6] =
    [Scenario::Keepalive, Scenario::Connection, Scenario::Unix, Scenario::Kb100, Scenario::Mb1, Scenario::Upload];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::MemoryStep;
    use crate::report::tests::{comparison, run};

    fn names(measurements: Vec<Measurement>) -> Vec<String> {
        of(&comparison(measurements)).into_iter().map(|drawing| drawing.name).collect()
    }

    #[test]
    fn only_what_was_measured_is_drawn() {
        assert_eq!(names(Vec::new()), [""; 0]);
        assert_eq!(names(vec![run(Target::Direct, 1), run(Target::Nginx, 1)]), ["percentiles-connection", "cpu"]);
    }

    #[test]
    fn a_line_joins_what_was_measured_at_several_concurrencies() {
        let at = |scenario, command: &str| Measurement { scenario, command: command.into(), ..run(Target::Nginx, 1) };
        let runs = vec![at(Scenario::Latency, "wrk -t1 -c1 -d5s"), at(Scenario::Keepalive, "wrk -t1 -c64 -d5s")];
        assert_eq!(names(runs.clone()), ["throughput"]);
        assert_eq!(names(runs[..1].to_vec()), [""; 0]);
    }

    #[test]
    fn every_drawing_can_be_drawn() {
        let steps = [(0, 5_000_000), (1_000, 9_000_000)];
        let memory_steps = steps.map(|(connections, rss_bytes)| MemoryStep { connections, rss_bytes }).to_vec();
        let idle = Measurement { scenario: Scenario::Idle, memory_steps, ..run(Target::Nginx, 1) };
        let drawings = of(&comparison(vec![run(Target::Direct, 1), run(Target::Nginx, 1), idle]));
        assert_eq!(drawings.len(), 3);
        for drawing in drawings {
            let svg = drawing.picture.svg().unwrap();
            assert!(svg.contains("nginx"), "{}", drawing.name);
        }
    }
}
