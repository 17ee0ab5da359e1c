//! What the reader must know before trusting a table.
//!
//! Decides which runs failed, were held back by the generator, disturbed by others or too short. Called by
//! [`super::render`], once per generator. Never hides a figure.

use super::Runs;
use crate::measurement::Measurement;
use crate::statistics::{Spread, percent};
use crate::target::Target;

/// One text per warning, the worst first; empty when there is nothing to say.
pub(super) fn of(runs: &Runs<'_>) -> Vec<String> {
    let mut warnings = failures(runs);
    let saturated = over(runs, SATURATED, |run| Some(run.generator_core_busy));
    let noisy = over_once(runs, TAKEN, |run| run.core_taken);
    let coarse = over(runs, COARSE, |run| Some(2.0 * TICK_SECONDS / run.proxy_cpu?.seconds().max(TICK_SECONDS)));
    if let Some(names) = saturated {
        warnings.push(format!(
            "The generator is the bottleneck for {names}: its core (generator and origin) was at least {} busy.\n\
             Read CPU per request there, not requests/s or latency.",
            percent(SATURATED)
        ));
    }
    if let Some(names) = noisy {
        warnings.push(format!(
            "Others used {} or more of a core during {names}: alone, latencies would be better.",
            percent(TAKEN)
        ));
    }
    if let Some(names) = coarse {
        warnings.push(format!(
            "The run was short for {names}: CPU time comes in ticks of 10 ms, which makes CPU per request uncertain by \
             {} or more.",
            percent(COARSE)
        ));
    }
    warnings
}

fn failures(runs: &Runs<'_>) -> Vec<String> {
    let count = |target: &Target| {
        let failed: u64 = runs.of(*target).map(|run| run.reading.failed).sum();
        (target.name(), failed)
    };
    let failed = runs.comparison.targets.iter().map(count).filter(|(_, failed)| *failed > 0);
    failed
        .map(|(name, failed)| format!("!!! {name}: {failed} FAILED REQUESTS. These figures compare nothing."))
        .collect()
}

/// The targets whose median reaches `limit`; `None` when there are none.
fn over(runs: &Runs<'_>, limit: f64, value: impl Fn(&Measurement) -> Option<f64>) -> Option<String> {
    names(runs, |target| Spread::of(runs.of(target).filter_map(&value)).is_some_and(|spread| spread.median >= limit))
}

/// The targets that reach `limit` in any round: one disturbed round already widens the spread.
fn over_once(runs: &Runs<'_>, limit: f64, value: impl Fn(&Measurement) -> Option<f64>) -> Option<String> {
    names(runs, |target| runs.of(target).filter_map(&value).any(|value| value >= limit))
}

fn names(runs: &Runs<'_>, chosen: impl Fn(Target) -> bool) -> Option<String> {
    let targets = runs.comparison.targets.iter().filter(|target| chosen(**target));
    let names: Vec<&str> = targets.map(|target| target.name()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// From here on a core has nothing left to give.
const SATURATED: f64 = 0.95;
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

    fn warnings(change: impl Fn(&mut Measurement)) -> Vec<String> {
        let mut runs = vec![run(Target::Direct, 1), run(Target::Nginx, 1)];
        runs.iter_mut().filter(|run| run.target == Target::Nginx).for_each(change);
        let comparison = comparison(runs);
        of(&Runs { comparison: &comparison, tool: "ab" })
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
    fn a_saturated_generator_is_the_bottleneck() {
        let text = warnings(|run| run.generator_core_busy = 0.95);
        assert!(text[0].starts_with("The generator is the bottleneck for nginx: "), "{text:?}");
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
