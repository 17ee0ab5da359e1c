//! What happens to workers, for whoever keeps or shows it. Decides nothing; made by `reconcile` and given to the sink that
//! `app` chose.

use std::fmt;
use std::sync::Arc;

/// Takes what happens, in order. Must not block: it is called on the control thread.
pub type EventSink = Arc<dyn Fn(&WorkerEvent) + Send + Sync>;

/// One thing that happened to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerEvent {
    /// Name of the pool.
    pub pool: Arc<str>,
    /// `app.2`; of something that is about all workers, the name of the pool.
    pub worker: Arc<str>,
    /// Its process, where it has one.
    pub pid: Option<i32>,
    /// What it was.
    pub kind: EventKind,
    /// The same in a sentence; that of an end has further lines where the worker printed some.
    pub text: String,
}

/// Kinds of events: a closed set, for filters and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// Its pool's workers are started after those of others.
    Waits,
    /// Its process was started.
    Started,
    /// It could not be started.
    NotStarted,
    /// It takes requests.
    Ready,
    /// It says for some seconds that it is not ready.
    NotReady,
    /// It takes no new request.
    Draining,
    /// It ended though nobody told it to.
    Died,
    /// It ended because it was told to.
    Stopped,
    /// A replacement has taken over from it.
    Replaced,
    /// A roll has replaced all workers.
    Rolled,
    /// A roll goes on though a replacement has died.
    RollGoesOn,
    /// A roll was given up.
    RollFailed,
    /// The number of workers was changed.
    Scaled,
    /// It is to be replaced because of a limit.
    Recycled,
    /// A request on it was not answered in time.
    Hung,
    /// A path that workers died of is refused for a while.
    QueryOfDeath,
}

impl EventKind {
    /// Its name in answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::Started => "started",
            Self::NotStarted => "not_started",
            Self::Ready => "ready",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
            Self::Died => "died",
            Self::Stopped => "stopped",
            Self::Replaced => "replaced",
            Self::Rolled => "rolled",
            Self::RollGoesOn => "roll_goes_on",
            Self::RollFailed => "roll_failed",
            Self::Scaled => "scaled",
            Self::Recycled => "recycled",
            Self::Hung => "hung",
            Self::QueryOfDeath => "query_of_death",
        }
    }
}

impl fmt::Display for WorkerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
