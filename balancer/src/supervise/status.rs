//! What is to be seen of a pool's workers at one moment.

use std::sync::Arc;
use std::time::Instant;

use super::life::State;
use crate::config::Address;

/// One pool's workers at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Name of the pool.
    pub pool: Arc<str>,
    /// Its workers, by index.
    pub workers: Vec<WorkerStatus>,
}

/// One worker at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStatus {
    /// Its index, from 1.
    pub index: usize,
    /// Where it is in its life.
    pub state: State,
    /// Since when it is there.
    pub since: Instant,
    /// Its process, while it has one.
    pub pid: Option<i32>,
    /// Where it listens, or will, while it has a process.
    pub address: Option<Address>,
    /// How often it was started again, failed starts included.
    pub restarts: u64,
    /// A sentence: why it ended, or could not be started, the last time.
    pub reason: Option<Arc<str>>,
}

impl Status {
    /// How many may take requests.
    pub fn ready(&self) -> usize {
        self.workers.iter().filter(|worker| worker.state == State::Ready).count()
    }
}
