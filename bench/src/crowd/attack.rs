//! Thousands of clients that are slow on purpose, and what a good client notices of them.
//!
//! Decides the order: each kind of attack on a fresh site, phases without and with it in turns. Called by `main`. Never attacks
//! anybody but the site it has started.

use std::time::{Duration, Instant};
use std::{sync::Arc, sync::atomic::Ordering};

use clap::Args;

use super::attacker::{Attacker, Kind, Mob};
use super::{Asked, Contender, Site, lateness};
use crate::load::{self, Clients, Load, Pace, Sent, local};
use crate::report::figure::{Bar, Figure, Unit};
use crate::report::{Configuration, Layout, Report, Section};
use crate::statistics::{Latencies, whole};
use crate::{
    arguments::whole_seconds, descriptors, events::Events, failure::Failure, lab::Lab, load::answer::ends_text,
    load::arrivals::poisson, say, usage::rss_bytes,
};

/// The arguments of `attack`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// The attacks [default: all but upload and close]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    kind: Vec<Kind>,
    /// Attackers at once; who is cut comes again
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: u32,
    /// Requests of good clients a second, each on a connection of its own, whether or not others are answered
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How long each phase is, whole seconds or minutes
    #[arg(long, value_name = "TIME", default_value = "12s", value_parser = whole_seconds)]
    duration: Duration,
    /// Pairs of phases, without and with the attack, of which the median is reported
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// What a good request takes of a worker, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    service: u64,
    /// The response that is read slowly, bytes [default: 300000; with slots 100000, so that all of them can be held]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    response: Option<u64>,
    #[command(flatten)]
    pub(crate) asked: Asked,
}

/// What came of one contender under one kind of attack.
struct Row {
    name: String,
    rounds: Vec<[Phase; 2]>,
    notes: Vec<String>,
    configuration: Configuration,
}

/// What good clients saw.
#[derive(Clone, Copy, Debug)]
struct Phase {
    p50: f64,
    p99: f64,
    /// All that were not answered 200.
    failed: usize,
    /// Resident memory of the proxy at the end of the phase, MB.
    rss: f64,
}

/// Measures all; not sound where a good request was not answered 200.
pub(crate) fn attack(plan: &Plan, events: &Arc<Events>) -> Result<Report, Failure> {
    let (lab, contenders) = plan.asked.lab(&[Contender::Balancer, Contender::BalancerUnslotted], events)?;
    // We hold the attackers, and so does the proxy, which inherits the limit.
    descriptors::raise(3 * u64::from(plan.connections) + 1_024);
    // Attackers, good clients and workers beside the proxy, not on its core.
    lab.cores.stay_beside_the_generator();
    let kinds = if plan.kind.is_empty() { &Kind::MANY[..] } else { &plan.kind };
    let (mut groups, mut notes, mut configurations, mut sound) = (Vec::new(), Vec::new(), Vec::new(), true);
    for contender in contenders {
        let mut figures = Vec::new();
        for (nth, kind) in kinds.iter().enumerate() {
            let row = plan.measure(contender, *kind, &lab)?;
            let of_row = row.figures();
            let ratio = of_row.iter().find(|figure| figure.bar.is_some()).map_or_else(String::new, Figure::text);
            say(&format!("{}: p99 with/without {ratio}", row.name));
            sound &= row.rounds.iter().flatten().all(|phase| phase.failed == 0);
            figures.extend(of_row);
            notes.extend(row.notes);
            if nth == 0 {
                configurations.push(row.configuration);
            }
        }
        groups.push(figures);
    }
    let seconds = plan.duration.as_secs();
    let description = format!(
        "{} attackers at once; {} good requests/s, {seconds} s without and {seconds} s with them in turns; {} ms at the worker; seed {}",
        whole(plan.connections.into()),
        plan.rate,
        plan.service,
        plan.asked.seed
    );
    notes.push("Latency counts from when a request was due. Attackers, by the ends of their connections; who is cut comes again.".to_owned());
    let section = Section { notes, ..Section::new(Layout::Rows, "good clients, ms and MB", groups) };
    Ok(Report { configurations, sound, ..Report::of(vec![description, lab.cores.describe()], section) })
}

impl Plan {
    fn measure(&self, contender: Contender, kind: Kind, lab: &Lab) -> Result<Row, Failure> {
        let service = Duration::from_millis(self.service);
        // Of this model, for others have no large response.
        let mut site = Site::start(lab, contender, ("event-loop", service), 2 * self.connections, QUEUE_TIMEOUT)?;
        let response = self.response.unwrap_or(if contender.has_slots() { 100_000 } else { 300_000 });
        let of = if kind == Kind::Read { format!(" of {} kB", response / 1_000) } else { String::new() };
        let name = format!("{}: {}{of}", contender.name(), kind.name());
        let (mut rounds, mut notes) = (Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let seed = self.asked.seed.wrapping_add(u64::from(round));
            let without = self.phase(&mut site, seed, &name, &mut notes)?;
            let mob = Arc::<Mob>::default();
            let attacker = Attacker { kind, address: local(site.proxy.port), response, mob: Arc::clone(&mob) };
            let attackers = gather(&attacker, self.connections)?;
            // Where some cannot connect, for a while.
            let until = Instant::now() + GATHER_TIME;
            while mob.come() < self.connections as usize && Instant::now() < until {
                lab.pause(site.services(), BETWEEN_LOOKS)?;
            }
            lab.pause(site.services(), SETTLE)?;
            let with = self.phase(&mut site, seed, &name, &mut notes)?;
            let (ends, open) =
                (ends_text(attackers.sent().iter().map(|one| one.end)), mob.open.load(Ordering::Relaxed));
            notes.push(format!("{name}: attackers' ends {ends}; {} open at the end", whole(open as f64)));
            rounds.push([without, with]);
            drop(attackers);
            // The end of so many connections is no part of a phase without them.
            lab.pause(site.services(), SETTLE)?;
        }
        Ok(Row { name, rounds, notes, configuration: site.proxy.configuration() })
    }

    fn phase(&self, site: &mut Site<'_>, seed: u64, name: &str, notes: &mut Vec<String>) -> Result<Phase, Failure> {
        let arrivals = poisson(f64::from(self.rate), self.duration, 0.0, seed);
        let sent = site.send(arrivals, &["/"], Clients::Fresh(self.connections.max(1_000)), PATIENCE)?;
        notes.extend(lateness(name, &sent));
        let phase = Phase::of(&sent, rss_bytes(site.proxy.process.pid())?);
        if phase.failed > 0 {
            notes.push(format!("!!! {name}: good clients got {}", ends_text(sent.iter().map(|one| one.end))));
        }
        Ok(phase)
    }
}

/// Sends `count` attackers, [`BETWEEN`] each other.
pub(super) fn gather(attacker: &Attacker, count: u32) -> Result<Load, Failure> {
    let pace = Pace::Again { pause: PAUSE, after_failure: PAUSE, between: BETWEEN };
    Load::start(load::Plan { pace, clients: Clients::Kept(count), patience: DAY }, attacker.clone())
}

impl Phase {
    fn of(sent: &[Sent], rss: u64) -> Phase {
        let served: Vec<Duration> = sent.iter().filter(|one| one.is_served()).map(Sent::latency).collect();
        let failed = sent.len() - served.len();
        let latencies = Latencies::of(served);
        let [p50, p99] = [50.0, 99.0].map(|percent| latencies.as_ref().map_or(f64::NAN, |all| all.percentile(percent)));
        Phase { p50, p99, failed, rss: rss as f64 / 1e6 }
    }
}

impl Row {
    fn figures(&self) -> Vec<Figure> {
        let figure = |what: &str, unit, one: &dyn Fn(&[Phase; 2]) -> f64| {
            // Where nobody was served there is no latency.
            let rounds = self.rounds.iter().map(one).filter(|value| !value.is_nan()).collect();
            Figure::of_rounds(&self.name, what, unit, rounds)
        };
        let failed: usize = self.rounds.iter().flatten().map(|phase| phase.failed).sum();
        vec![
            figure("p50 without", Unit::Milliseconds, &|[without, _]| without.p50),
            figure("p50 with", Unit::Milliseconds, &|[_, with]| with.p50),
            figure("p99 without", Unit::Milliseconds, &|[without, _]| without.p99),
            figure("p99 with", Unit::Milliseconds, &|[_, with]| with.p99),
            figure("p99 with/without, bar < 2", Unit::Ratio, &|[without, with]| with.p99 / without.p99).barred(BAR),
            Figure::count("failed", failed).of(&self.name),
            figure("RSS without", Unit::Megabytes, &|[without, _]| without.rss),
            figure("RSS with", Unit::Megabytes, &|[_, with]| with.rss),
        ]
    }
}

/// The 99th percentile of a good client's latency stays below this multiple of what it is without the attack.
const BAR: Bar = Bar::Below(2.0);
/// The balancer's own default.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(10);
const GATHER_TIME: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
const SETTLE: Duration = Duration::from_secs(1);
/// Five hundred a second.
const BETWEEN: Duration = Duration::from_millis(2);
/// Before one that was cut comes again.
const PAUSE: Duration = Duration::from_millis(100);
const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_rounds_is_judged_and_nobody_served_is_no_bar_held() {
        let phase = |p99, failed| Phase { p50: 1.0, p99, failed, rss: 20.0 };
        let row = |rounds| {
            let configuration = Configuration { name: String::new(), command: String::new(), text: String::new() };
            let row = Row { name: "balancer: idle".to_owned(), rounds, notes: Vec::new(), configuration };
            Section::new(Layout::Rows, "", vec![row.figures()]).body()
        };
        let held =
            row(vec![[phase(2.0, 0), phase(3.0, 0)], [phase(2.0, 0), phase(5.0, 7)], [phase(2.0, 0), phase(2.0, 0)]]);
        assert!(
            held.contains("   2.00       3.00       1.50 (1.00–2.50) held        7          20.0       20.0\n"),
            "{held}"
        );
        let missed = row(vec![[phase(2.0, 0), phase(f64::NAN, 9)]]);
        assert!(missed.contains("– not measured"), "{missed}");
    }
}
