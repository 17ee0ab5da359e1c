//! The state of everything as JSON. Decides its form, which `docs/admin-api.md` describes; called by `route` and by [`super::live`].

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::row_json::row_json;
use super::row_state::Level;
use super::samples::{PoolFigures, Recent, WINDOW_SECONDS};
use super::view::{PoolView, named};
use super::{Instance, ServedPool, certificates};
use crate::discover::{NameShown, NamesShown};
use crate::endpoint::Endpoint;
use crate::observe::Lasting;
use crate::pool::Figures;
use crate::supervise::{State, WorkerStatus};

/// What `/api/status` says.
pub(super) fn json(instance: &Instance) -> Value {
    of(instance, true)
}

/// The same without what the rows say too.
pub(super) fn rows_only(instance: &Instance) -> Value {
    of(instance, false)
}

fn of(instance: &Instance, whole: bool) -> Value {
    let (served, recent, now) = (instance.served.load(), instance.recent(), Instant::now());
    let (done, failed, last_ok) = instance.reloads();
    let views: Vec<PoolView<'_>> = served.pools.iter().map(|one| PoolView::of(one, &recent, now)).collect();
    let pools = views.iter().map(|view| {
        let names =
            served.names.get(&**view.served.pool.name()).map(|shown| shown.borrow().clone()).unwrap_or_default();
        pool(view, &recent, &names, (now, whole))
    });
    let is_stopping = instance.is_stopping();
    let mut problems: Vec<(Level, String)> = views
        .iter()
        .filter(|view| view.problem.is_some())
        .map(|view| (view.level(), format!("{}{}", if view.is_ready { "" } else { "NOT READY: " }, named(view))))
        .collect();
    problems.extend(certificates::problems(&certificates::views(instance, Timestamp::now())));
    if !last_ok {
        problems.push((Level::Warn, "the last reload failed: `balancer events` says why".to_owned()));
    }
    problems.sort_by_key(|(level, text)| (std::cmp::Reverse(*level), !text.starts_with("NOT READY")));
    let level = problems.first().map_or(Level::Ok, |(level, _)| *level);
    json!({
        "schema": SCHEMA,
        "name": instance.name,
        "configuration": instance.origin,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_seconds": instance.started.elapsed().unwrap_or_default().as_secs(),
        "state": if is_stopping { "stopping" } else { "serving" },
        "stopping_seconds": instance.stopping_since().map(|since| now.saturating_duration_since(since).as_secs()),
        "ready": !is_stopping && views.iter().all(|view| view.is_ready),
        "level": level.as_str(),
        "problems": problems.into_iter().map(|(level, text)| json!({ "level": level.as_str(), "text": text })).collect::<Vec<_>>(),
        "window_seconds": (recent.seconds.round() as u64).clamp(1, WINDOW_SECONDS),
        "listen": served.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "connections": { "open": instance.control.connections(), "max": instance.control.connections_max() },
        "reloads": { "done": done, "failed": failed, "last_ok": last_ok },
        "pools": pools.collect::<Vec<_>>(),
    })
}

fn pool(view: &PoolView<'_>, recent: &Recent, names: &NamesShown, (now, whole): (Instant, bool)) -> Value {
    let ServedPool { pool, .. } = view.served;
    let endpoints = pool.endpoints();
    let slots = view.queue.map(|queue| queue.slots_each);
    let members: BTreeSet<&str> = endpoints.iter().map(|endpoint| &**endpoint.name()).collect();
    let PoolFigures { requests, times, errors, requests_ever, errors_ever } = &view.figures;
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| times.quantile(share));
    let open = |kind: Lasting| -> u64 {
        view.rows.iter().filter_map(|row| row.figures.as_ref()).map(|figures| figures.ever.open(kind)).sum()
    };
    let mut told = json!({
        "name": &**pool.name(),
        "ready": view.is_ready,
        "level": view.level().as_str(),
        "problem": view.problem.as_ref().map(|problem| &problem.text),
        "requests": requests_ever,
        "errors": errors_ever.values().sum::<u64>(),
        "errors_by_reason": by_reason(errors_ever),
        "per_second": recent.per_second(*requests),
        "errors_per_second": recent.per_second(view.figures.failed()),
        "recent": { "requests": requests, "errors": view.figures.failed(), "errors_by_reason": by_reason(errors) },
        "seconds_p50": p50,
        "seconds_p95": p95,
        "seconds_p99": p99,
        "queue": view.queue.map(queue),
        "in_flight": endpoints.iter().map(|endpoint| endpoint.in_flight()).sum::<usize>(),
        "tunnels": open(Lasting::Tunnel),
        "event_streams": open(Lasting::EventStream),
        "dns": names.names.iter().map(|(name, shown)| self::name(name, shown, &members)).collect::<Vec<_>>(),
        "rows": view.rows.iter().map(|row| row_json(row, slots, recent, now)).collect::<Vec<_>>(),
        "workers": view.workers.as_ref().map(|status| json!({
            "count": status.count,
            "mixed": status.mixed.as_deref(),
            "failed_roll": status.failed_roll.as_ref().map(|roll| json!({ "seconds_ago": now.saturating_duration_since(roll.at).as_secs(), "how": &*roll.how })),
        })),
    });
    if whole {
        let all = endpoints.iter().map(|one| endpoint(one, view.served, recent)).collect();
        told["endpoints"] = Value::Array(all);
        if let Some(status) = &view.workers {
            told["workers"]["all"] = Value::Array(status.workers.iter().map(|one| worker(one, now)).collect());
        }
    }
    told
}

fn by_reason(errors: &std::collections::BTreeMap<&'static str, u64>) -> Map<String, Value> {
    errors.iter().map(|(reason, count)| ((*reason).to_owned(), json!(count))).collect()
}

fn queue(figures: Figures) -> Value {
    json!({
        "length": figures.queued,
        "max": figures.queue_max,
        "longest_wait_seconds": figures.longest_wait.as_secs_f64(),
        "slots_used": figures.slots_used,
        "slots": figures.slots,
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

fn endpoint(endpoint: &Endpoint, served: &ServedPool, recent: &Recent) -> Value {
    json!({
        "name": &**endpoint.name(),
        "address": endpoint.address().to_string(),
        "dns": endpoint.found_by().map(|name| &**name),
        "state": state_of(endpoint),
        "weight": endpoint.weight(),
        "backup": endpoint.backup(),
        "in_flight": endpoint.in_flight(),
        "requests": recent.endpoint(served.pool.name(), endpoint.name()).ever.requests,
    })
}

fn worker(worker: &WorkerStatus, now: Instant) -> Value {
    let seconds = |since: Instant| now.saturating_duration_since(since).as_secs();
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
            worker.restart_reasons.iter().map(|(why, count)| (why.as_str().to_owned(), json!(count))).collect::<Map<_, _>>(),
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

/// Goes up when a key changes its meaning or is gone; keys may be added.
const SCHEMA: u32 = 1;
