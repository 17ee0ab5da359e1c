//! One balancer under everything at once, for as long as one likes: does it fail a request that nobody broke, and does it grow?
//!
//! Decides the order: look, load, disturb, end, look again. Called by `main`. Never repeats what the scenarios beside it try
//! one by one: their site, load and orders are used here together.

mod client;
mod disturb;
mod verdict;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::kind::{Kind, Manners};
use super::site::{Ground, Setup, Site};
use super::{ask, schedule::Asked, tunnels};
use crate::{arguments::hours, descriptors, events::Events, failure::Failure, lab::Builds, report::Report, say};
use client::Traffic;
use disturb::Disturbed;
use verdict::{Failed, Soaked};
use watch::{Look, Watch};

/// The arguments of `soak`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// How long, whole seconds, minutes or hours
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = hours)]
    duration: Duration,
    /// GETs and POSTs a second on connections that are kept, beside everything else
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    #[command(flatten)]
    builds: Builds,
}

/// Loads, disturbs, looks; sound where nothing failed unexplained and nothing grew.
pub(crate) fn soak(plan: &Plan, events: &Arc<Events>) -> Result<Report, Failure> {
    descriptors::raise(DESCRIPTORS);
    let ground = Ground::find(&plan.builds, &[Kind::BuiltIn], CONNECTIONS, events)?;
    let Some(program) = ground.programs.first() else { return Err(Failure::missing("backend")) };
    let site = Site::start(&ground, program, SETUP, &tunnels::other(0))?;
    let pid = site.pid()?;
    site.pause(REST)?;
    let before = Look::take(pid)?;
    say(&format!("at rest: {}", before.text()));

    let load = ask::start(site.port, plan.rate.into(), CONNECTIONS, 'r')?;
    let clients = client::start(site.port)?;
    let mut watch = Watch::start(pid, load.started(), plan.duration);
    let disturbed = Disturbed::by(&site, plan.duration, &mut watch)?;

    clients.iter().for_each(|(_, load)| load.stop());
    let (tally, sent) = site.tally(&load, 'r')?;
    while !clients.iter().all(|(_, load)| load.has_ended()) {
        site.pause(BETWEEN_LOOKS)?;
    }
    let of_load =
        sent.iter().map(|one| (if Asked::of(one.number).post { Traffic::Post } else { Traffic::Get }, &load, one));
    let of_clients: Vec<_> = clients.iter().map(|(traffic, load)| (*traffic, load, load.sent())).collect();
    let of_clients = of_clients.iter().flat_map(|(traffic, load, sent)| sent.iter().map(|one| (*traffic, *load, one)));
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (traffic, load, one) in of_load.chain(of_clients) {
        done.push(traffic);
        failed.extend(Failed::of(traffic, load.started(), one));
    }
    // They hold their connections until they are dropped.
    drop((load, clients));
    let after = at_rest(&site, pid, before)?;
    say(&format!("at rest again: {}", after.text()));
    let seconds = plan.duration.as_secs();
    Ok(Soaked { seconds, before, after, watch, disturbed, done, failed, tally }.report())
}

/// What is left once the clients are gone: a look as soon as no more is open than before, or after [`REST_TIME_MAX`], for
/// connections to workers are kept a while.
fn at_rest(site: &Site<'_>, pid: u32, before: Look) -> Result<Look, Failure> {
    let until = Instant::now() + REST_TIME_MAX;
    site.pause(REST)?;
    loop {
        let look = Look::take(pid)?;
        if look.descriptors <= before.descriptors || Instant::now() > until {
            return Ok(look);
        }
        site.pause(BETWEEN_LOOKS)?;
    }
}

const SETUP: Setup =
    Setup { count: 4, manners: Manners { delay_ms: 0, cold_requests: 0, start_delay_ms: 0 }, keys: "" };
/// Of the load; the other clients are in `client.rs`.
const CONNECTIONS: u32 = 32;
const DESCRIPTORS: u64 = 4_096;
/// Longer than an idle connection to a worker is kept.
const REST: Duration = Duration::from_secs(3);
const REST_TIME_MAX: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
