//! Orders, carried out one after another; those that only wait are not waited for.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout};

use super::live::Live;
use super::serial;
use super::waiting_orders::WaitingOrders;
use crate::admin::{AdminAction, AdminOrder, Outcome, Reporter};
use crate::config::{COUNT_MAX, nearest};
use crate::shown;
use crate::supervise::{RollError, State, Supervisor, web_sockets};

/// That HUP has come: a reload that nobody waits for. It has no place in the queue, which may be full: as long as it has not begun,
/// another would read the same file.
#[derive(Debug, Default)]
pub(super) struct HangUp {
    came: Notify,
    /// It has come, and the reload has not begun.
    waits: AtomicBool,
}

/// Whether all of it stops, so that no further order is carried out.
pub(super) type Stops = Cell<bool>;

impl HangUp {
    /// It has come; whether it is the first since the last reload began.
    pub(super) fn came(&self) -> bool {
        self.came.notify_one();
        !self.waits.swap(true, Ordering::Relaxed)
    }

    /// Returns when it does not come again for a moment: who sends one after another means one.
    async fn settle(&self) {
        let until = Instant::now() + STORM;
        while Instant::now() < until && timeout(PAUSE, self.came.notified()).await.is_ok() {}
        self.waits.store(false, Ordering::Relaxed);
    }
}

/// Carries out what comes until nobody is left to order.
pub(super) async fn act(
    live: &mut Live,
    mut orders: Receiver<AdminOrder>,
    hang_up: &HangUp,
    (stops, waiting): (&Stops, &WaitingOrders),
) {
    let (may_be_serial, instance) = (live.may_be_serial(), Arc::clone(&live.instance));
    loop {
        let order = tokio::select! {
            biased;
            () = hang_up.came.notified() => {
                hang_up.settle().await;
                Some(AdminOrder { action: AdminAction::Reload { dry_run: false }, reporter: Reporter::nobody() })
            }
            order = orders.recv() => {
                waiting.take_first();
                order
            }
            () = serial::found(may_be_serial.as_deref()) => {
                live.serve_one_at_a_time().await;
                continue;
            }
        };
        let Some(AdminOrder { action, reporter }) = order else { return };
        if stops.get() {
            reporter.done(Outcome::failed("the balancer is stopping"));
            continue;
        }
        let outcome = tokio::select! {
            biased;
            outcome = live.carry_out(&action, &reporter) => outcome,
            never = waiting.tell(&instance, &action) => match never {},
        };
        if outcome.code != 0 {
            tracing::warn!("{}", outcome.text);
        }
        reporter.done(outcome);
    }
}

impl Live {
    async fn carry_out(&mut self, action: &AdminAction, reporter: &Reporter) -> Outcome {
        match action {
            AdminAction::Reload { dry_run } => self.reload(*dry_run, reporter).await,
            AdminAction::Restart { pool, all } => self.restart_of(pool.clone(), *all, reporter).await,
            AdminAction::Scale { pool, count } => self.scale(pool, *count, reporter).await,
            // Those do not queue here.
            AdminAction::Drain { .. } | AdminAction::Undrain { .. } | AdminAction::Stop { .. } => {
                Outcome::wrong("that needs no queue")
            }
        }
    }

    /// One pool, the only one, or one after another.
    async fn restart_of(&self, pool: Option<String>, all: bool, reporter: &Reporter) -> Outcome {
        let with_workers = self.pools.iter().filter(|served| served.supervisor.is_some());
        let names: Vec<Arc<str>> = with_workers.map(|served| Arc::clone(served.pool.name())).collect();
        match (pool, names.as_slice()) {
            (Some(pool), _) => self.restart(&pool, reporter).await,
            (None, []) => Outcome::wrong("no pool has workers"),
            (None, [only]) => self.restart(only, reporter).await,
            (None, _) if !all => Outcome::wrong(format!("name the pool, or use --all: {}", names.join(", "))),
            (None, _) => {
                let mut done = Vec::new();
                for name in &names {
                    let outcome = self.restart(name, reporter).await;
                    done.push(outcome.text);
                    if outcome.code != 0 {
                        return Outcome { code: outcome.code, text: done.join("\n") };
                    }
                }
                Outcome::done(done.join("\n"))
            }
        }
    }

    /// `app` for all of its workers, `app.2` for one.
    async fn restart(&self, name: &str, reporter: &Reporter) -> Outcome {
        // Names of pools have no dot.
        let (pool, one) = name.split_once('.').map_or((name, None), |(pool, index)| (pool, Some(index)));
        let supervisor = match self.supervisor(pool) {
            Ok(supervisor) => supervisor,
            Err(outcome) => return outcome,
        };
        let index = match one.map(|index| index_of(&supervisor, index)).transpose() {
            Ok(index) => index,
            Err(there) => return Outcome::wrong(format!("no worker is called {name}; there is {there}")),
        };
        let rolled = match index {
            Some(index) => {
                self.note("restart", Some(pool), &format!("{name} is replaced by an operator"));
                told(&supervisor, reporter, supervisor.roll_one(index)).await
            }
            None => {
                self.note("restart", Some(pool), &format!("{pool}: replacing every worker"));
                told(&supervisor, reporter, supervisor.roll()).await
            }
        };
        match rolled {
            Ok(report) => Outcome::done(format!(
                "{pool}: {} replaced in {}",
                report.replaced.join(", "),
                shown::time(report.took)
            )),
            // It names the worker, and with it the pool.
            Err(error @ RollError::Roll { .. }) => Outcome::failed(error.to_string()),
            Err(error) => Outcome::failed(format!("{pool}: {error}")),
        }
    }

    async fn scale(&mut self, pool: &str, count: usize, reporter: &Reporter) -> Outcome {
        let supervisor = match self.supervisor(pool) {
            Ok(supervisor) => supervisor,
            Err(outcome) => return outcome,
        };
        if count == 0 {
            return Outcome::wrong(format!(
                "{pool} needs at least 1 worker (`balancer stop` ends everything, a reload without the pool removes it)"
            ));
        }
        if count > COUNT_MAX {
            return Outcome::wrong(format!("{count} workers are too many: {COUNT_MAX} is the limit"));
        }
        let scaled = told(&supervisor, reporter, supervisor.scale(count)).await;
        for config in self.config.pools.iter_mut().filter(|config| config.name == pool) {
            if let Some(workers) = &mut config.workers {
                workers.count = supervisor.status().count;
            }
        }
        match scaled {
            Ok(report) if report.from == report.to => Outcome::done(format!("{pool}: has {count} workers already")),
            Ok(report) => Outcome::done(format!(
                "{pool}: {} → {} workers in {}",
                report.from,
                report.to,
                shown::time(report.took)
            )),
            Err(error) => Outcome::failed(format!("{pool}: {error}")),
        }
    }

    fn supervisor(&self, name: &str) -> Result<Arc<Supervisor>, Outcome> {
        let found = self.pools.iter().find(|served| **served.pool.name() == *name);
        match found.map(|served| served.supervisor.clone()) {
            Some(Some(supervisor)) => Ok(supervisor),
            Some(None) => Err(Outcome::wrong(format!("pool {name} has no workers"))),
            None => Err(Outcome::wrong(unknown("pool", name, self.pools.iter().map(|served| &**served.pool.name())))),
        }
    }
}

/// The index of a worker that is wanted.
///
/// # Errors
/// Which there are.
fn index_of(supervisor: &Supervisor, index: &str) -> Result<usize, String> {
    let status = supervisor.status();
    let found = index.parse().ok().filter(|found| (1..=status.count).contains(found) && index == found.to_string());
    found.ok_or_else(|| match status.count {
        1 => format!("{}.1", status.pool),
        count => format!("{0}.1 to {0}.{count}", status.pool),
    })
}

pub(super) fn unknown<'n>(what: &str, name: &str, names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    let near = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there is {}", names.join(", ")),
    };
    format!("no {what} is called {name}; {near}")
}

/// Waits for what a supervisor does, and tells how far its workers are.
pub(super) async fn told<T>(supervisor: &Supervisor, reporter: &Reporter, doing: impl Future<Output = T>) -> T {
    let (mut status, mut doing) = (supervisor.watch(), std::pin::pin!(doing));
    loop {
        {
            let status = status.borrow_and_update();
            let count = |wanted: fn(&crate::supervise::WorkerStatus) -> bool| {
                status.workers.iter().filter(|one| wanted(one)).count()
            };
            let (ready, old) =
                (count(|worker| worker.state == State::Ready && !worker.stale), count(|worker| worker.stale));
            reporter.progress(format!("{}: {ready} ready, {old} to be replaced", status.pool));
        }
        let (workers, now) = (supervisor.status().workers, std::time::Instant::now());
        let late = || workers.iter().find_map(|worker| worker.late(now));
        if let Some(text) = workers.iter().find_map(waiting_for_tunnels).or_else(late) {
            reporter.progress(text);
        }
        tokio::select! {
            done = &mut doing => return done,
            // An error means that the loop has ended; then the answer comes at once.
            changed = status.changed() => if changed.is_err() { return doing.await },
            // A time that runs down is shown.
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// `app.1: draining, 1 WebSocket, told to stop in 22 s`.
fn waiting_for_tunnels(worker: &crate::supervise::WorkerStatus) -> Option<String> {
    let left = worker.drained_by?.checked_duration_since(std::time::Instant::now())?.as_secs_f64().ceil();
    let is_waiting = worker.state == State::Draining && worker.tunnels > 0;
    let tunnels = web_sockets(worker.tunnels);
    is_waiting.then(|| format!("{}: draining, {tunnels}, told to stop in {left:.0} s", worker.name))
}

/// Between two signals of one storm, and of all of it.
const PAUSE: Duration = Duration::from_millis(100);
const STORM: Duration = Duration::from_secs(1);
