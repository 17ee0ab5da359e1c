//! What is known of the names of a pool, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use crate::config;

/// The names of a pool as they were answered.
#[derive(Debug, Clone, Default)]
pub struct NamesShown {
    /// By name, with its port; without those that were never asked for.
    pub names: BTreeMap<String, NameShown>,
    /// How often one of the addresses of `dns` became a member.
    pub joined: usize,
}

/// One of them.
#[derive(Debug, Clone, Default)]
pub struct NameShown {
    /// When it was answered the last time.
    pub answered: Option<Instant>,
    /// What it is taken to have.
    pub addresses: Vec<SocketAddr>,
    /// What is wrong with it, in words.
    pub problem: Option<String>,
}

/// Every name of a pool, as it is shown.
pub(super) fn names(config: &config::Pool) -> BTreeSet<String> {
    let named = config.endpoints.iter().filter(|endpoint| endpoint.has_name());
    named.map(|endpoint| endpoint.address.to_string()).chain(config.dns.name.iter().map(ToString::to_string)).collect()
}
