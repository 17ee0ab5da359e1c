//! The configuration as the program uses it: plain, checked data.
//!
//! Decides whether a file is right, and says of every mistake where it is and what would be right. [`load()`] turns a
//! file into a [`Config`] or into all its mistakes; `app` and `cli` call it and hand every other room the slice it needs.
//! It never opens a socket, starts a process, or knows another room.

mod access_log;
mod admin;
mod check;
mod client;
mod command;
mod defaults;
mod diagnostics;
mod dns;
mod endpoint;
pub mod env_file;
mod findings;
mod health;
mod identity;
mod item;
mod later;
mod listen;
mod load;
mod output;
mod passed;
mod policy;
mod pool;
mod question;
mod queue;
mod raw;
mod ready;
mod recycle;
pub mod regular;
mod route;
mod spool;
mod synonyms;
mod syntax;
mod top;
mod units;
mod variables;
mod workers;

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use access_log::{AccessLog, AccessLogFormat, AccessLogPath};
pub use admin::{Admin, admin_place, read_token, token_is_open};
pub use client::{AmbiguousFields, ClientLimits};
pub use diagnostics::{Diagnostic, Diagnostics};
pub use dns::{Dns, DnsName};
pub use endpoint::{Address, Endpoint, Host, WEIGHT_MAX};
pub use health::{EJECT_TIME_MAX, Health, Probe, StatusSet};
pub use identity::Identity;
pub use item::nearest;
pub use listen::{ListenAddress, UnixSocket};
pub use load::{LoadError, load, load_again};
pub use output::Output;
pub use policy::{Affinity, HashKey, Policy};
pub use pool::{Pool, UpstreamTimeouts};
pub use question::Question;
pub use queue::{Buffers, Shed, Slots};
pub use ready::Ready;
pub use recycle::{Recycle, WarmUp};
pub use route::{HostPattern, Route};
pub use spool::Spool;
pub use units::duration;
pub use variables::{Variable, variables};
pub use workers::{Backoff, COUNT_MAX, MayListen, Restart, Roll, StopSignal, Workers};

/// The whole of a checked file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where clients connect; at least one.
    pub listen: Vec<ListenAddress>,
    /// Number of proxy threads; at least 1.
    pub threads: usize,
    /// Client connections at once; `None`: what the descriptor limit allows.
    pub connections_max: Option<usize>,
    /// What a client may take, in time and bytes.
    pub client: ClientLimits,
    /// Where large request bodies wait for their turn.
    pub spool: Spool,
    /// How long requests may finish at stop and reload.
    pub drain_timeout: Duration,
    /// Peers whose `X-Forwarded-*` and `Forwarded` fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where it is kept what outlives a restart; `None`: where systemd says, else nowhere.
    pub state_dir: Option<PathBuf>,
    /// Account to become after binding.
    pub identity: Identity,
    /// Pools in the order of the file; at least one, names unique.
    pub pools: Vec<Pool>,
    /// Routes in the order of the file; never empty (with one pool and no `[[route]]`, one that matches everything).
    pub routes: Vec<Route>,
    /// The access log.
    pub access_log: AccessLog,
    /// Commands and metrics.
    pub admin: Admin,
}

/// The configuration `text` holds; `origin` is the name its mistakes are reported under. Looks at the machine where a
/// value names a part of it: accounts, directories, environment files.
///
/// # Errors
///
/// Every mistake, in the order of their places.
pub fn parse(text: &str, origin: &str) -> Result<Config, Diagnostics> {
    parse_with(text, origin, admin::Secrets::Checked)
}

fn parse_with(text: &str, origin: &str, secrets: admin::Secrets) -> Result<Config, Diagnostics> {
    let findings = findings::Findings::default();
    let mut tree = syntax::read(text, &findings);
    variables::fill_in(&mut tree, text, &findings, &|name| std::env::var_os(name));
    let config = top::read(&tree, &findings, secrets);
    match findings.into_mistakes(text, top::keys) {
        mistakes if mistakes.is_empty() => Ok(config),
        mistakes => Err(Diagnostics::new(origin, text, mistakes)),
    }
}

#[cfg(test)]
mod tests;
