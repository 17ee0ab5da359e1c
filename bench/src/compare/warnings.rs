//! What the reader must know before trusting a table.
//!
//! Decides which runs failed, were held back by the generator, disturbed by others or too short. Called by
//! [`super::compare`], once per scenario. Never hides a figure.

use super::figures::Runs;
use super::measurement::{GENERATOR_BUSY, Measurement, PROXY_BUSY, TAKEN};
use super::scenario::{Column, Scenario};
use crate::report::figure::Unit;
use crate::statistics::{Spread, whole};

/// One text per warning, the worst first; empty when there is nothing to say.
pub(super) fn of(runs: Runs<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    for column in runs.columns {
        let failed: u64 = runs.of(*column).map(|run| run.reading.failed).sum();
        if failed > 0 {
            let (name, failed) = (column.name(), whole(failed as f64));
            warnings.push(format!("!!! {name}: {failed} FAILED REQUESTS. These figures compare nothing."));
        }
    }
    let once = |is_so: &dyn Fn(&Measurement) -> bool| names(runs, |column| runs.of(column).any(is_so));
    let mostly = |limit: f64, value: &dyn Fn(&Measurement) -> Option<f64>| {
        names(runs, |column| Spread::of(runs.of(column).filter_map(value)).is_some_and(|spread| spread.median >= limit))
    };
    if let Some(names) = once(&|run| run.reading.requests == 0) {
        warnings.push(format!(
            "!!! {names}: a run in which NO REQUEST WAS ANSWERED in time. These figures compare nothing."
        ));
    }
    // Direct is nearly always there, and in a table of ratios no news.
    let has_room = |run: &Measurement| run.value(PROXY_BUSY).unwrap_or(0.0) < SATURATED;
    if let Some(names) = mostly(SATURATED, &|run| run.value(GENERATOR_BUSY).filter(|_| has_room(run))) {
        warnings.push(format!(
            "The generator is the bottleneck for {names}: its core (generator and origin) was at least {} busy and the \
             proxy's was not.\nRead CPU per request there, not requests/s or latency.",
            Unit::Share.text(SATURATED)
        ));
    }
    let is_short = |run: &Measurement| {
        let asked = runs.scenario.open_share().and_then(|_| asked(&run.command));
        asked.is_some_and(|asked| run.reading.requests_per_second < asked * KEPT_UP)
    };
    if let Some(names) = once(&is_short) {
        warnings.push(format!(
            "{names} did not keep up with the arrivals: fewer than {} of them were answered in the time of the run.",
            Unit::Share.text(KEPT_UP)
        ));
    }
    // In any round: one disturbed round already widens the spread.
    if let Some(names) = once(&|run| run.value(TAKEN).is_some_and(|taken| taken >= TAKEN_MAX)) {
        warnings.push(format!(
            "Others used {} or more of a core during {names}: alone, latencies would be better.",
            Unit::Share.text(TAKEN_MAX)
        ));
    }
    let coarse = |run: &Measurement| Some(2.0 * TICK_SECONDS / run.proxy_cpu?.seconds().max(TICK_SECONDS));
    if runs.scenario != Scenario::Idle
        && let Some(names) = mostly(COARSE, &coarse)
    {
        warnings.push(format!(
            "The run was short for {names}: CPU time comes in ticks of 10 ms, which makes CPU per request uncertain by \
             {} or more.",
            Unit::Share.text(COARSE)
        ));
    }
    warnings
}

fn names(runs: Runs<'_>, chosen: impl Fn(Column) -> bool) -> Option<String> {
    let columns = runs.columns.iter().filter(|column| chosen(**column));
    let names: Vec<String> = columns.map(|column| column.name()).collect();
    (!names.is_empty()).then(|| names.join("; "))
}

/// The arrivals a second an open loop was told.
fn asked(command: &str) -> Option<f64> {
    command.split_once("--rate ")?.1.split(' ').next()?.parse().ok()
}

/// From here on a core has nothing left to give.
const SATURATED: f64 = 0.95;
/// A Poisson process of some thousand arrivals varies by a few per cent.
const KEPT_UP: f64 = 0.95;
/// Accounting of interrupts blurs a few per cent.
const TAKEN_MAX: f64 = 0.10;
/// An uncertainty that hides the differences we look for.
const COARSE: f64 = 0.03;
/// Of `/proc/PID/stat` on all common systems.
const TICK_SECONDS: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::super::figures::tests::run;
    use super::super::target::Target;
    use super::*;
    use crate::cpu::Cpu;

    fn warnings(scenario: Scenario, change: impl Fn(&mut Measurement)) -> Vec<String> {
        let mut runs = vec![run(Target::Direct, 1), run(Target::Nginx, 1)];
        change(&mut runs[1]);
        let columns = [Target::Direct, Target::Nginx].map(Column::plain);
        of(Runs { scenario, columns: &columns, runs: &runs })
    }

    #[test]
    fn each_kind_of_doubt_is_said_and_a_good_run_has_none() {
        let busy = |run: &mut Measurement, generator, proxy| {
            run.values.push((GENERATOR_BUSY.to_owned(), Unit::Share, generator));
            run.values.push((PROXY_BUSY.to_owned(), Unit::Share, proxy));
        };
        let first = |change: &dyn Fn(&mut Measurement)| {
            warnings(Scenario::Open90, change).into_iter().next().unwrap_or_default()
        };
        assert_eq!(first(&|_| {}), "");
        assert_eq!(first(&|run| busy(run, 0.97, 0.98)), "");
        for (start, change) in [
            (
                "!!! nginx: 7 FAILED REQUESTS. These",
                &(|run: &mut Measurement| run.reading.failed = 7) as &dyn Fn(&mut Measurement),
            ),
            ("!!! nginx: a run in which NO REQUEST WAS", &|run| run.reading.requests = 0),
            ("The generator is the bottleneck for nginx: ", &|run| busy(run, 0.95, 0.5)),
            ("nginx did not keep up with the arrivals", &|run| {
                run.command = "bench open-loop --rate 20000 --seconds 5".into()
            }),
            ("Others used 10 % or more of a core during nginx", &|run| {
                run.values.push((TAKEN.to_owned(), Unit::Share, 0.3))
            }),
            ("The run was short for nginx", &|run| {
                run.proxy_cpu = Some(Cpu { user_seconds: 0.01, system_seconds: 0.1 })
            }),
        ] {
            assert!(first(change).starts_with(start), "{start}: {}", first(change));
        }
    }
}
