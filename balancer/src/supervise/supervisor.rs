//! The supervisor of one pool, as the other rooms see it. Decides in which steps settings are changed; called by `app`, on the control
//! thread. Never looks at a process: `reconcile` does all of that.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::command::{Command, ReconfigureError, Reconfigured, Reply, RollError, RollReport, ScaleReport};
use super::reconcile::{Message, Reconciler};
use super::spawn::Blueprint;
use super::state::Stop;
use super::status::Status;
use super::surroundings::Surroundings;
use crate::config::Workers;
use crate::pool::Pool;

/// The workers of one pool. Dropping it kills them; [`Self::stop`] is the polite way.
#[derive(Debug)]
pub struct Supervisor {
    pool: Arc<Pool>,
    commands: mpsc::Sender<Message>,
    status: watch::Receiver<Status>,
    settings: watch::Receiver<Arc<Workers>>,
    reconciling: AbortHandle,
}

impl Supervisor {
    /// Starts the workers of `pool`; returns at once.
    ///
    /// Must be called on the thread that lives as long as the process, inside its current-thread runtime: workers are
    /// killed when the *thread* that started them ends (PR_SET_PDEATHSIG(2const)).
    pub fn start(pool: Arc<Pool>, workers: Workers, surroundings: Surroundings) -> Self {
        let (commands, inbox) = mpsc::channel(MESSAGES_MAX);
        let name = Arc::clone(pool.name());
        let empty = Status {
            pool: Arc::clone(&name),
            count: workers.count,
            mixed: None,
            failed_roll: None,
            workers: Vec::new(),
        };
        let (publish, status) = watch::channel(empty);
        surroundings.standings.add(Arc::clone(&name), status.clone());
        let (settle, settings) = watch::channel(Arc::new(workers));
        let blueprint = Blueprint { pool: name, surroundings };
        let reconciler = Reconciler::new(Arc::clone(&pool), blueprint, (commands.clone(), inbox), publish, settle);
        let reconciling = tokio::spawn(reconciler.run()).abort_handle();
        Self { pool, commands, status, settings, reconciling }
    }

    /// Replaces every worker by a new one with the present settings, `roll_parallel` at once, and returns when the last old
    /// one has ended. A roll that is asked for during another begins behind it.
    ///
    /// A new worker takes requests beside the old one, which is drained only when the new one has proved itself. When one
    /// does not become ready, or ends right after, the roll ends there. Dropping the future does not end it.
    ///
    /// # Errors
    /// [`RollError`].
    pub async fn roll(&self) -> Result<RollReport, RollError> {
        ask(&self.commands, |reply| Command::Roll(None, reply)).await
    }

    /// The same with the worker of one index.
    ///
    /// # Errors
    /// [`RollError`].
    pub async fn roll_one(&self, index: usize) -> Result<RollReport, RollError> {
        ask(&self.commands, |reply| Command::Roll(Some(index), reply)).await
    }

    /// Has `count` workers (0 is taken for 1) from now on, and returns when those that it started are ready, and those beyond
    /// have been drained and have ended. Works during a roll too.
    ///
    /// # Errors
    /// [`RollError`]: when one of the new ones fails, which does not end the attempts to start it.
    pub async fn scale(&self, count: usize) -> Result<ScaleReport, RollError> {
        ask(&self.commands, |reply| Command::Scale(count.max(1), reply)).await
    }

    /// Makes `workers` the settings: a change of what the process itself is made of rolls, a change of the number scales,
    /// the others hold from now on or from the next start, see [`Changes`]. Dropping the future does not end it.
    ///
    /// # Errors
    /// [`ReconfigureError`]. When a new worker fails, the settings are what they were before, the number aside; when one fails
    /// that only adds to the number, they hold.
    pub async fn reconfigure(&self, workers: Workers) -> Result<Reconfigured, ReconfigureError> {
        let (commands, from) = (self.commands.clone(), self.status.borrow().count);
        let all = tokio::spawn(async move {
            let to = workers.count;
            let scale = |count| ask(&commands, move |reply| Command::Scale(count, reply));
            // Those that are not wanted any more need not be replaced, those that come are new.
            let fewer = if to < from { Some(scale(to).await?) } else { None };
            let mut done = match ask(&commands, |reply| Command::Reconfigure(Box::new(workers), reply)).await {
                Ok(done) => Reconfigured { scaled: fewer, ..done },
                Err(error) => {
                    let done = Reconfigured { scaled: fewer, ..Reconfigured::default() };
                    return Err(ReconfigureError { done, wanted: None, error });
                }
            };
            if to > from {
                match scale(to).await {
                    Ok(more) => done.scaled = Some(more),
                    Err(error) => return Err(ReconfigureError { done, wanted: Some(to), error }),
                }
            }
            Ok(done)
        });
        // It ends early only with the runtime.
        all.await.unwrap_or(Err(RollError::Stopping.into()))
    }

    /// The settings of this moment, with the number that is wanted now.
    pub fn settings(&self) -> Workers {
        let settings = self.settings.borrow().as_ref().clone();
        Workers { count: self.status.borrow().count, ..settings }
    }

    /// Whether its workers take requests once they are ready.
    pub fn serves(&self) -> bool {
        self.settings.borrow().serves()
    }

    /// Ends what is under way, a roll above all, and starts and ends no worker any more but such as die: all will be told to stop soon.
    pub async fn wind_up(&self) {
        // As below.
        let _ = self.commands.send(Message::WindUp).await;
    }

    /// Stops all workers at once, each by its own steps, and returns when the last has ended and been collected.
    ///
    /// May be called again while it runs, to stop faster.
    pub async fn stop(&self, stop: Stop) {
        // It fails when the loop has ended, and then there is nothing to stop.
        let _ = self.commands.send(Message::Stop(stop)).await;
        let mut status = self.status.clone();
        while status.changed().await.is_ok() {}
    }

    /// The workers at this moment.
    pub fn status(&self) -> Status {
        let mut status = self.status.borrow().clone();
        let endpoints = self.pool.endpoints();
        for worker in &mut status.workers {
            let endpoint = endpoints.iter().find(|endpoint| worker.endpoint == Some(endpoint.id()));
            worker.in_flight = endpoint.map_or(0, |endpoint| endpoint.in_flight());
            worker.tunnels = endpoint.map_or(0, |endpoint| endpoint.tunnels());
        }
        status
    }

    /// The workers at this moment and at every change; that in `in_flight` is none.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.reconciling.abort();
    }
}

async fn ask<T>(commands: &mpsc::Sender<Message>, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, RollError> {
    let (reply, answer) = oneshot::channel();
    // Either fails only when the loop has ended.
    let _ = commands.send(Message::Command(command(reply))).await;
    answer.await.unwrap_or(Err(RollError::Stopping))
}

/// News of workers and commands that wait for the loop; beyond, whoever brings more waits.
const MESSAGES_MAX: usize = 256;
