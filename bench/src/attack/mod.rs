//! Thousands of clients that are slow on purpose, and what a good client notices of them.
//!
//! Decides the order: each kind of attack on a fresh site, phases without and with it in turns. Called by `main`. Never attacks
//! anybody but the site it has started.

mod attacker;
mod mob;
mod report;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use crate::arguments::whole_seconds;
use crate::crowd::arrivals::poisson;
use crate::crowd::contender::Contender;
use crate::crowd::output::Output;
use crate::crowd::site::{Asked, Ground, Site};
use crate::crowd::summary::{Latencies, ends};
use crate::crowd::visit::Visit;
use crate::crowd::{self, Bounds};
use crate::descriptors;
use crate::events::Events;
use crate::failure::Failure;
use crate::say;
use crate::target::Configuration;
use crate::usage::rss_bytes;
use attacker::{Attacker, Kind};
use mob::Mob;

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
    asked: Asked,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Attacks {
    connections: u32,
    rate: u32,
    seconds: u64,
    service_ms: u64,
    seed: u64,
    placement: String,
    rows: Vec<Row>,
    configurations: Vec<Configuration>,
}

/// One contender under one kind of attack.
#[derive(Debug, Serialize)]
struct Row {
    contender: Contender,
    kind: Kind,
    /// Bytes of the response that is read slowly.
    response: u64,
    rounds: Vec<Round>,
}

/// A phase without the attack, and the next with it.
#[derive(Debug, Serialize)]
struct Round {
    without: Phase,
    with: Phase,
    /// Attackers that were at it when the phase ended.
    open: usize,
    /// How often each end of an attacker's connection came.
    attackers: BTreeMap<String, usize>,
}

/// What good clients saw.
#[derive(Clone, Debug, Serialize)]
struct Phase {
    /// Of those answered 200.
    served: Option<Latencies>,
    /// All others.
    failed: usize,
    ends: BTreeMap<String, usize>,
    /// Resident memory of the proxy at the end of the phase, bytes.
    rss: u64,
    /// 99 % of the good clients set out at most so late, milliseconds: our own fault.
    late: f64,
}

/// Measures, writes the files and returns the text, and whether every good request was answered 200.
///
/// # Errors
/// Whatever keeps a figure from being measured, or a signal; everything started has ended when this returns.
pub(crate) fn attack(plan: &Plan, events: &Arc<Events>) -> Result<(String, bool), Failure> {
    let output = Output::check(&plan.asked.output(), "attack")?;
    let default = [Contender::Balancer, Contender::BalancerUnslotted];
    let ground = Ground::find(&plan.asked, &default, events)?;
    // We hold the attackers, and so does the proxy, which inherits the limit.
    descriptors::raise(3 * u64::from(plan.connections) + 1_024);
    // Attackers, good clients and workers beside the proxy, not on its core.
    ground.cores.stay_beside_the_generator();
    let kinds = if plan.kind.is_empty() { &Kind::MANY[..] } else { &plan.kind };
    let (mut rows, mut configurations) = (Vec::new(), Vec::new());
    for contender in &ground.contenders {
        for (nth, kind) in kinds.iter().enumerate() {
            let (row, configuration) = plan.measure(*contender, *kind, &ground)?;
            say(&report::progress(&row));
            rows.push(row);
            if nth == 0 {
                configurations.push(configuration);
            }
        }
    }
    let attacks = Attacks {
        connections: plan.connections,
        rate: plan.rate,
        seconds: plan.duration.as_secs(),
        service_ms: plan.service,
        seed: plan.asked.seed,
        placement: ground.cores.describe(),
        rows,
        configurations,
    };
    let written = output.write(&attacks, &report::csv(&attacks), &[])?;
    written.iter().for_each(|path| say(&format!("written: {}", path.display())));
    let all_served = attacks.rows.iter().flat_map(|row| &row.rounds).all(|round| round.failed() == 0);
    Ok((report::render(&attacks), all_served))
}

impl Plan {
    fn measure(&self, contender: Contender, kind: Kind, ground: &Ground) -> Result<(Row, Configuration), Failure> {
        let service = Duration::from_millis(self.service);
        // Of this model, for others have no large response.
        let mut site = ground.site_of("event-loop", contender, service, 2 * self.connections, QUEUE_TIMEOUT)?;
        let has_slots = matches!(contender, Contender::Balancer | Contender::BalancerQueue);
        let response = self.response.unwrap_or(if has_slots { 100_000 } else { 300_000 });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, site.proxy.port));
        let attacker = Attacker { kind, address, response };
        let mut rounds = Vec::new();
        for round in 0..self.rounds {
            let seed = self.asked.seed.wrapping_add(u64::from(round));
            let without = self.phase(&mut site, seed, &ground.events)?;
            let mob = Mob::gather(attacker, self.connections)?;
            self.await_all(&mob, &mut site, &ground.events)?;
            let with = self.phase(&mut site, seed, &ground.events)?;
            rounds.push(Round { without, with, open: mob.open(), attackers: mob.ends() });
            drop(mob);
            // The end of so many connections is no part of a phase without them.
            watch(&mut site, SETTLE, &ground.events)?;
        }
        Ok((Row { contender, kind, response, rounds }, site.configuration()))
    }

    /// Waits until all attackers have come; where some cannot connect, for a while.
    fn await_all(&self, mob: &Mob, site: &mut Site, events: &Events) -> Result<(), Failure> {
        let until = Instant::now() + GATHER_TIME;
        while mob.come() < self.connections as usize && Instant::now() < until {
            watch(site, BETWEEN_LOOKS, events)?;
        }
        watch(site, SETTLE, events)
    }

    fn phase(&self, site: &mut Site, seed: u64, events: &Events) -> Result<Phase, Failure> {
        let arrivals = poisson(f64::from(self.rate), self.duration, 0.0, seed);
        let bounds = Bounds { connections_max: self.connections.max(1_000), patience: PATIENCE };
        let sent = crowd::send(&arrivals, &["/"], site.proxy.port, bounds, &site.pids(), events)?;
        let visits = sent.map_err(|pid| site.ended(pid))?;
        Ok(Phase::of(&visits, rss_bytes(site.proxy.process.pid())?))
    }
}

impl Row {
    /// The 99th percentile with the attack over that without it, of each round.
    fn ratios(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().filter_map(|round| Some(round.with.served?.p99 / round.without.served?.p99))
    }
}

impl Round {
    /// Good requests that were not answered 200.
    fn failed(&self) -> usize {
        self.without.failed + self.with.failed
    }
}

impl Phase {
    fn of(visits: &[Visit], rss: u64) -> Phase {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let served: Vec<f64> =
            visits.iter().filter(|visit| visit.is_served()).map(|visit| milliseconds(visit.latency)).collect();
        let late: Vec<f64> = visits.iter().map(|visit| milliseconds(visit.late)).collect();
        Phase {
            failed: visits.len() - served.len(),
            served: Latencies::of(&served),
            ends: ends(visits),
            rss,
            late: Latencies::of(&late).map_or(0.0, |late| late.p99),
        }
    }
}

/// Lets time pass in which no process may end.
fn watch(site: &mut Site, time: Duration, events: &Events) -> Result<(), Failure> {
    match events.wait_any(&site.pids(), time)? {
        Some(pid) => Err(site.ended(pid)),
        None => Ok(()),
    }
}

/// The balancer's own default.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(10);
const GATHER_TIME: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
const SETTLE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::visit::{End, Fault};

    #[test]
    fn a_phase_tells_served_from_failed() {
        let visit = |milliseconds, end| Visit {
            path: 0,
            latency: Duration::from_millis(milliseconds),
            left: Duration::from_secs(1),
            late: Duration::from_micros(100),
            end,
        };
        let answered = |status| End::Answered { status, retry_after: false };
        let visits = [
            visit(3, answered(200)),
            visit(5, answered(200)),
            visit(7, answered(503)),
            visit(10_000, End::Failed(Fault::TimedOut)),
        ];
        let phase = Phase::of(&visits, 1 << 20);
        assert_eq!((phase.served.unwrap().count, phase.served.unwrap().p99, phase.failed), (2, 5.0, 2));
        assert_eq!(phase.ends.get("503"), Some(&1));
        assert_eq!(phase.late, 0.1);
    }
}
