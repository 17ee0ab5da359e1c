//! What the reader must know before trusting a table.
//!
//! Decides which runs failed, were held back by the generator, disturbed by others or too short. Called by
//! [`super::body`], once per scenario. Never hides a figure.

use crate::compare::Section;
use crate::figure::Runs;
use crate::measurement::Measurement;
use crate::scenario::{Column, Scenario};
use crate::statistics::{Spread, percent, whole};

/// One text per warning, the worst first; empty when there is nothing to say.
pub(super) fn of(runs: Runs<'_>, section: &Section) -> Vec<String> {
    let runs = Warned { runs, columns: &section.columns };
    let mut warnings = runs.failures();
    if let Some(names) = runs.names(|column| runs.runs.of(column).any(|run| run.reading.requests == 0)) {
        warnings.push(format!(
            "!!! {names}: a run in which NO REQUEST WAS ANSWERED in time. These figures compare nothing."
        ));
    }
    let busy = |run: &Measurement| Some(run.generator_core_busy);
    let has_room = |run: &Measurement| run.proxy_core_busy.unwrap_or(0.0) < SATURATED;
    // Direct is nearly always there, and in a table of ratios no news.
    let bottleneck = |run: &Measurement| if has_room(run) { busy(run) } else { Some(0.0) };
    if let Some(names) = runs.over(SATURATED, bottleneck) {
        warnings.push(format!(
            "The generator is the bottleneck for {names}: its core (generator and origin) was at least {} busy and the \
             proxy's was not.\nRead CPU per request there, not requests/s or latency.",
            percent(SATURATED)
        ));
    }
    let short = |run: &Measurement| {
        let share = section.scenario.open_share()?;
        let asked = asked(&run.command)?;
        (share > 0.0 && run.reading.requests_per_second < asked * KEPT_UP)
            .then_some(run.reading.requests_per_second / asked)
    };
    if let Some(names) = runs.names(|column| runs.runs.of(column).any(|run| short(run).is_some())) {
        warnings.push(format!(
            "{names} did not keep up with the arrivals: fewer than {} of them were answered in the time of the run.",
            percent(KEPT_UP)
        ));
    }
    if let Some(names) = runs.over_once(TAKEN, |run| run.core_taken) {
        warnings.push(format!(
            "Others used {} or more of a core during {names}: alone, latencies would be better.",
            percent(TAKEN)
        ));
    }
    let coarse = |run: &Measurement| Some(2.0 * TICK_SECONDS / run.proxy_cpu?.seconds().max(TICK_SECONDS));
    if section.scenario != Scenario::Idle
        && let Some(names) = runs.over(COARSE, coarse)
    {
        warnings.push(format!(
            "The run was short for {names}: CPU time comes in ticks of 10 ms, which makes CPU per request uncertain by \
             {} or more.",
            percent(COARSE)
        ));
    }
    warnings
}

struct Warned<'a> {
    runs: Runs<'a>,
    columns: &'a [Column],
}

impl Warned<'_> {
    fn failures(&self) -> Vec<String> {
        let count = |column: &Column| {
            let failed: u64 = self.runs.of(*column).map(|run| run.reading.failed).sum();
            (column.name(), failed)
        };
        let failed = self.columns.iter().map(count).filter(|(_, failed)| *failed > 0);
        let text = |(name, failed): (String, u64)| {
            format!("!!! {name}: {} FAILED REQUESTS. These figures compare nothing.", whole(failed as f64))
        };
        failed.map(text).collect()
    }

    /// The columns whose median reaches `limit`; `None` when there are none.
    fn over(&self, limit: f64, value: impl Fn(&Measurement) -> Option<f64>) -> Option<String> {
        self.names(|column| {
            let spread = Spread::of(self.runs.of(column).filter_map(&value));
            spread.is_some_and(|spread| spread.median >= limit)
        })
    }

    /// The columns that reach `limit` in any round: one disturbed round already widens the spread.
    fn over_once(&self, limit: f64, value: impl Fn(&Measurement) -> Option<f64>) -> Option<String> {
        self.names(|column| self.runs.of(column).filter_map(&value).any(|value| value >= limit))
    }

    fn names(&self, chosen: impl Fn(Column) -> bool) -> Option<String> {
        let columns = self.columns.iter().filter(|column| chosen(**column));
        let names: Vec<String> = columns.map(|column| column.name()).collect();
        (!names.is_empty()).then(|| names.join("; "))
    }
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
const TAKEN: f64 = 0.10;
/// An uncertainty that hides the differences we look for.
const COARSE: f64 = 0.03;
/// Of `/proc/PID/stat` on all common systems.
const TICK_SECONDS: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{comparison, run};
    use crate::target::Target;

    fn warnings(change: impl Fn(&mut Measurement)) -> Vec<String> {
        let mut runs = vec![run(Target::Direct, 1), run(Target::Nginx, 1)];
        runs.iter_mut().filter(|run| run.column.target == Target::Nginx).for_each(change);
        let mut comparison = comparison(runs);
        let scenario = comparison.measurements[1].scenario;
        comparison.sections[0].scenario = scenario;
        of(Runs { scenario, measurements: &comparison.measurements }, &comparison.sections[0])
    }

    #[test]
    fn a_good_run_has_no_warning() {
        assert_eq!(warnings(|_| {}), [""; 0]);
    }

    #[test]
    fn failed_requests_are_said_loudly() {
        let text = warnings(|run| run.reading.failed = 7);
        assert_eq!(text, ["!!! nginx: 7 FAILED REQUESTS. These figures compare nothing."]);
    }

    #[test]
    fn a_run_without_an_answer_is_said_loudly() {
        let text = warnings(|run| run.reading.requests = 0);
        assert!(text[0].starts_with("!!! nginx: a run in which NO REQUEST WAS ANSWERED"), "{text:?}");
    }

    #[test]
    fn a_saturated_generator_is_the_bottleneck() {
        let text = warnings(|run| run.generator_core_busy = 0.95);
        assert!(text[0].starts_with("The generator is the bottleneck for nginx: "), "{text:?}");
    }

    #[test]
    fn a_generator_that_is_busy_beside_a_busy_proxy_is_no_bottleneck() {
        let text = warnings(|run| (run.generator_core_busy, run.proxy_core_busy) = (0.97, Some(0.98)));
        assert_eq!(text, [""; 0]);
    }

    #[test]
    fn arrivals_that_were_not_kept_up_with_are_told() {
        let text = warnings(|run| {
            run.scenario = Scenario::Open90;
            run.command = "bench open-loop --rate 20000 --seconds 5".into();
        });
        assert!(text[0].starts_with("nginx did not keep up with the arrivals"), "{text:?}");
    }

    #[test]
    fn a_disturbed_run_is_called_so() {
        let text = warnings(|run| run.core_taken = Some(0.3));
        assert!(text[0].starts_with("Others used 10 % or more of a core during nginx"), "{text:?}");
    }

    #[test]
    fn a_run_too_short_for_the_clock_is_called_so() {
        let text = warnings(|run| run.proxy_cpu = Some(crate::cpu::Cpu { user_seconds: 0.01, system_seconds: 0.1 }));
        assert!(text[0].starts_with("The run was short for nginx"), "{text:?}");
    }
}
