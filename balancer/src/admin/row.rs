//! A pool as an operator sees it: one row for each endpoint and each worker, a worker and its endpoint being one.
//!
//! Decides in which state a row is, how bad that is, and how it is said. Called by [`super::status`] and [`super::problem`]. Pure: it is handed
//! what there is, and `now`.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ServedPool;
use super::row_state::{Level, RowState};
use super::samples::{EndpointFigures, Recent};
use super::slow::slow;
use crate::endpoint::{Endpoint, EndpointId, Shown};
use crate::observe::{EndpointTotals, OF_ENDPOINTS};
use crate::supervise::{State, WorkerStatus, web_sockets};

/// An endpoint, a worker, or both.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: Arc<str>,
    pub(super) state: RowState,
    /// What stands behind the state, if anything.
    pub(super) detail: Option<String>,
    /// A sentence, where it takes too long to become ready.
    pub(super) late: Option<String>,
    pub(super) endpoint: Option<Arc<Endpoint>>,
    pub(super) worker: Option<WorkerStatus>,
    /// Whether it takes much longer than the others.
    pub(super) is_slow: bool,
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
    if let Some(slow) = slow(rows.iter().map(|row| row.figures.as_ref())).and_then(|slow| rows.get_mut(slow.at)) {
        slow.is_slow = true;
    }
    rows.sort_by_key(|row| Reverse(row.level()));
    rows
}

/// What one name stands for.
type Pair = (Arc<str>, Option<Arc<Endpoint>>, Option<WorkerStatus>);

impl Row {
    pub(super) fn new(
        name: Arc<str>,
        endpoint: Option<Arc<Endpoint>>,
        worker: Option<WorkerStatus>,
        figures: Option<EndpointFigures>,
        now: Instant,
    ) -> Self {
        let recent = figures.as_ref().map(|figures| &figures.recent);
        let state = state_of(endpoint.as_deref(), worker.as_ref(), recent);
        let detail = detail(state, endpoint.as_deref(), worker.as_ref(), recent, now);
        let late = worker.as_ref().and_then(|worker| worker.late(now));
        Self { name, state, detail, late, endpoint, worker, is_slow: false, figures }
    }

    /// As people read it: `back-off, next try in 4 s`.
    pub(super) fn text(&self) -> String {
        let word = self.state.shown();
        match &self.detail {
            // `ejected 8 s more`
            Some(detail) if self.state == RowState::Ejected => format!("{word} {detail}"),
            Some(detail) => format!("{word}, {detail}"),
            None if self.is_slow => format!("{word}, slow"),
            None => word.to_owned(),
        }
    }

    /// How bad it is.
    pub(super) fn level(&self) -> Level {
        let of_time = if self.is_slow { Level::Warn } else { Level::Ok };
        self.state.level().max(of_time)
    }
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
