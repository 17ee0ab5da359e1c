//! The state of everything as JSON.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::instance::Recent;
use super::{Instance, ServedPool};
use crate::discover::{NameShown, Shown};
use crate::endpoint::Endpoint;
use crate::supervise::{State, WorkerStatus};

/// What `/api/status` says.
pub(super) fn json(instance: &Instance) -> Value {
    let (served, recent) = (instance.served.load(), instance.recent());
    let (done, failed, last_ok) = instance.reloads();
    let pools = served.pools.iter().map(|one| {
        let recent = recent.get(&Some(one.pool.name().clone())).copied().unwrap_or_default();
        let names = served.names.get(&**one.pool.name()).map(|shown| shown.borrow().clone()).unwrap_or_default();
        pool(one, recent, &names)
    });
    json!({
        "name": instance.name,
        "configuration": instance.origin,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_seconds": instance.started.elapsed().unwrap_or_default().as_secs(),
        "state": if instance.is_stopping() { "stopping" } else { "serving" },
        "ready": instance.is_ready(),
        "listen": served.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "connections": { "open": instance.control.connections(), "max": instance.control.connections_max() },
        "reloads": { "done": done, "failed": failed, "last_ok": last_ok },
        "pools": pools.collect::<Vec<_>>(),
    })
}

fn pool(served: &ServedPool, recent: Recent, names: &Shown) -> Value {
    let pool = &served.pool;
    let endpoints = pool.endpoints();
    let workers = served.supervisor.as_ref().map(|supervisor| {
        let status = supervisor.status();
        json!({ "count": status.count, "mixed": status.mixed.as_deref(), "all": status.workers.iter().map(worker).collect::<Vec<_>>() })
    });
    let members: BTreeSet<&str> = endpoints.iter().map(|endpoint| &**endpoint.name()).collect();
    let [p50, p99] = recent.quantiles;
    json!({
        "name": &**pool.name(),
        "requests": pool.requests(),
        "per_second": (recent.rate * 10.0).round() / 10.0,
        "seconds_p50": p50,
        "seconds_p99": p99,
        "queue": pool.figures().map(|figures| json!({
            "length": figures.queued,
            "longest_wait_seconds": figures.longest_wait.as_secs_f64(),
            "slots_used": figures.slots_used,
            "slots": figures.slots,
        })),
        "in_flight": endpoints.iter().map(|endpoint| endpoint.in_flight()).sum::<usize>(),
        "dns": names.names.iter().map(|(name, shown)| self::name(name, shown, &members)).collect::<Vec<_>>(),
        "endpoints": endpoints.iter().map(|endpoint| self::endpoint(endpoint)).collect::<Vec<_>>(),
        "workers": workers,
    })
}

/// A name that is asked for. Waiting are those of its addresses to which no endpoint that takes requests belongs.
fn name(name: &str, shown: &NameShown, members: &BTreeSet<&str>) -> Value {
    let is_member = |address: &str| members.contains(name) || members.contains(address);
    let addresses: Vec<String> = shown.addresses.iter().map(ToString::to_string).collect();
    json!({
        "name": name,
        "answered_seconds": shown.answered.map(|at| Instant::now().saturating_duration_since(at).as_secs()),
        "problem": shown.problem,
        "waiting": addresses.iter().filter(|address| !is_member(address)).collect::<Vec<_>>(),
        "addresses": addresses,
    })
}

fn endpoint(endpoint: &Endpoint) -> Value {
    json!({
        "name": &**endpoint.name(),
        "address": endpoint.address().to_string(),
        "dns": endpoint.found_by().map(|name| &**name),
        "state": state_of(endpoint),
        "weight": endpoint.weight(),
        "backup": endpoint.backup(),
        "in_flight": endpoint.in_flight(),
        "requests": endpoint.claims(),
    })
}

fn worker(worker: &WorkerStatus) -> Value {
    let seconds = |since: Instant| Instant::now().saturating_duration_since(since).as_secs();
    json!({
        "name": &*worker.name,
        "state": state_name(worker.state),
        "since_seconds": seconds(worker.since),
        "age_seconds": worker.started.map(seconds),
        "pid": worker.pid,
        "address": worker.address.as_ref().map(ToString::to_string),
        "in_flight": worker.in_flight,
        "rss_bytes": worker.usage.rss_bytes,
        "cpu_seconds": worker.usage.cpu_seconds,
        "restarts": worker.restarts,
        "restart_reasons":
            worker.restart_reasons.iter().map(|(why, count)| (why.as_str().to_owned(), json!(count))).collect::<serde_json::Map<_, _>>(),
        "being_replaced": worker.stale,
        "finished": worker.finished,
        "last_end": worker.reason.as_deref(),
    })
}

/// Whether an endpoint takes requests, in a word.
pub(super) fn state_of(endpoint: &Endpoint) -> &'static str {
    match endpoint.accepts() {
        true if endpoint.is_down() => "down",
        true if endpoint.is_out() => "ejected",
        true => "up",
        false if endpoint.is_held() => "drained",
        false => "draining",
    }
}

/// The state of a worker, in a word.
pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Ready => "ready",
        State::Draining => "draining",
        State::Stopping => "stopping",
        State::Backoff => "backoff",
        State::Exited => "exited",
    }
}

/// Every state of a worker, for a metric that has one series for each.
pub(super) const STATES: [State; 6] =
    [State::Starting, State::Ready, State::Draining, State::Stopping, State::Backoff, State::Exited];

/// Seconds as metrics have them.
pub(super) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
