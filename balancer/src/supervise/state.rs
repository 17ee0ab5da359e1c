//! Where a worker can be in its life, and the ways to end it: words for everybody. Decides nothing.

use tokio::time::Instant;

/// Where a worker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Its process runs and has not shown that it can serve.
    Starting,
    /// It may take requests.
    Ready,
    /// It takes no new request and finishes those it has.
    Draining,
    /// It was told to end.
    Stopping,
    /// It has no process and waits to be started again.
    Backoff,
    /// It has no process and is not wanted.
    Exited,
}

/// How a pool's workers are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Requests in flight may finish until then; only then comes the polite signal, and KILL after `stop_timeout`.
    Drain {
        /// When waiting for requests ends.
        until: Instant,
    },
    /// The polite signal at once, and KILL a second later.
    Now,
}

impl State {
    /// Its name in logs and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Backoff => "backoff",
            Self::Exited => "exited",
        }
    }
}
