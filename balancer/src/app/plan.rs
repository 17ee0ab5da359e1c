//! What a reload will do: two configurations → the differences, in the order in which they are told.
//!
//! Pure. What cannot change while the program runs is told too, and stays as it is.

use super::pool_change::{LISTED_MAX, PoolChange, each_or_count, without};
use crate::config::{ClientLimits, Config, HostPattern, ListenAddress, Pool, Route};

/// The differences.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) listen_added: Vec<ListenAddress>,
    pub(super) listen_removed: Vec<ListenAddress>,
    /// Unix sockets that let in others than before.
    pub(super) listen_changed: Vec<ListenAddress>,
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
    pub(super) changed: Vec<PoolChange>,
    untouched: Vec<String>,
    routes: Vec<String>,
    applied: Vec<String>,
    needs_restart: Vec<&'static str>,
}

impl Plan {
    /// From `old` to `new`. `old` is what runs: a number of workers that a command has changed stands in it as it is.
    pub(super) fn new(old: &Config, new: &Config) -> Self {
        let mut plan = Self {
            listen_added: elsewhere(&new.listen, &old.listen),
            listen_removed: elsewhere(&old.listen, &new.listen),
            listen_changed: without(&new.listen, &old.listen),
            routes: routes(&old.routes, &new.routes),
            ..Self::default()
        };
        plan.listen_changed.retain(|address| !plan.listen_added.contains(address));
        for pool in &new.pools {
            match old.pools.iter().find(|known| known.name == pool.name) {
                None => plan.added.push(pool.name.clone()),
                Some(known) if known == pool => plan.untouched.push(pool.name.clone()),
                Some(known) => plan.changed.push(PoolChange::new(known, pool)),
            }
        }
        let is_gone = |pool: &&Pool| !new.pools.iter().any(|kept| kept.name == pool.name);
        plan.removed = old.pools.iter().filter(is_gone).map(|pool| pool.name.clone()).collect();
        plan.applied = applied(old, new);
        let fixed = [
            ("threads", old.threads != new.threads),
            ("user", old.identity.user != new.identity.user),
            ("group", old.identity.group != new.identity.group),
        ];
        plan.needs_restart = fixed.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect();
        plan
    }

    /// `new` as it will run beside what cannot change: those keys as they are in `old`, so that the next reload tells them again.
    pub(super) fn possible(old: &Config, new: Config) -> Config {
        Config { threads: old.threads, identity: old.identity.clone(), ..new }
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            listen_added,
            listen_removed,
            listen_changed,
            added,
            removed,
            changed,
            untouched: _,
            routes,
            applied,
            needs_restart: _,
        } = self;
        listen_added.is_empty()
            && listen_removed.is_empty()
            && listen_changed.is_empty()
            && [added, removed, routes, applied].iter().all(|names| names.is_empty())
            && changed.is_empty()
    }

    /// In words, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.listen_added.iter().map(|address| format!("listen: {address} added")));
        lines.extend(
            self.listen_removed
                .iter()
                .map(|address| format!("listen: {address} removed; its connections stay until they end")),
        );
        lines.extend(
            self.listen_changed.iter().map(|address| format!("listen: {address}: permissions of the socket changed")),
        );
        lines.extend(each_or_count(&self.added, "pools added", |name| format!("pool {name}: added")));
        for change in &self.changed {
            lines.extend(change.lines());
        }
        let removed = |name: &String| format!("pool {name}: removed; its requests may finish");
        lines.extend(each_or_count(&self.removed, "pools removed; their requests may finish", removed));
        lines.extend(each_or_count(&self.routes, "routes changed", String::clone));
        lines.extend(self.applied.iter().map(|key| format!("{key}: changed")));
        match self.untouched.len() {
            0 => {}
            1..=LISTED_MAX => lines.push(format!("untouched: pool {}", self.untouched.join(", "))),
            many => lines.push(format!("untouched: {many} pools")),
        }
        if !self.needs_restart.is_empty() {
            let keys = self.needs_restart.join(", ");
            lines.push(format!("requires restart: {keys}"));
        }
        lines
    }
}

/// Keys of the top level and of tables that are no pools, which hold from now on.
fn applied(old: &Config, new: &Config) -> Vec<String> {
    // Named one by one, so that a new key cannot be forgotten here.
    let ClientLimits {
        header_timeout,
        keep_alive_timeout,
        body_timeout,
        body_rate_min,
        response_rate_min,
        header_bytes_max,
        body_bytes_max,
        ambiguous_fields,
        upgrades,
        expose_request_id,
        h2c,
        proxy_protocol_from,
    } = &new.client;
    let all = [
        ("connections_max", old.connections_max != new.connections_max),
        ("header_timeout", old.client.header_timeout != *header_timeout),
        ("keep_alive_timeout", old.client.keep_alive_timeout != *keep_alive_timeout),
        ("body_timeout", old.client.body_timeout != *body_timeout),
        ("body_rate_min", old.client.body_rate_min != *body_rate_min),
        ("response_rate_min", old.client.response_rate_min != *response_rate_min),
        ("header_bytes_max", old.client.header_bytes_max != *header_bytes_max),
        ("body_bytes_max", old.client.body_bytes_max != *body_bytes_max),
        ("ambiguous_fields", old.client.ambiguous_fields != *ambiguous_fields),
        ("upgrades", old.client.upgrades != *upgrades),
        ("expose_request_id", old.client.expose_request_id != *expose_request_id),
        ("h2c", old.client.h2c != *h2c),
        ("proxy_protocol_from", old.client.proxy_protocol_from != *proxy_protocol_from),
        ("tls", old.tls != new.tls),
        ("trusted_proxies", old.trusted_proxies != new.trusted_proxies),
        ("drain_timeout", old.drain_timeout != new.drain_timeout),
        ("state_dir", old.state_dir != new.state_dir),
        ("spool_dir", old.spool.directory != new.spool.directory),
        ("spool_max", old.spool.bytes_max != new.spool.bytes_max),
        ("access_log", old.access_log != new.access_log),
        ("admin", old.admin != new.admin),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}

/// Routes are told apart by host and path.
fn routes(old: &[Route], new: &[Route]) -> Vec<String> {
    let find = |routes: &[Route], like: &Route| {
        routes
            .iter()
            .find(|route| (&route.host, &route.path) == (&like.host, &like.path))
            .map(|route| route.pool.clone())
    };
    let mut lines = Vec::new();
    for route in new {
        match find(old, route) {
            None => lines.push(format!("route {} → {}: added", shown(route), route.pool)),
            Some(pool) if pool == route.pool => {}
            Some(pool) => lines.push(format!("route {}: {pool} → {}", shown(route), route.pool)),
        }
    }
    let gone = old.iter().filter(|route| find(new, route).is_none());
    lines.extend(gone.map(|route| format!("route {} → {}: removed", shown(route), route.pool)));
    lines
}

fn shown(route: &Route) -> String {
    match &route.host {
        HostPattern::Any => route.path.clone(),
        HostPattern::Exact(host) => format!("{host}{}", route.path),
        HostPattern::Suffix(suffix) => format!("*{suffix}{}", route.path),
    }
}

/// Those of `all` whose place none of `those` has.
fn elsewhere(all: &[ListenAddress], those: &[ListenAddress]) -> Vec<ListenAddress> {
    let has = |address: &ListenAddress| those.iter().any(|one| one.to_string() == address.to_string());
    all.iter().filter(|address| !has(address)).cloned().collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
