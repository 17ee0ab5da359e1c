//! What of a comparison is drawn.
//!
//! Decides which pictures there are and what each is called; one that would be empty is left out. Called by
//! [`super::compare`] when everything is measured. Never draws: that is [`crate::plot`].

use clap::ValueEnum as _;

use super::measurement::{Measurement, RATE};
use super::scenario::{Column, Scenario};
use super::{figures::Runs, target::Target, tool::Reading};
use crate::plot::{Axis, Bar, Bars, Drawing, Lines, Panel, Scale, Series, percentiles};
use crate::{cpu::Cpu, failure::Failure, statistics::Spread};

/// All there is something to draw for, of these scenarios and their loads.
pub(super) fn of(all: &[(Runs<'_>, &str)]) -> Result<Vec<Drawing>, Failure> {
    let mut drawings = Vec::new();
    for (runs, load) in all.iter().filter(|(runs, _)| CURVES.contains(&runs.scenario)) {
        let series = runs.columns.iter().map(|column| series(*column, curve(&runs.of(*column).collect::<Vec<_>>())));
        let series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
        if !series.is_empty() {
            let caption = format!("Latency: {}", runs.scenario.title());
            let name = format!("percentiles-{}", runs.scenario.name());
            drawings.push(Drawing::of(&name, &caption, percentiles(&caption, *load, series).svg())?);
        }
    }
    let panels: Vec<Panel> =
        all.iter().filter(|(runs, _)| COSTS.contains(&runs.scenario)).filter_map(|(runs, _)| panel(*runs)).collect();
    if !panels.is_empty() {
        let caption = "CPU time of the proxy per request, µs";
        let (title, subtitle) =
            ("CPU time of the proxy per request".into(), "µs, medians; each panel has its own scale".into());
        drawings.push(Drawing::of("cpu", caption, Bars { title, subtitle, parts: ["user", "kernel"], panels }.svg())?);
    }
    let points = |column: Column| {
        let point = |scenario| {
            let (runs, _) = all.iter().find(|(runs, _)| runs.scenario == scenario)?;
            Some((connections(&runs.of(column).next()?.command)?, median(runs.values(column, RATE))?))
        };
        [Scenario::Latency, Scenario::Keepalive, Scenario::Many].into_iter().filter_map(point).collect()
    };
    let throughput = plain_series(points);
    if throughput.iter().any(|series| series.points.len() > 1) {
        let lines = Lines {
            title: "Throughput over concurrency".into(),
            subtitle: "wrk, 11 bytes, connections kept open; medians".into(),
            x: Axis { label: "connections".into(), scale: Scale::Logarithmic },
            y: Axis { label: RATE.into(), scale: Scale::Linear },
            series: throughput,
        };
        drawings.push(Drawing::of("throughput", "Requests a second over connections at once", lines.svg())?);
    }
    if let Some((runs, _)) = all.iter().find(|(runs, _)| runs.scenario == Scenario::Idle) {
        let lines = Lines {
            title: "Memory over idle connections".into(),
            subtitle: "resident, of a fresh process; each connection has carried one request; medians".into(),
            x: Axis { label: "idle connections".into(), scale: Scale::Linear },
            y: Axis { label: "RSS, MB".into(), scale: Scale::Linear },
            series: plain_series(|column| memory(*runs, column)),
        };
        drawings.push(Drawing::of("memory", "Resident memory over idle keep-alive connections", lines.svg())?);
    }
    Ok(drawings)
}

/// The curve of the round that was in the middle, or the medians of what the generator told of each round.
fn curve(runs: &[&Measurement]) -> Vec<(f64, f64)> {
    let Some(first) = runs.first() else { return Vec::new() };
    let at = |reading: &Reading, percent| reading.percentiles.iter().find(|one| one.0 == percent).map(|one| one.1);
    if !first.reading.curve.is_empty() {
        let mut rounds: Vec<&Reading> = runs.iter().map(|run| &run.reading).collect();
        let p99 = |reading: &Reading| at(reading, 99.0).unwrap_or(f64::INFINITY);
        rounds.sort_by(|one, other| p99(one).total_cmp(&p99(other)));
        return rounds[rounds.len() / 2].curve.clone();
    }
    let percents = first.reading.percentiles.iter().map(|one| one.0).filter(|percent| *percent < 100.0);
    percents.filter_map(|one| Some((one, median(runs.iter().filter_map(|run| at(&run.reading, one)))?))).collect()
}

/// CPU per request, user and kernel apart.
fn panel(runs: Runs<'_>) -> Option<Panel> {
    let bar = |column: &Column| {
        let part = |of: fn(Cpu) -> f64| {
            median(
                runs.of(*column).filter_map(|run| Some(of(run.proxy_cpu?) * 1e6 / run.reading.requests.max(1) as f64)),
            )
        };
        let parts = [part(|cpu| cpu.user_seconds)?, part(|cpu| cpu.system_seconds)?];
        Some(Bar { name: column.name(), hue: column.target as usize, parts })
    };
    let bars: Vec<Bar> = runs.columns.iter().filter_map(bar).collect();
    (!bars.is_empty()).then(|| Panel { name: runs.scenario.name(), bars })
}

fn memory(runs: Runs<'_>, column: Column) -> Vec<(f64, f64)> {
    let steps = runs.of(column).next().map(|run| run.steps.as_slice()).unwrap_or_default();
    let rss = |nth: usize| median(runs.of(column).filter_map(|run| Some(run.steps.get(nth)?.1 as f64 / 1e6)));
    steps.iter().enumerate().filter_map(|(nth, (connections, _))| Some((f64::from(*connections), rss(nth)?))).collect()
}

/// A line for each target that has points.
fn plain_series(points: impl Fn(Column) -> Vec<(f64, f64)>) -> Vec<Series> {
    let all = Target::value_variants().iter().map(|target| Column::plain(*target));
    all.map(|column| series(column, points(column))).filter(|series| !series.points.is_empty()).collect()
}

/// The hue is the same in all pictures; that of direct is the grey of base lines.
fn series(column: Column, points: Vec<(f64, f64)>) -> Series {
    Series { name: column.name(), hue: column.target as usize, points }
}

fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    Spread::of(values).map(|spread| spread.median)
}

/// `-c64` of wrk.
fn connections(command: &str) -> Option<f64> {
    command.split(' ').find_map(|word| word.strip_prefix("-c"))?.parse().ok()
}

const CURVES: [Scenario; 4] = [Scenario::Connection, Scenario::Open50, Scenario::Open90, Scenario::Work];
/// Scenarios whose cost is a request's; as many as the picture has room for.
const COSTS: [Scenario; 6] =
    [Scenario::Keepalive, Scenario::Connection, Scenario::Unix, Scenario::Kb100, Scenario::Mb1, Scenario::Upload];

#[cfg(test)]
mod tests {
    use super::super::figures::tests::run;
    use super::*;

    #[test]
    fn only_what_was_measured_is_drawn() {
        let columns = [Target::Direct, Target::Nginx].map(Column::plain);
        let names = |all: &[(Scenario, Measurement)]| {
            let runs = all.iter().map(|(scenario, run)| {
                (Runs { scenario: *scenario, columns: &columns, runs: std::slice::from_ref(run) }, "load")
            });
            let drawings = of(&runs.collect::<Vec<_>>()).unwrap();
            assert!(drawings.iter().all(|drawing| drawing.svg.contains("nginx")));
            drawings.into_iter().map(|drawing| drawing.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), [""; 0]);
        let mut ab = run(Target::Nginx, 1);
        ab.reading.percentiles = vec![(50.0, 3.0), (99.0, 8.0), (100.0, 9.0)];
        assert_eq!(names(&[(Scenario::Connection, ab)]), ["percentiles-connection", "cpu"]);
        let wrk = |command: &str| Measurement { command: command.into(), ..run(Target::Nginx, 1) };
        let [one, many] = [wrk("wrk -t1 -c1 -d5s"), wrk("wrk -t1 -c4000 -d5s")];
        assert_eq!(names(&[(Scenario::Latency, one.clone())]), [""; 0]);
        assert_eq!(names(&[(Scenario::Latency, one), (Scenario::Many, many)]), ["throughput"]);
        let idle = Measurement { steps: vec![(0, 5_000_000), (1_000, 9_000_000)], ..run(Target::Nginx, 1) };
        assert_eq!(names(&[(Scenario::Idle, idle)]), ["memory"]);
    }
}
