//! What a supervisor can be told, and what it answers. Decides nothing; made by `Supervisor`, carried out by `reconcile`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::Workers;

/// What a roll has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollReport {
    /// The workers that were replaced, `app.2`, in the order in which that was finished.
    pub replaced: Vec<Arc<str>>,
    /// How long all of it took.
    pub took: Duration,
}

/// What scaling has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleReport {
    /// Workers before.
    pub from: usize,
    /// Workers now.
    pub to: usize,
    /// How long it took until the new ones were ready and those too many had ended.
    pub took: Duration,
}

/// What new settings have changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reconfigured {
    /// The roll, if a changed setting asked for one.
    pub rolled: Option<RollReport>,
    /// The change of the number, if there was one.
    pub scaled: Option<ScaleReport>,
    /// Changed keys for which workers were replaced.
    pub replaced_for: Vec<&'static str>,
    /// Changed keys that hold from now on, or from a worker's next start, and for which none was replaced.
    pub applied: Vec<&'static str>,
}

/// Why workers were not replaced, or are not as many as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollError {
    /// A further worker failed, and is tried again and again; or there is no place for workers' sockets.
    Worker {
        /// A sentence: which one, and how it ended or why it could not be started.
        reason: String,
        /// What it printed last, oldest first.
        last_lines: Vec<String>,
    },
    /// A new worker failed, and so did the roll. All whose turn had not come serve on.
    Roll {
        /// `app.2`.
        worker: Arc<str>,
        /// `died after 2.2 s (exit code 3)`.
        how: String,
        /// What it printed last, oldest first.
        last_lines: Vec<String>,
        /// Whether the one that it was to replace serves on; if not, there is none and another is started.
        old_stays: bool,
        /// Workers that had been replaced by then; they stay.
        replaced: Vec<Arc<str>>,
        /// How many were to be replaced.
        of: usize,
    },
    /// Another command has changed what is wanted.
    Superseded,
    /// All workers are being stopped.
    Stopping,
    /// The same, and a roll was under way.
    Cut {
        /// Workers that had been replaced by then.
        replaced: usize,
        /// How many were to be replaced.
        of: usize,
    },
}

/// Why new settings do not hold for all workers, and what was done by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconfigureError {
    /// What had been done; it stays.
    pub done: Reconfigured,
    /// So many are wanted and not all are there, which is all that went wrong; the attempts go on.
    pub wanted: Option<usize>,
    /// What went wrong.
    pub error: RollError,
}

/// A command on its way to the loop.
#[derive(Debug)]
pub(super) enum Command {
    /// Replace all workers, or the one of that index.
    Roll(Option<usize>, Reply<RollReport>),
    /// Have so many, at least 1.
    Scale(usize, Reply<ScaleReport>),
    /// Have these settings, all but the count.
    Reconfigure(Box<Workers>, Reply<Reconfigured>),
}

/// Where the answer goes; whoever asked may be gone.
pub(super) type Reply<T> = oneshot::Sender<Result<T, RollError>>;

/// Keys in which two settings differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Those of the process itself: workers have to be replaced for them.
    pub replace: Vec<&'static str>,
    /// Those for which nobody is replaced.
    pub apply: Vec<&'static str>,
    /// The numbers of workers before and after, if they differ.
    pub count: Option<(usize, usize)>,
}

impl Changes {
    /// What is different in `new`; for telling beforehand what [`super::Supervisor::reconfigure`] will do.
    pub fn between(old: &Workers, new: &Workers) -> Self {
        let differing = |keys: &[(&'static str, bool)]| {
            keys.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect::<Vec<_>>()
        };
        let replace = differing(&[
            ("command", old.command != new.command),
            ("first_port", old.first_port != new.first_port),
            ("socket", old.socket != new.socket),
            ("mode", old.sharing != new.sharing),
            ("directory", old.directory != new.directory),
            ("env", old.env != new.env),
            ("env_file", old.env_file != new.env_file),
            ("env_clear", old.env_clear != new.env_clear),
            ("user", old.identity.user != new.identity.user),
            ("group", old.identity.group != new.identity.group),
        ]);
        let apply = differing(&[
            ("ready", old.ready != new.ready),
            ("listener", old.listener != new.listener),
            ("ready_timeout", old.ready_timeout != new.ready_timeout),
            ("stop_signal", old.stop_signal != new.stop_signal),
            ("stop_timeout", old.stop_timeout != new.stop_timeout),
            ("backoff", old.backoff != new.backoff),
            ("warm_up", old.warm_up != new.warm_up),
            ("requests_max", old.recycle.requests_max != new.recycle.requests_max),
            ("age_max", old.recycle.age_max != new.recycle.age_max),
            ("memory_max", old.recycle.memory_max != new.recycle.memory_max),
            ("hang_timeout", old.recycle.hang_timeout != new.recycle.hang_timeout),
            ("query_of_death", old.query_of_death != new.query_of_death),
            ("roll_parallel", old.roll_parallel != new.roll_parallel),
            ("roll", old.roll != new.roll),
            ("after", old.after != new.after),
            ("after_timeout", old.after_timeout != new.after_timeout),
            ("restart", old.restart != new.restart),
            ("output", old.output != new.output),
        ]);
        Self { replace, apply, count: (old.count != new.count).then_some((old.count, new.count)) }
    }

    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for RollError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker { reason, last_lines } => {
                f.write_str(reason)?;
                show(last_lines, f)
            }
            Self::Roll { worker, how, last_lines, old_stays, replaced, of } => {
                let what_is_left = if *old_stays { "the old one stays" } else { "no old one is left" };
                write!(f, "{worker}: the new one {how}; {what_is_left}, {} of {of} replaced", replaced.len())?;
                show(last_lines, f)
            }
            Self::Superseded => f.write_str("another command has changed what is wanted"),
            Self::Stopping => f.write_str("all workers are being stopped"),
            Self::Cut { replaced, of } => write!(f, "stopped in the middle of the roll: {replaced} of {of} replaced"),
        }
    }
}

fn show(last_lines: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !last_lines.is_empty() {
        f.write_str("; its last lines:")?;
    }
    last_lines.iter().try_for_each(|line| write!(f, "\n    {line}"))
}

impl std::error::Error for RollError {}

impl From<RollError> for ReconfigureError {
    fn from(error: RollError) -> Self {
        Self { done: Reconfigured::default(), wanted: None, error }
    }
}

/// What comes behind "the workers": how they are, and why.
impl fmt::Display for ReconfigureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = &self.done;
        f.write_str(match done.rolled.is_some() || !done.applied.is_empty() {
            true => "have their new settings",
            false => "are as they were",
        })?;
        match (&self.error, &done.scaled, self.wanted) {
            (_, _, Some(wanted)) => write!(f, ", but not all {wanted} are there yet")?,
            (_, Some(scaled), _) => write!(f, ", but {} now", scaled.to)?,
            (RollError::Roll { replaced, .. }, ..) if !replaced.is_empty() => {
                f.write_str(", but for those that were replaced already")?;
            }
            _ => {}
        }
        write!(f, ": {}", self.error)
    }
}

impl std::error::Error for ReconfigureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_how_the_workers_are() {
        let failed = |replaced: &[&str]| RollError::Roll {
            worker: "app.3".into(),
            how: "died after 2.2 s (exit code 3)".into(),
            last_lines: Vec::new(),
            old_stays: true,
            replaced: replaced.iter().map(|name| (*name).into()).collect(),
            of: 3,
        };
        let further = RollError::Worker { reason: "app.3 died".into(), last_lines: Vec::new() };
        let scaled = Some(ScaleReport { from: 3, to: 2, took: Duration::ZERO });
        let rolled = Some(RollReport { replaced: Vec::new(), took: Duration::ZERO });
        let nothing = Reconfigured::default;
        for (done, wanted, error, text) in [
            (
                nothing(),
                None,
                failed(&[]),
                "are as they were: app.3: the new one died after 2.2 s (exit code 3); the old one stays, 0 of 3 replaced",
            ),
            (Reconfigured { scaled, ..nothing() }, None, further.clone(), "are as they were, but 2 now: app.3 died"),
            (
                nothing(),
                None,
                failed(&["app.1"]),
                "are as they were, but for those that were replaced already: app.3: the new one died after 2.2 s (exit code 3); the \
                 old one stays, 1 of 3 replaced",
            ),
            (
                Reconfigured { rolled, ..nothing() },
                Some(3),
                further.clone(),
                "have their new settings, but not all 3 are there yet: app.3 died",
            ),
            (nothing(), Some(3), further, "are as they were, but not all 3 are there yet: app.3 died"),
        ] {
            assert_eq!(ReconfigureError { done, wanted, error }.to_string(), text);
        }
    }
}
