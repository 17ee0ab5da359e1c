//! Supervision: starts the workers of a pool, keeps them alive and stops them.
//!
//! Decides when a worker's process is started, when its endpoint is a member of the pool, and when it ends. Called by `app`,
//! on the control thread. Never looks at a request: the pool and its endpoints are all it shares with the data plane.

mod backoff;
mod clash;
mod environment;
mod guard;
mod handle;
mod life;
mod obituary;
mod output;
mod port;
mod private;
mod program;
mod ready;
mod reap;
mod reconcile;
mod reservation;
mod shim;
mod socket;
mod spawn;
mod status;
mod unready;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::config::Workers;
use crate::pool::Pool;
pub use clash::who_listens;
pub use guard::Guard;
pub use life::{State, Stop};
pub use output::{OutputSink, Stream};
pub use port::Ports;
pub use program::{ProgramError, find_program};
pub use reap::Reaper;
pub use shim::{SHIM_COMMAND, exec_shim};
pub use socket::{SocketError, Sockets};
pub use status::{Status, WorkerStatus};

use reconcile::{Message, Reconciler};
use spawn::Blueprint;

/// The workers of one pool. Dropping it kills them; [`Self::stop`] is the polite way.
#[derive(Debug)]
pub struct Supervisor {
    commands: mpsc::Sender<Message>,
    status: watch::Receiver<Status>,
    reconciling: AbortHandle,
}

impl Supervisor {
    /// Starts the workers of `pool`; returns at once.
    ///
    /// Must be called on the thread that lives as long as the process, inside its current-thread runtime: workers are
    /// killed when the *thread* that started them ends (PR_SET_PDEATHSIG(2const)).
    ///
    /// `output` takes the lines of all workers, `ports` knows the ports of those of other pools, `sockets` is what
    /// [`Sockets::make`] made for all pools, `shim` is a program that
    /// hands its arguments to [`exec_shim`] when the first is [`SHIM_COMMAND`]: [`own_program`], except in tests.
    pub fn start(
        pool: Arc<Pool>,
        workers: Workers,
        output: OutputSink,
        (ports, sockets): (Ports, Option<Sockets>),
        shim: PathBuf,
    ) -> Self {
        let (commands, inbox) = mpsc::channel(MESSAGES_MAX);
        let (publish, status) = watch::channel(Status { pool: Arc::clone(pool.name()), workers: Vec::new() });
        let blueprint = Blueprint { pool: pool.name().to_string(), workers, shim, sink: output, ports, sockets };
        let reconciler = Reconciler::new(pool, blueprint, (commands.clone(), inbox), publish);
        let reconciling = tokio::spawn(reconciler.run()).abort_handle();
        Self { commands, status, reconciling }
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
        self.status.borrow().clone()
    }

    /// The workers at this moment and at every change.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.reconciling.abort();
    }
}

/// The program that runs now, also when its file has been replaced since.
pub fn own_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// News of workers and commands that wait for the loop; beyond, whoever brings more waits.
const MESSAGES_MAX: usize = 256;
