//! Pools that a reload adds or takes away: their workers are ready before anybody is sent to them, and idle before they end.
//!
//! Decides how long that is waited for. Called by `reload`. Never changes the configuration.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::live::{Live, SETTLED};
use super::plan::Plan;
use super::pool_change::WorkersChange;
use crate::admin::{Reporter, ServedPool};
use crate::config::{self, Config};
use crate::pool::Pool;
use crate::supervise::{Sockets, State, Stop, Supervisor};

impl Live {
    /// Starts the workers of pools that are new or had none, and waits until they are ready.
    pub(super) async fn begin_new(
        &mut self,
        plan: &Plan,
        new: &Config,
        reporter: &Reporter,
    ) -> Result<Vec<ServedPool>, String> {
        if self.sockets.is_none() {
            self.sockets = Sockets::make(&new.pools).map_err(|error| error.to_string())?;
        }
        let gets_workers =
            |name: &str| plan.changed.iter().any(|one| one.name == name && one.workers == WorkersChange::Begin);
        let mut begun = Vec::new();
        for config in &new.pools {
            if plan.added.contains(&config.name) {
                begun.push(self.begin(config));
            } else if gets_workers(&config.name)
                && let Some(served) = self.pools.iter().find(|served| **served.pool.name() == *config.name).cloned()
            {
                begun.push(self.begin_with(served.pool, served.log, config));
            }
        }
        // Should a stop come in between, they are known.
        self.retiring.extend(begun.iter().filter_map(|served| served.supervisor.clone()));
        self.find_new(&begun, new, reporter).await;
        let mut failed = None;
        for served in &begun {
            let config = new.pools.iter().find(|config| *config.name == **served.pool.name());
            if let (Some(supervisor), Some(workers)) =
                (&served.supervisor, config.and_then(|config| config.workers.as_ref()))
            {
                failed = failed.or(ready(supervisor, workers.ready_timeout + SETTLED, reporter).await.err());
            }
        }
        if failed.is_some() {
            // As it was.
            self.discover();
            // Workers of a pool that serves have taken requests.
            let until = Instant::now() + self.config.drain_timeout;
            for served in &begun {
                let Some(supervisor) = &served.supervisor else { continue };
                let serves = gets_workers(served.pool.name());
                reporter.progress(format!("{}: its new workers are stopped", served.pool.name()));
                supervisor.stop(if serves { Stop::Drain { until } } else { Stop::Now }).await;
            }
        }
        self.retiring.retain(|one| {
            !begun.iter().filter_map(|served| served.supervisor.as_ref()).any(|own| Arc::ptr_eq(own, one))
        });
        failed.map_or(Ok(begun), Err)
    }

    /// Lets what nobody is sent to any more finish, and ends it.
    pub(super) async fn retire(&mut self, gone: &[ServedPool], reporter: &Reporter) {
        let until = Instant::now() + self.config.drain_timeout;
        for served in gone {
            reporter.progress(format!("{}: its requests may finish", served.pool.name()));
            let _ = timeout_at(until, idle(&served.pool)).await;
            served.pool.endpoints().iter().for_each(|endpoint| endpoint.drain());
        }
        // In the list while it goes on, so that a stop of everything finds them.
        for supervisor in self.retiring.clone() {
            reporter.progress(format!("{}: its workers are stopped", supervisor.status().pool));
            supervisor.stop(Stop::Drain { until }).await;
        }
        self.retiring.clear();
    }
}

/// A pool of the new configuration: as it was, its successor, or one that has just begun.
pub(super) fn after(config: &config::Pool, plan: &Plan, begun: &[ServedPool], before: &[ServedPool]) -> ServedPool {
    let find = |among: &[ServedPool]| among.iter().find(|served| **served.pool.name() == *config.name).cloned();
    let known = find(begun).or_else(|| find(before));
    let change = plan.changed.iter().find(|change| change.name == config.name);
    match (known, change) {
        (Some(served), None) => served,
        (Some(served), Some(change)) => {
            let keeps = change.workers != WorkersChange::End;
            let supervisor = served.supervisor.filter(|_| keeps);
            ServedPool { pool: served.pool.succeed(config), supervisor, log: served.log }
        }
        // Every pool of the new configuration was there or has begun.
        (None, _) => ServedPool { pool: Pool::new(config), supervisor: None, log: crate::observe::Journal::new(0) },
    }
}

pub(super) fn is_gone(served: &ServedPool, plan: &Plan) -> bool {
    plan.removed.iter().any(|name| **served.pool.name() == **name)
}

pub(super) fn ends(served: &ServedPool, plan: &Plan) -> bool {
    plan.changed.iter().any(|change| *change.name == **served.pool.name() && change.workers == WorkersChange::End)
}

/// Waits until all workers are ready, or some are and no more will be in time.
async fn ready(supervisor: &Supervisor, patience: Duration, reporter: &Reporter) -> Result<(), String> {
    let mut status = supervisor.watch();
    reporter.progress(format!("{}: its workers start", status.borrow().pool));
    let settled = status.wait_for(|status| {
        let failed = status.workers.iter().any(|worker| worker.state == State::Backoff);
        failed || status.is_settled()
    });
    // Either way it counts how many are.
    let _ = timeout(patience, settled).await.is_ok();
    let status = supervisor.status();
    if status.ready() > 0 || status.is_settled() {
        return Ok(());
    }
    let reason = status.workers.iter().find_map(|worker| worker.reason.as_deref());
    Err(format!("pool {}: no worker is ready: {}", status.pool, reason.unwrap_or("none was in time")))
}

/// Returns when nothing has been in flight for [`SETTLED`].
async fn idle(pool: &Pool) {
    let is_empty = || pool.endpoints().iter().all(|endpoint| endpoint.in_flight() == 0);
    let mut empty_since = Instant::now();
    while empty_since.elapsed() < SETTLED {
        sleep(LOOK).await;
        if !is_empty() {
            empty_since = Instant::now();
        }
    }
}

const LOOK: Duration = Duration::from_millis(20);
