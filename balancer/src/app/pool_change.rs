//! What a reload will do to one pool: two configurations of it → the differences, in the order in which they are told. Pure; called by
//! `plan`. Never says what is done about them.

use std::fmt::Debug;

use crate::config::{Dns, Endpoint, Health, Pool, Slots, UpstreamTimeouts};
use crate::supervise::Changes;

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

impl PoolChange {
    /// From `old` to `new`.
    pub(super) fn new(old: &Pool, new: &Pool) -> Self {
        let workers = match (&old.workers, &new.workers) {
            (None, None) => WorkersChange::None,
            (None, Some(_)) => WorkersChange::Begin,
            (Some(_), None) => WorkersChange::End,
            (Some(old), Some(new)) if old == new => WorkersChange::None,
            (Some(old), Some(new)) => WorkersChange::Other(Changes::between(old, new)),
        };
        let endpoints = endpoints(&old.endpoints, &new.endpoints);
        Self { name: new.name.clone(), settings: settings(old, new), endpoints, workers }
    }

    /// In words, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
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

/// Keys whose values differ, as they are told.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare(&mut self, key: &str, old: &dyn Debug, new: &dyn Debug) {
        let (old, new) = (format!("{old:?}"), format!("{new:?}"));
        if old != new {
            self.0.push(format!("{key} {old} → {new}"));
        }
    }

    fn timeouts(&mut self, old: &UpstreamTimeouts, new: &UpstreamTimeouts) {
        self.compare("connect_timeout", &old.connect, &new.connect);
        self.compare("response_timeout", &old.response, &new.response);
        self.compare("idle_timeout", &old.idle, &new.idle);
        self.compare("request_timeout", &old.request, &new.request);
        self.compare("tunnel_idle_timeout", &old.tunnel_idle, &new.tunnel_idle);
        self.compare("keep_alive_timeout", &old.keep_alive, &new.keep_alive);
        self.compare("tunnel_drain_timeout", &old.tunnel_drain, &new.tunnel_drain);
    }

    fn dns(&mut self, old: &Dns, new: &Dns) {
        let asked = |dns: &Dns| dns.name.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        self.compare("dns", &format_args!("{}", asked(old)), &format_args!("{}", asked(new)));
        self.compare("dns_interval", &old.interval, &new.interval);
        self.compare("dns_hold", &old.hold, &new.hold);
    }

    fn health(&mut self, old: &Health, new: &Health) {
        self.compare("eject_after", &old.eject_after, &new.eject_after);
        self.compare("eject_time", &old.eject_time, &new.eject_time);
        self.compare("panic_threshold", &old.panic_threshold, &new.panic_threshold);
        self.compare("slow_start", &old.slow_start, &new.slow_start);
    }

    fn slots(&mut self, old: Option<&Slots>, new: Option<&Slots>) {
        let count = |slots: Option<&Slots>| slots.map_or(0, |slots| slots.count);
        self.compare("slots", &count(old), &count(new));
        if let (Some(old), Some(new)) = (old, new) {
            self.compare("queue_max", &old.queue_max, &new.queue_max);
            self.compare("queue_timeout", &old.queue_timeout, &new.queue_timeout);
            self.compare("slow_lane", &old.slow_lane, &new.slow_lane);
            self.compare("shed", &old.shed, &new.shed);
        }
    }
}

/// Settings of the pool that differ.
fn settings(old: &Pool, new: &Pool) -> Vec<String> {
    // Named one by one, so that a new key cannot be forgotten here.
    let Pool {
        name: _,
        policy,
        affinity,
        endpoints: _,
        workers: _,
        timeouts,
        http2,
        tls,
        proxy_protocol,
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
    let mut all = Differences::default();
    all.dns(&old.dns, dns);
    all.compare("policy", &old.policy, policy);
    all.compare("affinity", &old.affinity, affinity);
    all.timeouts(&old.timeouts, timeouts);
    all.compare("http2", &old.http2, http2);
    all.compare("proxy_protocol", &old.proxy_protocol, proxy_protocol);
    all.compare("ready_wait", &old.ready_wait, ready_wait);
    if slots.is_none() {
        all.compare("queue_max", &old.waiting_max, waiting_max);
    }
    all.compare("attempts_max", &old.attempts_max, attempts_max);
    all.compare("retry_budget", &old.retry_budget, retry_budget);
    all.compare("idle_connections_max", &old.idle_connections_max, idle_connections_max);
    all.health(&old.health, health);
    all.slots(old.slots.as_ref(), slots.as_ref());
    all.compare("buffer_request", &old.buffers.request, &buffers.request);
    all.compare("buffer_response", &old.buffers.response, &buffers.response);
    if old.health.probe != health.probe {
        all.0.push("probe changed".to_owned());
    }
    if old.tls != *tls {
        all.0.push("tls changed".to_owned());
    }
    all.0
}

/// Endpoints that come, go or change.
fn endpoints(old: &[Endpoint], new: &[Endpoint]) -> Vec<String> {
    let mut lines = Vec::new();
    for endpoint in new {
        match old.iter().find(|known| known.address == endpoint.address) {
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
    let order =
        |endpoints: &[Endpoint]| endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect::<Vec<_>>();
    let (before, after) = (order(old), order(new));
    lines.extend(
        without(&before, &after).iter().map(|gone| format!("endpoint {gone} removed; its requests may finish")),
    );
    if lines.is_empty() && before != after {
        lines.push("endpoints in another order".to_owned());
    }
    lines
}

/// A line for each, or how many where nobody would read so many.
pub(super) fn each_or_count(all: &[String], what: &str, line: impl Fn(&String) -> String) -> Vec<String> {
    match all.len() {
        0..=LISTED_MAX => all.iter().map(line).collect(),
        many => vec![format!("{many} {what}")],
    }
}

/// Lines of one kind.
pub(super) const LISTED_MAX: usize = 10;

/// Those of `all` that are none of `those`.
pub(super) fn without<T: PartialEq + Clone>(all: &[T], those: &[T]) -> Vec<T> {
    all.iter().filter(|one| !those.contains(one)).cloned().collect()
}
