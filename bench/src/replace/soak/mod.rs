//! One balancer under everything at once, for as long as one likes: does it fail a request that nobody broke, and does it grow?
//!
//! Decides the order: look, load, disturb, end, look again. Called by `main`. Never repeats what the scenarios beside it try
//! one by one: their site, load and orders are used here together.

mod client;
mod disturb;
mod ledger;
mod report;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::kind::{Kind, Manners};
use super::load::Load;
use super::site::{Ground, Setup, Site};
use super::tunnels;
use crate::arguments::whole_time;
use crate::descriptors;
use crate::events::Events;
use crate::failure::Failure;
use crate::say;
use client::Clients;
use disturb::Disturbed;
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
    /// The balancer to try [default: this workspace's, built when needed]
    #[arg(long, value_name = "PATH")]
    balancer: Option<PathBuf>,
    /// The built-in worker [default: this workspace's, built when needed]
    #[arg(long, value_name = "PATH")]
    backend: Option<PathBuf>,
}

/// Loads, disturbs, looks, and returns the text, and whether nothing failed unexplained and nothing grew.
///
/// # Errors
/// Whatever keeps it from going on to its end, the balancer's own end among it, or a signal; everything started has ended when
/// this returns.
pub(crate) fn soak(plan: &Plan, events: &Arc<Events>) -> Result<(String, bool), Failure> {
    descriptors::raise(DESCRIPTORS);
    let given = [plan.balancer.as_deref(), plan.backend.as_deref()];
    let ground = Ground::find(given, &[Kind::BuiltIn], CONNECTIONS, events)?;
    let Some(program) = ground.programs.first() else { return Err(Failure::missing("backend")) };
    let site = Site::start(&ground, program, SETUP, &tunnels::other(0))?;
    let Some(pid) = site.pid() else { return Err(site.complaint("is not there")) };
    site.pause(REST)?;
    let before = Look::take(pid)?;
    say(&format!("at rest: {}", before.text()));

    let load = Load::start(site.port, plan.rate.into(), CONNECTIONS, 'r')?;
    let (begun, clients) = (Instant::now(), Clients::start(site.port)?);
    let mut watch = Watch::start(pid, begun, plan.duration);
    let disturbed = Disturbed::by(&site, plan.duration, &mut watch)?;

    clients.stop();
    let (tally, sent) = site.tally(&load, 'r')?;
    while !clients.have_ended() {
        site.pause(BETWEEN_LOOKS)?;
    }
    let after = at_rest(&site, pid, before)?;
    say(&format!("at rest again: {}", after.text()));
    let mut ledger = clients.ledger();
    ledger.take_in(&sent, begun);
    let result = report::Result { seconds: plan.duration.as_secs(), before, after, watch, disturbed, ledger, tally };
    Ok((report::render(&result), result.is_sound()))
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

fn hours(text: &str) -> Result<Duration, String> {
    whole_time(text, 24)
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
