//! What the loop was told to do and has not finished: a roll, those that wait for it, and a change of the number.
//!
//! Decides when a command is done or has failed, and answers it. Called by `reconcile` after everything that happened. Never
//! starts or ends a worker: it marks them, and the plan does the rest.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::Workers;
use crate::shown;
use crate::supervise::command::{Changes, Command, Reconfigured, Reply, RollError, RollReport, ScaleReport};
use crate::supervise::output::lines::Latest;
use crate::supervise::status::FailedRoll;

/// All that is under way.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// The roll, if there is one.
    pub(super) roll: Option<RollJob>,
    /// The change of the number, if there is one.
    pub(super) scaling: Option<Scaling>,
    /// Rolls, and new settings, that wait for the roll's end.
    pub(super) waiting: VecDeque<Command>,
}

/// Replaces all workers.
#[derive(Debug)]
pub(super) struct RollJob {
    /// Numbers of the workers to be replaced.
    pub(super) old: Vec<u64>,
    /// Names of those that were.
    pub(super) replaced: Vec<Arc<str>>,
    /// The settings to go back to if it fails, and the generation of workers that had them.
    pub(super) before: Option<(Arc<Workers>, u64)>,
    /// Places whose new worker has died once.
    pub(super) once_more: BTreeSet<usize>,
    /// New workers that have died soon after they had taken over.
    pub(super) died_later: usize,
    of: usize,
    began: Instant,
    answer: RollReply,
}

/// Changes the number of workers.
#[derive(Debug)]
pub(super) struct Scaling {
    /// Numbers of the workers that were started for it.
    pub(super) started: Vec<u64>,
    /// Those of higher indices are started for it: less than `from` where another change was under way.
    pub(super) kept: usize,
    from: usize,
    to: usize,
    began: Instant,
    reply: Reply<ScaleReport>,
}

/// Who wants to know how a roll ended.
#[derive(Debug)]
pub(super) enum RollReply {
    /// Of a command to roll.
    Roll(Reply<RollReport>),
    /// Of new settings that asked for one.
    Reconfigure(Reply<Reconfigured>, Changes),
}

/// How a worker has failed.
#[derive(Debug, Clone)]
pub(super) struct WorkerFailure {
    /// `app.2`.
    pub(super) worker: Arc<str>,
    /// All of it in a sentence.
    pub(super) reason: String,
    /// What comes behind "the new one".
    pub(super) how: String,
    /// Whether the one that it was to replace serves on.
    pub(super) old_stays: bool,
}

/// A roll that has failed, of so many workers.
#[derive(Debug)]
pub(super) struct FailureKept {
    of: usize,
    at: Instant,
    how: String,
    /// What the new one printed last; it may be read only later.
    latest: Latest,
}

/// Answers that wait for the last lines of the worker that made the commands fail.
#[derive(Debug, Default)]
pub(super) struct Failures {
    roll: Option<(RollReply, Vec<Arc<str>>, usize)>,
    scaling: Option<Reply<ScaleReport>>,
}

impl RollJob {
    /// Of these workers.
    pub(super) fn new(old: Vec<u64>, before: Option<(Arc<Workers>, u64)>, of: usize, answer: RollReply) -> Self {
        Self {
            old,
            replaced: Vec::new(),
            before,
            once_more: BTreeSet::new(),
            died_later: 0,
            of,
            began: Instant::now(),
            answer,
        }
    }

    /// It is done; returns what to say.
    pub(super) fn finish(self) -> String {
        let report = RollReport { replaced: self.replaced, took: self.began.elapsed() };
        let text = format!("rolled {} workers in {}", report.replaced.len(), shown::time(report.took));
        self.answer.give(Ok(report));
        text
    }
}

impl FailureKept {
    /// Of a roll that has replaced so many when a worker failed it.
    pub(super) fn new((replaced, of): (usize, usize), failure: &WorkerFailure, latest: Latest) -> Self {
        let how = format!("{replaced} of {of} replaced: {} {}", failure.worker, failure.how);
        Self { of, at: Instant::now(), how, latest }
    }

    /// Whether a roll that has replaced so many has done what this one had to do.
    pub(super) fn is_made_up_by(&self, replaced: usize) -> bool {
        replaced >= self.of
    }

    /// As it is told.
    pub(super) fn shown(&self) -> FailedRoll {
        let line = self.latest.line().map_or(String::new(), |line| format!(": {}", cut(line.trim())));
        FailedRoll { at: self.at.into_std(), how: format!("{}{line}", self.how).into() }
    }
}

/// As much of a line as a sentence takes.
fn cut(line: &str) -> &str {
    line.char_indices().nth(LINE_CHARS_MAX).map_or(line, |(end, _)| &line[..end])
}

impl Scaling {
    /// Has just begun.
    pub(super) fn new(from: usize, to: usize, reply: Reply<ScaleReport>) -> Self {
        Self { started: Vec::new(), kept: from, from, to, began: Instant::now(), reply }
    }

    /// Takes `other`'s place, which was not done, and waits for those it has started too.
    pub(super) fn supersede(&mut self, other: Self) {
        self.kept = self.kept.min(other.kept);
        self.started = other.started;
        let _ = other.reply.send(Err(RollError::Superseded));
    }

    /// It is done.
    pub(super) fn finish(self) {
        let report = ScaleReport { from: self.from, to: self.to, took: self.began.elapsed() };
        // Nobody waits: the same to us.
        let _ = self.reply.send(Ok(report));
    }
}

impl Jobs {
    /// A worker on trial has failed: the roll is over. The answer is given later, see [`Failures::give`].
    pub(super) fn fail_roll(&mut self) -> Option<(RollJob, Failures)> {
        let mut roll = self.roll.take()?;
        let answer = std::mem::replace(&mut roll.answer, RollReply::nobody());
        let failures = Failures { roll: Some((answer, roll.replaced.clone(), roll.of)), scaling: None };
        Some((roll, failures))
    }

    /// Worker `id` has failed: so has the scaling that started it.
    pub(super) fn fail_scaling(&mut self, id: u64, failures: &mut Failures) {
        if self.scaling.as_ref().is_some_and(|scaling| scaling.started.contains(&id)) {
            failures.scaling = self.scaling.take().map(|scaling| scaling.reply);
        }
    }

    /// All workers are being stopped, or will be; returns what to say of a roll that ends by it.
    pub(super) fn stop(&mut self) -> Option<String> {
        let cut = self.roll.take().map(|roll| {
            let error = RollError::Cut { replaced: roll.replaced.len(), of: roll.of };
            let text = error.to_string();
            roll.answer.give(Err(error));
            text
        });
        if let Some(scaling) = self.scaling.take() {
            let _ = scaling.reply.send(Err(RollError::Stopping));
        }
        self.waiting.drain(..).for_each(Command::refuse);
        cut
    }
}

impl Failures {
    /// Of how many a roll that has failed has replaced how many.
    pub(super) fn rolled(&self) -> Option<(usize, usize)> {
        self.roll.as_ref().map(|(_, replaced, of)| (replaced.len(), *of))
    }

    /// Answers with what is known by now.
    pub(super) fn give(self, failure: WorkerFailure, last_lines: &[String]) {
        let WorkerFailure { worker, reason, how, old_stays } = failure;
        let last_lines = last_lines.to_vec();
        if let Some(reply) = self.scaling {
            let _ = reply.send(Err(RollError::Worker { reason, last_lines: last_lines.clone() }));
        }
        if let Some((answer, replaced, of)) = self.roll {
            answer.give(Err(RollError::Roll { worker, how, last_lines, old_stays, replaced, of }));
        }
    }
}

impl RollReply {
    fn give(self, outcome: Result<RollReport, RollError>) {
        match self {
            // Sending fails when nobody waits any more.
            Self::Roll(reply) => drop(reply.send(outcome)),
            Self::Reconfigure(reply, changes) => drop(reply.send(outcome.map(|report| Reconfigured {
                rolled: Some(report),
                scaled: None,
                replaced_for: changes.replace,
                applied: changes.apply,
            }))),
        }
    }

    fn nobody() -> Self {
        Self::Roll(tokio::sync::oneshot::channel().0)
    }
}

impl Command {
    /// Answers that all workers are being stopped.
    pub(super) fn refuse(self) {
        match self {
            Self::Roll(_, reply) => drop(reply.send(Err(RollError::Stopping))),
            Self::Scale(_, reply) => drop(reply.send(Err(RollError::Stopping))),
            Self::Reconfigure(_, reply) => drop(reply.send(Err(RollError::Stopping))),
        }
    }
}

const LINE_CHARS_MAX: usize = 120;
