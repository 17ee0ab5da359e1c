//! What is to be seen of a worker: by the plan, by whoever takes its place, and by people. Decides nothing; asked by the loop. Never
//! changes what a worker does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::handle::WorkerHandle;
use super::minding::ready_within;
use super::plan::Seen;
use crate::endpoint::{EndpointId, Noted};
use crate::supervise::run::Process;
use crate::supervise::state::State;
use crate::supervise::status::{LastEnd, RestartReason, Usage, WorkerStatus};

/// What is counted for a place, whoever its worker is.
#[derive(Debug, Default)]
pub(super) struct PlaceHistory {
    restarts: u64,
    reasons: BTreeMap<RestartReason, u64>,
    last: Option<Arc<str>>,
    last_end: Option<LastEnd>,
    line: Option<Arc<str>>,
    cpu_seconds: f64,
}

impl PlaceHistory {
    /// That of two workers that were at one place.
    pub(super) fn with(mut self, other: Self) -> Self {
        self.restarts = self.restarts.max(other.restarts);
        for (reason, count) in other.reasons {
            let own = self.reasons.entry(reason).or_default();
            *own = count.max(*own);
        }
        self.cpu_seconds += other.cpu_seconds;
        self
    }
}

impl WorkerHandle {
    /// Its process, while it has one.
    pub(super) fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Process::pid)
    }

    /// `app.2 (pid 123)`.
    pub(super) fn title(&self) -> String {
        match self.pid() {
            Some(pid) => format!("{} (pid {pid})", self.name),
            None => self.name.to_string(),
        }
    }

    /// Whether it has ended and is not started again, though it is wanted.
    pub(super) fn has_finished(&self) -> bool {
        self.life.state() == State::Exited && !self.life.is_leaving() && self.run > 0
    }

    /// How long ago its process was started.
    pub(super) fn started_ago(&self) -> Duration {
        self.process.as_ref().map_or(Duration::ZERO, |process| process.started().elapsed())
    }

    /// How long ago it was looked at what it uses.
    pub(super) fn looked_at(&self) -> Duration {
        self.meter.age(Instant::now().into_std())
    }

    /// Whether it has ended for good.
    pub(super) fn is_over(&self) -> bool {
        self.life.state() == State::Exited && self.life.is_leaving()
    }

    /// What the plan has to know of it.
    pub(super) fn seen(&self) -> Seen {
        Seen {
            id: self.id,
            index: self.index,
            state: self.life.state(),
            leaving: self.life.is_leaving(),
            stale: self.stale.is_some(),
            on_trial: self.life.on_trial(),
            proven: self.proven,
        }
    }

    /// What its place has seen.
    pub(super) fn past(&self) -> PlaceHistory {
        PlaceHistory {
            restarts: self.restarts,
            reasons: self.restart_reasons.clone(),
            last: self.reason.clone(),
            last_end: self.last_end.clone(),
            line: self.last_line(),
            cpu_seconds: self.cpu_seconds_before + self.usage.cpu_seconds,
        }
    }

    /// It is a worker of a place from now on that has seen this.
    pub(super) fn follow(&mut self, past: PlaceHistory) {
        (self.restarts, self.restart_reasons, self.reason) = (past.restarts, past.reasons, past.last);
        (self.last_end, self.line_before, self.cpu_seconds_before) = (past.last_end, past.line, past.cpu_seconds);
    }

    /// The same while the one before it is there still, and counts its own time.
    pub(super) fn follow_beside(&mut self, past: PlaceHistory) {
        self.follow(PlaceHistory { cpu_seconds: 0.0, ..past });
    }

    /// Another one of its place is over: no counter of the place falls.
    pub(super) fn inherit(&mut self, past: PlaceHistory) {
        let both = self.past().with(past);
        (self.restarts, self.restart_reasons) = (both.restarts, both.reasons);
        self.cpu_seconds_before = both.cpu_seconds - self.usage.cpu_seconds;
    }

    /// The requests on it that can be named, oldest first.
    pub(super) fn requests(&self) -> Vec<Noted> {
        self.endpoint.as_ref().map_or(Vec::new(), |endpoint| endpoint.requests())
    }

    /// Its endpoint, once it was ready.
    pub(super) fn endpoint_id(&self) -> Option<EndpointId> {
        self.endpoint.as_ref().map(|endpoint| endpoint.id())
    }

    /// Whether an operator has taken it out of the pool.
    pub(super) fn is_held(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| endpoint.is_held())
    }

    /// Those of the requests on it that have become tunnels.
    pub(super) fn tunnels(&self) -> usize {
        self.endpoint.as_ref().map_or(0, |endpoint| endpoint.tunnels())
    }

    /// Requests on it.
    pub(super) fn in_flight(&self) -> usize {
        self.endpoint.as_ref().map_or(0, |endpoint| endpoint.in_flight())
    }

    /// Counts that it is started again, or replaced, and why in a few words.
    pub(super) fn count_restart(&mut self, reason: RestartReason, how: &str) {
        *self.restart_reasons.entry(reason).or_default() += 1;
        self.last_end = Some(LastEnd { how: how.into(), at: Instant::now().into_std() });
    }

    /// Whether it was told to end, and its first process did, a wrapper perhaps, but others of it go on.
    pub(super) fn is_outlived(&self) -> bool {
        let process = self.process.as_ref().filter(|_| self.life.state() == State::Stopping);
        process.is_some_and(|process| process.kin().is_alive())
    }

    /// What is to be seen of it.
    pub(super) fn status(&self) -> WorkerStatus {
        let usage = Usage { cpu_seconds_before: self.cpu_seconds_before, ..self.usage };
        let (is_there, is_starting) = (self.process.is_some(), self.life.state() == State::Starting);
        let ready_by = self.process.as_ref().map(|process| process.started() + ready_within(&self.settings));
        WorkerStatus {
            name: Arc::clone(&self.name),
            index: self.index,
            state: self.life.state(),
            since: self.life.since().into_std(),
            started: self.process.as_ref().map(|process| process.started().into_std()),
            pid: self.process.as_ref().map(Process::pid),
            address: self.process.as_ref().map(Process::address),
            endpoint: self.endpoint_id(),
            in_flight: 0,
            tunnels: 0,
            drained_by: self.drained_by.map(|(_, tunnels)| tunnels.into_std()),
            requests_by: self.drained_by.map(|(requests, _)| requests.into_std()),
            not_ready: self.last_answer.now().filter(|_| is_starting).map(Arc::from),
            ready_by: ready_by.filter(|_| is_starting).map(Instant::into_std),
            next_start: self.next_start.map(Instant::into_std),
            usage: if is_there { usage } else { Usage { rss_bytes: 0, cpu: 0.0, ..usage } },
            stale: self.stale.is_some(),
            on_trial: self.life.on_trial(),
            finished: self.has_finished(),
            restarts: self.restarts,
            restart_reasons: self.restart_reasons.clone(),
            reason: self.reason.clone(),
            last_end: self.last_end.clone(),
            last_line: self.last_line(),
        }
    }
}
