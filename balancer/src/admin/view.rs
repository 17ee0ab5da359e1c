//! A pool at one moment, put together for whoever is shown it: its rows, its queue, and what it suffers from.
//!
//! Decides whether a pool is ready. Called by [`super::status`], [`super::prometheus`] and `/readyz`. Never writes a form of it.

use std::time::Instant;

use super::problem::{self, Problem};
use super::row::{Row, rows};
use super::row_state::Level;
use super::samples::{PoolFigures, Recent};
use super::{Instance, ServedPool};
use crate::pool::Figures;
use crate::supervise::Status;

/// One pool.
pub(super) struct PoolView<'a> {
    pub(super) served: &'a ServedPool,
    /// Worst first.
    pub(super) rows: Vec<Row>,
    pub(super) workers: Option<Status>,
    pub(super) figures: PoolFigures,
    pub(super) queue: Option<Figures>,
    pub(super) is_ready: bool,
    pub(super) problem: Option<Problem>,
}

impl<'a> PoolView<'a> {
    pub(super) fn of(served: &'a ServedPool, recent: &Recent, now: Instant) -> Self {
        let pool = &served.pool;
        let workers = served.supervisor.as_ref().map(|supervisor| supervisor.status());
        let all = workers.as_ref().map_or(&[][..], |status| &status.workers);
        let rows = rows(served, all, recent, now);
        let (figures, queue, is_ready) = (recent.pool(pool.name()), pool.figures(), is_ready(served, workers.as_ref()));
        let mixed = workers.as_ref().and_then(|status| status.mixed.as_deref()).map(str::to_owned);
        let failed_roll = workers.as_ref().and_then(|status| problem::failed_roll(status, now));
        let barred = problem::barred(&pool.refused(), now);
        let further: Vec<String> = [failed_roll, mixed, barred].into_iter().flatten().collect();
        let problem = problem::of(&rows, &figures, queue, (is_ready, &further));
        Self { served, rows, workers, figures, queue, is_ready, problem }
    }

    /// How bad it is.
    pub(super) fn level(&self) -> Level {
        self.problem.as_ref().map_or(Level::Ok, |problem| problem.level)
    }
}

/// Whether it has an endpoint that takes requests, or would if it were its turn; of one that takes none, whether all workers run.
pub(super) fn is_ready(served: &ServedPool, workers: Option<&Status>) -> bool {
    if let (Some(status), Some(false)) = (workers, served.supervisor.as_ref().map(|supervisor| supervisor.serves())) {
        return status.is_settled();
    }
    served.pool.endpoints().iter().any(|endpoint| endpoint.accepts() && !endpoint.is_down())
}

/// Whether every pool can serve.
pub(super) fn all_ready(instance: &Instance) -> bool {
    let serves = |served: &ServedPool| {
        is_ready(served, served.supervisor.as_ref().map(|supervisor| supervisor.status()).as_ref())
    };
    !instance.is_stopping() && instance.served.load().pools.iter().all(serves)
}

/// What the pools suffer from that are not ready, `api (2 in back-off: …)`, worst first; nothing where all are.
pub(super) fn not_ready(instance: &Instance) -> Option<String> {
    if instance.is_stopping() {
        return Some("it is stopping".to_owned());
    }
    let (served, recent, now) = (instance.served.load(), instance.recent(), Instant::now());
    let views = served.pools.iter().map(|one| PoolView::of(one, &recent, now));
    let told: Vec<String> = views.filter(|view| !view.is_ready).map(|view| named(&view)).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// `api (2 in back-off: …)`.
pub(super) fn named(view: &PoolView<'_>) -> String {
    let name = view.served.pool.name();
    view.problem.as_ref().map_or_else(|| name.to_string(), |problem| format!("{name} ({})", problem.text))
}
