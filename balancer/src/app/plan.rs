//! What a reload will do: two configurations → the differences, in the order in which they are told.
//!
//! Pure. What cannot change while the program runs is told too, and stays as it is.

use crate::config::{ClientLimits, Config, Dns, HostPattern, ListenAddress, Pool, Route, Slots};
use crate::supervise::Changes;

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

/// What is different in a pool.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PoolChange {
    pub(super) name: String,
    settings: Vec<String>,
    endpoints: Vec<String>,
    pub(super) workers: WorkersChange,
}

/// What happens to a pool's workers.
#[derive(Debug, Default, PartialEq)]
pub(super) enum WorkersChange {
    /// Nothing.
    #[default]
    None,
    /// There were none.
    Begin,
    /// There are none any more.
    End,
    /// The supervisor is given other settings.
    Other(Changes),
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
        } = &new.client;
        for (key, differs) in [
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
            ("trusted_proxies", old.trusted_proxies != new.trusted_proxies),
            ("drain_timeout", old.drain_timeout != new.drain_timeout),
            ("state_dir", old.state_dir != new.state_dir),
            ("spool_dir", old.spool.directory != new.spool.directory),
            ("spool_max", old.spool.bytes_max != new.spool.bytes_max),
            ("access_log", old.access_log != new.access_log),
            ("admin", old.admin != new.admin),
        ] {
            plan.applied.extend(differs.then(|| key.to_owned()));
        }
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

impl PoolChange {
    fn new(old: &Pool, new: &Pool) -> Self {
        // Named one by one, so that a new key cannot be forgotten here.
        let Pool {
            name,
            policy,
            affinity,
            endpoints,
            workers,
            timeouts,
            ready_wait,
            waiting_max,
            attempts_max,
            retry_budget,
            idle_connections_max,
            health,
            slots,
            buffers,
            dns,
        } = new;
        let mut settings = Vec::new();
        let mut compare = |key: &str, old: &dyn std::fmt::Debug, new: &dyn std::fmt::Debug| {
            let (old, new) = (format!("{old:?}"), format!("{new:?}"));
            if old != new {
                settings.push(format!("{key} {old} → {new}"));
            }
        };
        let asked = |dns: &Dns| dns.name.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        compare("dns", &format_args!("{}", asked(&old.dns)), &format_args!("{}", asked(dns)));
        compare("dns_interval", &old.dns.interval, &dns.interval);
        compare("dns_hold", &old.dns.hold, &dns.hold);
        compare("policy", &old.policy, policy);
        compare("affinity", &old.affinity, affinity);
        compare("connect_timeout", &old.timeouts.connect, &timeouts.connect);
        compare("response_timeout", &old.timeouts.response, &timeouts.response);
        compare("idle_timeout", &old.timeouts.idle, &timeouts.idle);
        compare("request_timeout", &old.timeouts.request, &timeouts.request);
        compare("tunnel_idle_timeout", &old.timeouts.tunnel_idle, &timeouts.tunnel_idle);
        compare("keep_alive_timeout", &old.timeouts.keep_alive, &timeouts.keep_alive);
        compare("tunnel_drain_timeout", &old.timeouts.tunnel_drain, &timeouts.tunnel_drain);
        compare("ready_wait", &old.ready_wait, ready_wait);
        if slots.is_none() {
            compare("queue_max", &old.waiting_max, waiting_max);
        }
        compare("attempts_max", &old.attempts_max, attempts_max);
        compare("retry_budget", &old.retry_budget, retry_budget);
        compare("idle_connections_max", &old.idle_connections_max, idle_connections_max);
        compare("eject_after", &old.health.eject_after, &health.eject_after);
        compare("eject_time", &old.health.eject_time, &health.eject_time);
        compare("panic_threshold", &old.health.panic_threshold, &health.panic_threshold);
        compare("slow_start", &old.health.slow_start, &health.slow_start);
        let count = |slots: &Option<Slots>| slots.as_ref().map_or(0, |slots| slots.count);
        compare("slots", &count(&old.slots), &count(slots));
        if let (Some(old), Some(new)) = (&old.slots, slots) {
            compare("queue_max", &old.queue_max, &new.queue_max);
            compare("queue_timeout", &old.queue_timeout, &new.queue_timeout);
            compare("slow_lane", &old.slow_lane, &new.slow_lane);
            compare("shed", &old.shed, &new.shed);
        }
        compare("buffer_request", &old.buffers.request, &buffers.request);
        compare("buffer_response", &old.buffers.response, &buffers.response);
        if old.health.probe != health.probe {
            settings.push("probe changed".to_owned());
        }

        let mut lines = Vec::new();
        for endpoint in endpoints {
            match old.endpoints.iter().find(|known| known.address == endpoint.address) {
                None => lines.push(format!("endpoint {} added", endpoint.address)),
                Some(known) if known == endpoint => {}
                Some(known) => {
                    let mut differing = Vec::new();
                    if known.weight != endpoint.weight {
                        differing.push(format!("weight {} → {}", known.weight, endpoint.weight));
                    }
                    if known.backup != endpoint.backup {
                        differing.push(format!("backup {} → {}", known.backup, endpoint.backup));
                    }
                    lines.push(format!("endpoint {}: {}", endpoint.address, differing.join(", ")));
                }
            }
        }
        let order = |endpoints: &[crate::config::Endpoint]| -> Vec<String> {
            endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect()
        };
        let (before, after) = (order(&old.endpoints), order(endpoints));
        lines.extend(
            without(&before, &after).iter().map(|gone| format!("endpoint {gone} removed; its requests may finish")),
        );
        if lines.is_empty() && before != after {
            lines.push("endpoints in another order".to_owned());
        }
        let workers = match (&old.workers, workers) {
            (None, None) => WorkersChange::None,
            (None, Some(_)) => WorkersChange::Begin,
            (Some(_), None) => WorkersChange::End,
            (Some(old), Some(new)) if old == new => WorkersChange::None,
            (Some(old), Some(new)) => WorkersChange::Other(Changes::between(old, new)),
        };
        Self { name: name.clone(), settings, endpoints: lines, workers }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = self.settings.clone();
        lines.extend(each_or_count(&self.endpoints, "endpoints added, removed or changed", String::clone));
        match &self.workers {
            WorkersChange::None => {}
            WorkersChange::Begin => lines.push("workers are started".to_owned()),
            WorkersChange::End => lines.push("workers are drained and stopped".to_owned()),
            WorkersChange::Other(changes) => {
                if !changes.replace.is_empty() {
                    lines.push(format!("every worker is replaced, for a changed {}", changes.replace.join(", ")));
                }
                if !changes.apply.is_empty() {
                    lines.push(format!("{} changed, no worker is replaced for that", changes.apply.join(", ")));
                }
                if let Some((from, to)) = changes.count {
                    lines.push(format!("workers {from} → {to}"));
                }
            }
        }
        lines.iter().map(|line| format!("pool {}: {line}", self.name)).collect()
    }
}

/// A line for each, or how many where nobody would read so many.
fn each_or_count(all: &[String], what: &str, line: impl Fn(&String) -> String) -> Vec<String> {
    match all.len() {
        0..=LISTED_MAX => all.iter().map(line).collect(),
        many => vec![format!("{many} {what}")],
    }
}

/// Lines of one kind.
const LISTED_MAX: usize = 10;

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

fn without<T: PartialEq + Clone>(all: &[T], those: &[T]) -> Vec<T> {
    all.iter().filter(|one| !those.contains(one)).cloned().collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
