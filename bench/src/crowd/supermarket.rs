//! The man with small change: how long those wait who want little, behind those who want much.
//!
//! Decides crowd, load and pictures: the same crowd visits each contender in turn. Called by `main`. Never says who won.

use std::{sync::Arc, time::Duration};

use clap::Args;

use super::{Asked, Contender, Site, WORKERS, percentiles};
use crate::arguments::{share, whole_seconds};
use crate::load::{Clients, Sent};
use crate::plot::{self, Drawing, Series};
use crate::report::{Layout, Report, Section};
use crate::statistics::{Latencies, three_digits, whole};
use crate::{
    descriptors, events::Events, failure::Failure, load::answer::ends_text, load::arrivals::poisson,
    report::figure::Figure, say,
};

/// The arguments of `supermarket`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// Arrivals as a share of what four workers can do
    #[arg(long, value_name = "SHARE", default_value_t = 0.7, value_parser = share)]
    pub(crate) load: f64,
    /// How long clients arrive, whole seconds or minutes
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = whole_seconds)]
    pub(crate) duration: Duration,
    #[command(flatten)]
    pub(crate) asked: Asked,
}

/// Measures all; not sound where not all was answered 200.
pub(crate) fn supermarket(plan: &Plan, events: &Arc<Events>) -> Result<Report, Failure> {
    let (lab, contenders) = plan.asked.lab(&DEFAULT, events)?;
    descriptors::raise(u64::from(CONNECTIONS_MAX) + SPARE_DESCRIPTORS);
    let arrivals = poisson(plan.load * capacity(), plan.duration, SLOW_SHARE, plan.asked.seed);
    let (mut figures, mut notes, mut configurations) = (Vec::new(), Vec::new(), Vec::new());
    let (mut curves, mut sound, mut latest) = ([Vec::new(), Vec::new()], true, Duration::ZERO);
    for contender in contenders {
        let (name, hue, _) = contender.known();
        say(&format!("{name}: {} clients in {} s", arrivals.len(), plan.duration.as_secs()));
        let mut site = Site::start(&lab, contender, ("sequential", FAST), CONNECTIONS_MAX, PATIENCE)?;
        let sent = site.send(arrivals.clone(), &PATHS, Clients::Fresh(CONNECTIONS_MAX), PATIENCE)?;
        for (kind, word) in ["fast", "slow"].into_iter().enumerate() {
            let served = sent.iter().filter(|one| one.kind == kind && one.is_served());
            let latencies = Latencies::of(served.map(Sent::latency));
            let names = ["p50", "p90", "p99", "max"].map(|name| format!("{word} {name}"));
            let percents = [50.0, 90.0, 99.0, 100.0];
            let names: Vec<(&str, f64)> = names.iter().map(String::as_str).zip(percents).collect();
            figures.extend(percentiles(name, &names, latencies.as_ref()));
            let points = latencies.map_or_else(Vec::new, |latencies| latencies.curve());
            curves[kind].push(Series { name: name.to_owned(), hue, points });
        }
        figures.push(Figure::count("overlaps", usize::try_from(site.overlaps()?).unwrap_or(usize::MAX)).of(name));
        notes.push(format!("{name}: {}", ends_text(sent.iter().map(|one| one.end))));
        say(notes.last().map_or("", String::as_str));
        sound &= sent.iter().all(Sent::is_served);
        latest = latest.max(sent.iter().map(Sent::late).max().unwrap_or_default());
        configurations.push(site.proxy.configuration());
    }
    notes.push(format!("The latest client set out {} ms after it was due.", three_digits(latest.as_secs_f64() * 1e3)));
    notes.push("Latency counts from when a request was due. Overlaps: answers before which the worker had another connection waiting.".to_owned());
    let description = description(plan, arrivals.len());
    let head = vec![
        format!("{description}, seed {}", plan.asked.seed),
        format!("{}; workers and clients on any core", lab.cores.describe()),
    ];
    let section = Section { notes, ..Section::new(Layout::Rows, "latency, ms", vec![figures]) };
    let titles = [("fast", "Who wants little, behind those who want much"), ("slow", "Who wants much")];
    let drawn = titles.into_iter().zip(curves).map(|((name, title), series)| {
        Drawing::of(name, title, plot::percentiles(title, description.clone(), series).svg())
    });
    Ok(Report { configurations, sound, drawings: drawn.collect::<Result<_, _>>()?, ..Report::of(head, section) })
}

fn description(plan: &Plan, arrivals: usize) -> String {
    format!(
        "{WORKERS} workers, one request at a time; {:.0} % take {} s, the rest {} ms; {} arrivals in {} s, {:.0} % of capacity",
        SLOW_SHARE * 100.0,
        SLOW.as_secs(),
        FAST.as_millis(),
        whole(arrivals as f64),
        plan.duration.as_secs(),
        plan.load * 100.0
    )
}

/// Requests a second four workers can answer.
fn capacity() -> f64 {
    let mean = SLOW_SHARE * SLOW.as_secs_f64() + (1.0 - SLOW_SHARE) * FAST.as_secs_f64();
    WORKERS as f64 / mean
}

const DEFAULT: [Contender; 5] =
    [Contender::Balancer, Contender::BalancerQueue, Contender::Nginx, Contender::NginxLeastConn, Contender::Haproxy];
/// What a request takes of a worker, without any path and with the second of [`PATHS`].
const FAST: Duration = Duration::from_millis(5);
const SLOW: Duration = Duration::from_millis(1000);
/// Different routes, so that a balancer can learn which are slow. Every request waits [`FAST`], these 995 ms more.
const PATHS: [&str; 2] = ["/fast", "/delay?ms=995"];
const SLOW_SHARE: f64 = 0.05;
/// For what is no client: files, pipes, the runtime.
const SPARE_DESCRIPTORS: u64 = 256;
const CONNECTIONS_MAX: u32 = 4_000;
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crowd_is_that_of_the_description() {
        assert_eq!(capacity().round(), 73.0);
        let arrivals = poisson(0.7 * capacity(), Duration::from_secs(60), SLOW_SHARE, 1);
        assert!((2_900..3_250).contains(&arrivals.len()), "{}", arrivals.len());
        assert_eq!(PATHS[1], format!("/delay?ms={}", (SLOW - FAST).as_millis()));
    }
}
