//! What is to be seen of a pool's workers at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::state::State;
use crate::config::Address;
use crate::endpoint::EndpointId;
use crate::shown::age;

/// One pool's workers at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Name of the pool.
    pub pool: Arc<str>,
    /// How many are wanted.
    pub count: usize,
    /// A sentence, where a roll that was given up has left new workers beside old ones.
    pub mixed: Option<Arc<str>>,
    /// The last roll, where it has failed and none has succeeded since.
    pub failed_roll: Option<FailedRoll>,
    /// Its workers, by index; one that is being replaced stands before its replacement.
    pub workers: Vec<WorkerStatus>,
}

/// A roll that has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRoll {
    /// When.
    pub at: Instant,
    /// How: `0 of 3 replaced: app.1 died after 2.2 s (exit code 3): no database`.
    pub how: Arc<str>,
}

/// One worker at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStatus {
    /// Its name, `app.2`.
    pub name: Arc<str>,
    /// Its index, from 1; a worker and its replacement have the same.
    pub index: usize,
    /// Where it is in its life.
    pub state: State,
    /// Since when it is there.
    pub since: Instant,
    /// Since when its process runs, while it has one.
    pub started: Option<Instant>,
    /// Its process, while it has one.
    pub pid: Option<i32>,
    /// Where it listens, or will, while it has a process.
    pub address: Option<Address>,
    /// Its endpoint, once it was ready.
    pub endpoint: Option<EndpointId>,
    /// Requests on it; filled in by [`super::Supervisor::status`], 0 in what is watched.
    pub in_flight: usize,
    /// Those of them that have become tunnels; filled in like these.
    pub tunnels: usize,
    /// Until when these may go on, once it drains.
    pub drained_by: Option<Instant>,
    /// Until when its other requests may go on, once it drains.
    pub requests_by: Option<Instant>,
    /// What its last question whether it is ready was answered, while it is not.
    pub not_ready: Option<Arc<str>>,
    /// When it is given up, unless it is ready by then.
    pub ready_by: Option<Instant>,
    /// When it is started again, while it waits for that.
    pub next_start: Option<Instant>,
    /// What its whole process group uses, sampled once a second.
    pub usage: Usage,
    /// Whether it is being replaced, or will be when its turn comes.
    pub stale: bool,
    /// Whether it is a replacement that has not taken over yet.
    pub on_trial: bool,
    /// Whether it has ended and is not started again, though it is still wanted: `restart` says so.
    pub finished: bool,
    /// How often a worker of this index was started again, failed starts included, replacements not.
    pub restarts: u64,
    /// How often one was started again or replaced, by why.
    pub restart_reasons: BTreeMap<RestartReason, u64>,
    /// A sentence: why it ended, or could not be started, the last time.
    pub reason: Option<Arc<str>>,
    /// The same in a few words, where it was started again or replaced for it.
    pub last_end: Option<LastEnd>,
    /// The last line it has printed, or the one before it at its place.
    pub last_line: Option<Arc<str>>,
}

/// How a worker ended, or could not be started, and was started again or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEnd {
    /// In a few words: `SIGKILL`, `exit code 3`.
    pub how: Arc<str>,
    /// When.
    pub at: Instant,
}

/// What a worker's process group uses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Resident memory of its processes, in bytes. Where there are several, what they share is counted once, as far as the system
    /// lets us see it (`smaps_rollup`).
    pub rss_bytes: u64,
    /// CPU time they have used, and those of their children that have ended, in seconds.
    pub cpu_seconds: f64,
    /// What those have used that were at its place before it.
    pub cpu_seconds_before: f64,
    /// Processors in use within the last seconds: 0.5 is half of one.
    pub cpu: f64,
}

/// Why a worker was started again or replaced: a closed set, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RestartReason {
    /// It ended with an exit code, or by a signal that was not ours.
    Died,
    /// The kernel killed it, for there was no memory.
    OutOfMemory,
    /// It could not be started.
    NotStarted,
    /// It was not ready in time, or ended before.
    NotReady,
    /// Its socket was removed, or somebody else has its port.
    SocketGone,
    /// A request on it was not answered in time.
    Hung,
    /// It had served `requests_max`.
    RequestsMax,
    /// It was as old as `age_max`.
    AgeMax,
    /// It used more than `memory_max`.
    MemoryMax,
    /// All were replaced.
    Rolled,
}

impl Status {
    /// Whether every worker that is wanted is ready, or has done its work: others may build on it.
    pub fn is_settled(&self) -> bool {
        let is_there = |index| {
            let fits = |worker: &&WorkerStatus| worker.state == State::Ready || worker.finished;
            self.workers.iter().filter(fits).any(|worker| worker.index == index)
        };
        (1..=self.count).all(is_there)
    }

    /// How many may take requests.
    pub fn ready(&self) -> usize {
        self.workers.iter().filter(|worker| worker.state == State::Ready).count()
    }
}

impl WorkerStatus {
    /// `app.1 is not ready after 8 s: GET /health was answered 503 (gives up in 52 s)`, where it takes longer than it should.
    pub fn late(&self, now: Instant) -> Option<String> {
        let waited = now.saturating_duration_since(self.started?);
        if self.state != State::Starting || waited < LATE {
            return None;
        }
        let why = self.not_ready.as_deref().map_or(String::new(), |why| format!(": {why}"));
        let left = |by: Instant| age(by.saturating_duration_since(now).as_secs_f64().ceil() as u64);
        let left = self.ready_by.map_or(String::new(), |by| format!(" (gives up in {})", left(by)));
        Some(format!("{} is not ready after {}{why}{left}", self.name, age(waited.as_secs())))
    }
}

impl RestartReason {
    /// Its name in answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Died => "died",
            Self::OutOfMemory => "out_of_memory",
            Self::NotStarted => "not_started",
            Self::NotReady => "not_ready",
            Self::SocketGone => "socket_gone",
            Self::Hung => "hung",
            Self::RequestsMax => "requests_max",
            Self::AgeMax => "age_max",
            Self::MemoryMax => "memory_max",
            Self::Rolled => "rolled",
        }
    }
}

// Sampled, never a NaN.
impl Eq for Usage {}

/// Most workers are ready by then.
const LATE: Duration = Duration::from_secs(3);
