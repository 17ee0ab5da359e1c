//! Addresses where workers take connections without us in between: opened with our own, before privileges are given up.
//!
//! Decides which pools have one, and that none changes while the program runs. Called at the start and by `reload`. Never accepts.

use std::collections::BTreeMap;
use std::io;

use super::failure::Failure;
use super::plan::Plan;
use crate::config::{Config, ListenAddress, Pool};
use crate::share::{OpenedAddress, Share};
use crate::supervise::who_listens;

/// By pool.
pub(super) type Shares = BTreeMap<String, Share>;

/// Opens those of `pools`.
pub(super) fn open<'p>(pools: impl Iterator<Item = &'p Pool>) -> Result<Vec<(&'p Pool, OpenedAddress)>, Failure> {
    let own = pools.filter_map(|pool| Some((pool, pool.workers.as_ref()?.sharing?)));
    own.map(|(pool, sharing)| {
        let opened = OpenedAddress::open(sharing).map_err(|error| {
            let holder = (error.kind() == io::ErrorKind::AddrInUse).then(|| who_listens(sharing.address)).flatten();
            Failure::Listen(ListenAddress::Tcp(sharing.address), error, holder)
        })?;
        Ok((pool, opened))
    })
    .collect()
}

/// Begins with those that are open; the workers come later.
pub(super) fn start(opened: Vec<(&Pool, OpenedAddress)>) -> Result<Shares, Failure> {
    let started = opened.into_iter().map(|(pool, opened)| {
        let (mode, address) = (opened.mode, opened.address);
        let share = Share::start(opened, pool);
        let share =
            share.map_err(|error| Failure::System("cannot start the thread that hands connections over", error))?;
        tracing::info!(
            "pool {}: its workers take connections at {address}, mode = \"{mode}\": {}",
            pool.name,
            mode.cannot()
        );
        Ok((pool.name.clone(), share))
    });
    started.collect()
}

/// Opens those of pools that `plan` adds, and begins with them.
///
/// # Errors
/// In words; nothing is open then.
pub(super) fn of_added(plan: &Plan, new: &Config) -> Result<Shares, String> {
    let added = new.pools.iter().filter(|pool| plan.added.contains(&pool.name));
    open(added).and_then(start).map_err(|failure| failure.to_string())
}

/// Why the pools of `new` cannot take the place of those of `old` while the program runs.
pub(super) fn in_the_way(old: &Config, new: &Config) -> Option<String> {
    let sharing = |pool: &Pool| pool.workers.as_ref().and_then(|workers| workers.sharing);
    let changed = new.pools.iter().find(|pool| {
        let known = old.pools.iter().find(|known| known.name == pool.name);
        known.is_some_and(|known| sharing(known) != sharing(pool))
    });
    changed.map(|pool| {
        format!(
            "pool {}: `mode` and `address` of its workers cannot change while it runs: restart the balancer, or give the pool another name \
             and another address",
            pool.name
        )
    })
}
