//! How an endpoint or a worker stands, and how bad that is: closed sets, and the words for them. Decides nothing.

/// How it stands: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowState {
    /// It takes requests.
    Up,
    /// It runs; it is no endpoint.
    Running,
    /// It takes requests, and fails them.
    Failing,
    /// One request decides whether it comes back.
    Probation,
    /// Its failed requests keep others away.
    Ejected,
    /// Its probes say so.
    Down,
    /// An operator has taken it out.
    Drained,
    /// It takes no new request, for ever.
    Draining,
    /// It is not ready yet.
    Starting,
    /// It was told to end.
    Stopping,
    /// It waits to be started again.
    Backoff,
    /// It has done its work.
    Finished,
    /// It has ended and is not started again.
    Exited,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Ok,
    Warn,
    Bad,
}

impl RowState {
    /// As a program reads it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Running => "running",
            Self::Failing => "failing",
            Self::Probation => "probation",
            Self::Ejected => "ejected",
            Self::Down => "down",
            Self::Drained => "drained",
            Self::Draining => "draining",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Backoff => "backoff",
            Self::Finished => "finished",
            Self::Exited => "exited",
        }
    }

    /// As people read it.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Probation => "on probation",
            Self::Backoff => "back-off",
            Self::Exited => "ended, not started again",
            other => other.as_str(),
        }
    }

    /// How bad it is.
    pub(super) fn level(self) -> Level {
        match self {
            Self::Up | Self::Running | Self::Finished => Level::Ok,
            Self::Probation | Self::Drained | Self::Draining | Self::Starting | Self::Stopping => Level::Warn,
            Self::Failing | Self::Ejected | Self::Down | Self::Backoff | Self::Exited => Level::Bad,
        }
    }
}

impl Level {
    /// As a program reads it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}
