//! A pool as an operator sees it: one row for each endpoint and each worker, a worker and its endpoint being one.
//!
//! Decides in which state a row is, how bad that is, and how it is said. Called by [`super::status`] and [`super::problem`]. Pure: it is handed
//! what there is, and `now`.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::ServedPool;
use super::row_state::RowState;
use super::samples::{EndpointFigures, Recent};
use crate::endpoint::{Endpoint, EndpointId, Shown};
use crate::observe::{EndpointTotals, Lasting, OF_ENDPOINTS};
use crate::supervise::{State, WorkerStatus, web_sockets};

/// An endpoint, a worker, or both.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: Arc<str>,
    pub(super) state: RowState,
    /// What stands behind the state, if anything.
    pub(super) detail: Option<String>,
    endpoint: Option<Arc<Endpoint>>,
    pub(super) worker: Option<WorkerStatus>,
    /// Those of its name; another row has them where there are two.
    pub(super) figures: Option<EndpointFigures>,
}

/// The rows of a pool, worst first.
pub(super) fn rows(served: &ServedPool, workers: &[WorkerStatus], recent: &Recent, now: Instant) -> Vec<Row> {
    let pool = &served.pool;
    let mut endpoints: HashMap<EndpointId, Arc<Endpoint>> = HashMap::new();
    let owned: HashSet<EndpointId> = workers.iter().filter_map(|worker| worker.endpoint).collect();
    let mut pairs: Vec<Pair> = Vec::new();
    for endpoint in pool.endpoints() {
        match owned.contains(&endpoint.id()) {
            true => _ = endpoints.insert(endpoint.id(), endpoint),
            false => pairs.push((Arc::clone(endpoint.name()), Some(endpoint), None)),
        }
    }
    for worker in workers {
        let endpoint = worker.endpoint.and_then(|id| endpoints.remove(&id));
        pairs.push((Arc::clone(&worker.name), endpoint, Some(worker.clone())));
    }
    // Of two with one name, the first that takes requests has the figures, or the first.
    let mut chosen: HashMap<Arc<str>, (bool, usize)> = HashMap::new();
    for (at, (name, endpoint, _)) in pairs.iter().enumerate() {
        let accepts = endpoint.as_ref().is_some_and(|one| one.accepts());
        let known = chosen.entry(Arc::clone(name)).or_insert((accepts, at));
        if accepts && !known.0 {
            *known = (accepts, at);
        }
    }
    let rows = pairs.into_iter().enumerate().map(|(at, (name, endpoint, worker))| {
        let has_figures = chosen.get(&name).is_some_and(|(_, chosen)| *chosen == at);
        let figures = has_figures.then(|| recent.endpoint(pool.name(), &name));
        Row::new(name, endpoint, worker, figures, now)
    });
    let mut rows: Vec<Row> = rows.collect();
    rows.sort_by_key(|row| Reverse(row.state.level()));
    rows
}

/// What one name stands for.
type Pair = (Arc<str>, Option<Arc<Endpoint>>, Option<WorkerStatus>);

impl Row {
    fn new(
        name: Arc<str>,
        endpoint: Option<Arc<Endpoint>>,
        worker: Option<WorkerStatus>,
        figures: Option<EndpointFigures>,
        now: Instant,
    ) -> Self {
        let recent = figures.as_ref().map(|figures| &figures.recent);
        let state = state_of(endpoint.as_deref(), worker.as_ref(), recent);
        let detail = detail(state, endpoint.as_deref(), worker.as_ref(), recent, now);
        Self { name, state, detail, endpoint, worker, figures }
    }

    /// As people read it: `back-off, next try in 4 s`.
    pub(super) fn text(&self) -> String {
        let word = self.state.shown();
        match &self.detail {
            // `ejected 8 s more`
            Some(detail) if self.state == RowState::Ejected => format!("{word} {detail}"),
            Some(detail) => format!("{word}, {detail}"),
            None => word.to_owned(),
        }
    }

    /// As `/api/status` has it.
    pub(super) fn json(&self, slots: Option<usize>, recent: &Recent, now: Instant) -> Value {
        let of_endpoint = |of: fn(&Endpoint) -> Value| self.endpoint.as_deref().map(of);
        let address = of_endpoint(|one| json!(one.address().to_string()));
        let of_worker = self.worker.as_ref().and_then(|worker| Some(json!(worker.address.as_ref()?.to_string())));
        let mut all = Map::new();
        let mut put = |key: &str, value: Value| _ = all.insert(key.to_owned(), value);
        put("name", json!(&*self.name));
        put("address", address.or(of_worker).unwrap_or_default());
        put("dns", of_endpoint(|one| json!(one.found_by().map(|name| &**name))).unwrap_or_default());
        put("state", json!(self.state.as_str()));
        put("state_text", json!(self.text()));
        put("level", json!(self.state.level().as_str()));
        put("weight", of_endpoint(|one| json!(one.weight())).unwrap_or_default());
        put("backup", json!(self.endpoint.as_ref().is_some_and(|one| one.backup())));
        put("takes_requests", json!(self.endpoint.as_ref().is_some_and(|one| one.accepts())));
        put("in_flight", json!(self.endpoint.as_ref().map_or(0, |one| one.in_flight())));
        put("slots", json!(slots.filter(|_| self.endpoint.is_some())));
        put("figures", self.figures.as_ref().map_or(Value::Null, |figures| figures_json(figures, recent)));
        put("worker", self.worker.as_ref().map_or(Value::Null, |worker| worker_json(worker, now)));
        Value::Object(all)
    }
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
pub(super) fn by_reason(totals: &EndpointTotals) -> Map<String, Value> {
    let pairs = OF_ENDPOINTS.iter().zip(totals.errors).filter(|(_, count)| *count > 0);
    pairs.map(|(reason, count)| ((*reason).to_owned(), json!(count))).collect()
}

fn state_of(endpoint: Option<&Endpoint>, worker: Option<&WorkerStatus>, recent: Option<&EndpointTotals>) -> RowState {
    match worker.map(|worker| (worker.state, worker.finished)) {
        Some((State::Starting, _)) => return RowState::Starting,
        Some((State::Backoff, _)) => return RowState::Backoff,
        Some((State::Stopping, _)) => return RowState::Stopping,
        Some((_, true)) => return RowState::Finished,
        Some((State::Exited, _)) => return RowState::Exited,
        Some((State::Draining, _)) => return RowState::Draining,
        Some((State::Ready, _)) | None => {}
    }
    let Some(endpoint) = endpoint else { return RowState::Running };
    if !endpoint.accepts() {
        return if endpoint.is_held() { RowState::Drained } else { RowState::Draining };
    }
    match endpoint.shown() {
        Shown::Down => RowState::Down,
        Shown::Ejected(_) => RowState::Ejected,
        Shown::Probation => RowState::Probation,
        shown => {
            if is_failing(shown, recent) {
                RowState::Failing
            } else {
                RowState::Up
            }
        }
    }
}

/// Half of the requests of the last seconds have failed; where there were none, the last that there was.
fn is_failing(shown: Shown, recent: Option<&EndpointTotals>) -> bool {
    let (failed, ended) = recent.map_or((0, 0), |recent| (recent.failed(), recent.ended));
    match ended {
        0 => shown == Shown::Suspect,
        _ => failed > 0 && 2 * failed >= ended,
    }
}

fn detail(
    state: RowState,
    endpoint: Option<&Endpoint>,
    worker: Option<&WorkerStatus>,
    recent: Option<&EndpointTotals>,
    now: Instant,
) -> Option<String> {
    let left = |until: Instant| seconds(until.saturating_duration_since(now));
    match state {
        RowState::Backoff => Some(format!("next try in {}", left(worker?.next_start?))),
        RowState::Ejected => match endpoint?.shown() {
            Shown::Ejected(time) => Some(format!("{} more", seconds(time))),
            _ => None,
        },
        RowState::Failing => {
            let recent = recent.filter(|recent| recent.ended > 0)?;
            let (worst, _) = OF_ENDPOINTS.iter().zip(recent.errors).max_by_key(|(_, count)| *count)?;
            Some(format!("{} of {}: {worst}", recent.failed(), recent.ended))
        }
        RowState::Draining | RowState::Drained => {
            let (in_flight, tunnels) = (endpoint?.in_flight(), endpoint?.tunnels());
            let requests = in_flight.saturating_sub(tunnels);
            let until = |until: Option<Instant>| until.map_or(String::new(), |at| format!(", cut in {}", left(at)));
            match (requests, tunnels) {
                (0, 0) => None,
                (0, _) => {
                    Some(format!("{}{}", web_sockets(tunnels), until(worker.and_then(|worker| worker.drained_by))))
                }
                (1, _) => Some(format!("1 request{}", until(worker.and_then(|worker| worker.requests_by)))),
                _ => Some(format!("{requests} requests{}", until(worker.and_then(|worker| worker.requests_by)))),
            }
        }
        RowState::Starting if worker?.on_trial => Some("to replace another".to_owned()),
        RowState::Up if worker.is_some_and(|worker| worker.on_trial) => Some("on trial".to_owned()),
        RowState::Up | RowState::Running if worker.is_some_and(|worker| worker.stale) => {
            Some("to be replaced".to_owned())
        }
        RowState::Up if endpoint.is_some_and(Endpoint::backup) => Some("backup".to_owned()),
        _ => None,
    }
}

/// Whole seconds, and never none: what is over in a moment is not over.
fn seconds(time: Duration) -> String {
    crate::shown::age((time.as_secs_f64().ceil() as u64).max(1))
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::Address;
    use crate::supervise::{LastEnd, Usage};

    pub(in crate::admin) fn worker(index: usize, state: State, now: Instant) -> WorkerStatus {
        WorkerStatus {
            name: format!("app.{index}").into(),
            index,
            state,
            since: now,
            started: None,
            pid: None,
            address: None,
            endpoint: None,
            in_flight: 0,
            tunnels: 0,
            drained_by: None,
            requests_by: None,
            next_start: None,
            usage: Usage::default(),
            stale: false,
            on_trial: false,
            finished: false,
            restarts: 0,
            restart_reasons: Default::default(),
            reason: None,
            last_end: None,
            last_line: None,
        }
    }

    pub(in crate::admin) fn row(worker: WorkerStatus, now: Instant) -> Row {
        Row::new(Arc::clone(&worker.name), None, Some(worker), None, now)
    }

    fn endpoint() -> Arc<Endpoint> {
        Endpoint::new("app.1".into(), Address::Unix(PathBuf::from("/s")), 1, false)
    }

    fn text(endpoint: &Arc<Endpoint>, worker: Option<WorkerStatus>, recent: EndpointTotals, now: Instant) -> String {
        let figures = EndpointFigures { recent, ..EndpointFigures::default() };
        Row::new("app.1".into(), Some(Arc::clone(endpoint)), worker, Some(figures), now).text()
    }

    fn totals(ended: u64, failed: u64) -> EndpointTotals {
        let mut totals = EndpointTotals::default();
        (totals.requests, totals.ended) = (ended, ended);
        totals.errors[3] = failed;
        totals
    }

    #[test]
    fn a_worker_without_an_endpoint_says_what_it_waits_for() {
        let now = Instant::now();
        let next_start = Some(now + Duration::from_millis(3_200));
        let last_end = Some(LastEnd { how: "exit code 1".into(), at: now });
        let waits = WorkerStatus { next_start, last_end, ..worker(1, State::Backoff, now) };
        assert_eq!(row(waits.clone(), now).text(), "back-off, next try in 4 s");
        assert_eq!(row(waits, now + Duration::from_secs(9)).text(), "back-off, next try in 1 s");
        assert_eq!(row(worker(1, State::Ready, now), now).text(), "running");
        let done = WorkerStatus { finished: true, ..worker(1, State::Exited, now) };
        assert_eq!(row(done, now).text(), "finished");
    }

    #[test]
    fn an_endpoint_that_fails_says_so_at_once_and_what_it_fails_of() {
        let (now, endpoint) = (Instant::now(), endpoint());
        for (ended, failed, expected) in [
            (0, 0, "up"),
            (10, 0, "up"),
            (10, 4, "up"),
            (10, 5, "failing, 5 of 10: closed_early"),
            (1, 1, "failing, 1 of 1: closed_early"),
        ] {
            assert_eq!(text(&endpoint, None, totals(ended, failed), now), expected, "{failed} of {ended}");
        }
        endpoint.claim().unwrap().failed(&"reset");
        assert_eq!(text(&endpoint, None, totals(0, 0), now), "failing", "the last that there was");
    }

    #[test]
    fn who_is_out_says_for_how_long() {
        let (now, endpoint) = (Instant::now(), endpoint());
        let rules = crate::config::Health { eject_after: 1, ..crate::config::Health::default() };
        endpoint.judged_by(&"app".into(), &rules, &Arc::default());
        endpoint.claim().unwrap().failed_alone(&"refused");
        assert_eq!(text(&endpoint, None, totals(1, 1), now), "ejected 10 s more");
        endpoint.hold();
        assert_eq!(text(&endpoint, None, totals(1, 1), now), "drained");
    }

    #[test]
    fn a_drain_says_what_it_waits_for_and_until_when() {
        let (now, endpoint) = (Instant::now(), endpoint());
        let places = [endpoint.claim().unwrap(), endpoint.claim().unwrap()];
        endpoint.drain();
        let (drained_by, requests_by) = (Some(now + Duration::from_secs(22)), Some(now + Duration::from_secs(30)));
        let worker = WorkerStatus { drained_by, requests_by, ..worker(1, State::Draining, now) };
        let told = || text(&endpoint, Some(worker.clone()), totals(0, 0), now);
        assert_eq!(told(), "draining, 2 requests, cut in 30 s");
        let [first, _second] = places;
        drop(first);
        assert_eq!(told(), "draining, 1 request, cut in 30 s");
        let _tunnel = endpoint.begin_tunnel();
        assert_eq!(told(), "draining, 1 WebSocket, cut in 22 s");
        assert_eq!(text(&endpoint, None, totals(0, 0), now), "draining, 1 WebSocket");
    }
}
