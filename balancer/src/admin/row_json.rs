//! A row as `/api/status` has it.
//!
//! Decides the names of its keys, which `docs/admin-api.md` describes. Called by [`super::status`]. Pure.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::row::Row;
use super::samples::{EndpointFigures, Recent};
use crate::endpoint::Endpoint;
use crate::observe::{EndpointTotals, Lasting, OF_ENDPOINTS};
use crate::supervise::WorkerStatus;

/// As `/api/status` has it.
pub(super) fn row_json(row: &Row, slots: Option<usize>, recent: &Recent, now: Instant) -> Value {
    let of_endpoint = |of: fn(&Endpoint) -> Value| row.endpoint.as_deref().map(of);
    let address = of_endpoint(|one| json!(one.address().to_string()));
    let of_worker = row.worker.as_ref().and_then(|worker| Some(json!(worker.address.as_ref()?.to_string())));
    let mut all = Map::new();
    let mut put = |key: &str, value: Value| _ = all.insert(key.to_owned(), value);
    put("name", json!(&*row.name));
    put("address", address.or(of_worker).unwrap_or_default());
    put("dns", of_endpoint(|one| json!(one.found_by().map(|name| &**name))).unwrap_or_default());
    put("state", json!(row.state.as_str()));
    put("state_text", json!(row.text()));
    put("level", json!(row.level().as_str()));
    put("weight", of_endpoint(|one| json!(one.weight())).unwrap_or_default());
    put("backup", json!(row.endpoint.as_ref().is_some_and(|one| one.backup())));
    put("takes_requests", json!(row.endpoint.as_ref().is_some_and(|one| one.accepts())));
    put("in_flight", json!(row.endpoint.as_ref().map_or(0, |one| one.in_flight())));
    put("slots", json!(slots.filter(|_| row.endpoint.is_some())));
    put("figures", row.figures.as_ref().map_or(Value::Null, |figures| figures_json(figures, recent)));
    put("worker", row.worker.as_ref().map_or(Value::Null, |worker| worker_json(worker, now)));
    Value::Object(all)
}

fn figures_json(figures: &EndpointFigures, window: &Recent) -> Value {
    let EndpointFigures { recent, ever } = figures;
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| recent.seconds.quantile(share));
    let lasting = |kind| json!({ "open": ever.open(kind), "opened": ever.opened(kind) });
    json!({
        "requests": ever.requests,
        "errors": ever.failed(),
        "errors_by_reason": by_reason(ever),
        "per_second": window.per_second(recent.requests),
        "errors_per_second": window.per_second(recent.failed()),
        "recent": { "requests": recent.ended, "errors": recent.failed(), "errors_by_reason": by_reason(recent) },
        "seconds_p50": p50,
        "seconds_p95": p95,
        "seconds_p99": p99,
        "tunnels": lasting(Lasting::Tunnel),
        "event_streams": lasting(Lasting::EventStream),
    })
}

fn worker_json(worker: &WorkerStatus, now: Instant) -> Value {
    let ago = |at: Instant| now.saturating_duration_since(at).as_secs();
    json!({
        "pid": worker.pid,
        "age_seconds": worker.started.map(ago),
        "rss_bytes": worker.usage.rss_bytes,
        "cpu_percent": worker.pid.map(|_| (worker.usage.cpu * 1_000.0).round() / 10.0),
        "cpu_seconds": worker.usage.cpu_seconds + worker.usage.cpu_seconds_before,
        "restarts": worker.restarts,
        "restarts_by_reason": worker.restart_reasons.iter()
            .map(|(why, count)| (why.as_str().to_owned(), json!(count))).collect::<Map<_, _>>(),
        "last_end": worker.last_end.as_ref().map(|end| json!({ "how": &*end.how, "seconds_ago": ago(end.at) })),
        "last_end_sentence": worker.reason.as_deref(),
        "last_line": worker.last_line.as_deref(),
        "next_start_seconds": worker.next_start.map(|at| at.saturating_duration_since(now).as_secs_f64()),
        "being_replaced": worker.stale,
        "on_trial": worker.on_trial,
    })
}

/// Failures of which there are some.
fn by_reason(totals: &EndpointTotals) -> Map<String, Value> {
    let pairs = OF_ENDPOINTS.iter().zip(totals.errors).filter(|(_, count)| *count > 0);
    pairs.map(|(reason, count)| ((*reason).to_owned(), json!(count))).collect()
}
