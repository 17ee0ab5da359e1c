//! The life of one worker: a state machine that does nothing itself.
//!
//! Decides what follows from an event: the next state, and what the reconcile loop has to do. Called by `reconcile` alone.
//! Never starts, signals or waits for anything.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::backoff::RestartDelay;
use crate::config::Restart;
use crate::supervise::state::{State, Stop};

/// What happened to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervise) enum Event {
    /// It is wanted.
    Start,
    /// Its process could not be started.
    SpawnFailed,
    /// It showed that it can serve.
    BecameReady,
    /// It did not in time.
    ReadyTimedOut,
    /// Its Unix socket was removed while it ran, or somebody else has its port.
    SocketGone,
    /// Its process ended.
    Exited,
    /// The same, with exit code 0.
    Finished,
    /// It waited long enough to be started again.
    BackoffOver,
    /// It is not wanted any more.
    Stop(Stop),
    /// Nothing is in flight on it any more, or the time for that is over.
    Drained,
    /// It was told to end and did not in time.
    StopTimedOut,
    /// A request on it was not answered in time; unless its kind is not started again, it is not wanted any more.
    Hung,
    /// It has been ready for long enough to be trusted; changes nothing here.
    Proven,
}

/// What to do about it, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Start its process; report [`Event::SpawnFailed`] or, later, what becomes of it.
    Spawn,
    /// Make its endpoint a member of the pool.
    Join,
    /// Let its endpoint take no new request; report [`Event::Drained`] when it has none or at that time.
    Drain {
        /// When waiting for requests ends.
        until: Instant,
    },
    /// Take its endpoint, if it has one, out of the pool.
    Leave,
    /// Send the polite signal to its process group; report [`Event::StopTimedOut`] after that time.
    Terminate {
        /// How long it may take to end.
        grace: Duration,
    },
    /// Send KILL to its process group; report [`Event::StopTimedOut`] after that time.
    Kill {
        /// How long the kernel may take.
        grace: Duration,
    },
    /// Its process is gone or given up: send KILL to whatever its process group still has.
    Sweep,
    /// Report [`Event::BackoffOver`] after that time.
    Restart {
        /// How long it waits.
        after: Duration,
    },
}

/// One worker's life.
#[derive(Debug)]
pub(super) struct Life {
    state: State,
    since: Instant,
    wanted: bool,
    on_trial: bool,
    killed: bool,
    ready_since: Option<Instant>,
    stop_timeout: Duration,
    delay: RestartDelay,
    restart: Restart,
    /// Its first start waits until then.
    not_before: Option<Instant>,
}

/// What whoever comes after a worker that hung has to wait, and how the delays after that go on.
#[derive(Debug)]
pub(super) struct Pause {
    until: Instant,
    delay: RestartDelay,
}

impl Life {
    /// A worker that has no process and is not wanted yet. On trial, it is not started again when it fails.
    pub(super) fn new(
        on_trial: bool,
        stop_timeout: Duration,
        (delay, restart): (RestartDelay, Restart),
        now: Instant,
    ) -> Self {
        let (state, since) = (State::Exited, now);
        let (killed, ready_since, not_before) = (false, None, None);
        Self { state, since, wanted: false, on_trial, killed, ready_since, stop_timeout, delay, restart, not_before }
    }

    /// The same, of one that comes after a worker that hung.
    pub(super) fn after(mut self, pause: Pause) -> Self {
        (self.delay, self.not_before) = (pause.delay, Some(pause.until));
        self
    }

    /// It has hung: what its successor has to wait, as if it had ended. What hangs as soon as it is ready is not started
    /// again and again without a pause.
    pub(super) fn pause(&mut self, now: Instant, rng: &mut impl Rng) -> Pause {
        let until = now + self.delay.after_exit(self.ready_for(now), rng);
        Pause { until, delay: self.delay.clone() }
    }

    /// The trial is over: it is kept alive like any other.
    pub(super) fn adopt(&mut self) {
        self.on_trial = false;
    }

    /// Other settings hold from now on.
    pub(super) fn reconfigure(&mut self, stop_timeout: Duration, delay: RestartDelay, restart: Restart) {
        (self.stop_timeout, self.delay, self.restart) = (stop_timeout, delay, restart);
    }

    /// What follows from `event`. An event that means nothing in this state (a late one) changes nothing.
    pub(super) fn step(&mut self, event: Event, now: Instant, rng: &mut impl Rng) -> Vec<Action> {
        match (self.state, event) {
            (State::Exited, Event::Start) => {
                self.wanted = true;
                if let Some(until) = self.not_before.take().filter(|until| *until > now) {
                    self.enter(State::Backoff, now);
                    return vec![Action::Restart { after: until.saturating_duration_since(now) }];
                }
                self.enter(State::Starting, now);
                vec![Action::Spawn]
            }
            (State::Backoff, Event::BackoffOver) => {
                self.enter(State::Starting, now);
                vec![Action::Spawn]
            }
            (State::Starting, Event::SpawnFailed) => self.again(event, now, rng).into_iter().collect(),
            (State::Starting, Event::BecameReady) => {
                self.enter(State::Ready, now);
                self.ready_since = Some(now);
                vec![Action::Join]
            }
            // Connections that are open still work.
            (State::Ready, Event::SocketGone) => {
                self.enter(State::Draining, now);
                vec![Action::Drain { until: now + self.stop_timeout }]
            }
            (State::Starting, Event::ReadyTimedOut) => vec![self.terminate(self.stop_timeout, now)],
            // Requests that it can still answer it may: the signal is a polite one.
            (State::Ready | State::Draining, Event::Hung) => {
                // Who is not started again is not succeeded either; its place stays as it is.
                self.wanted &= self.is_last();
                vec![Action::Leave, self.terminate(self.stop_timeout, now)]
            }
            (State::Starting | State::Ready | State::Draining | State::Stopping, Event::Exited | Event::Finished) => {
                let next = self.again(event, now, rng);
                [Action::Leave, Action::Sweep].into_iter().chain(next).collect()
            }
            (_, Event::Stop(stop)) => self.stop(stop, now),
            (State::Draining, Event::Drained) => vec![self.terminate(self.stop_timeout, now)],
            // Not even KILL ends a process that hangs inside the kernel. A stop does not wait for it for ever; a restart
            // does, because it may still hold the port.
            (State::Stopping, Event::StopTimedOut) if self.killed && !self.wanted => {
                self.enter(State::Exited, now);
                vec![Action::Leave, Action::Sweep]
            }
            (State::Stopping, Event::StopTimedOut) => {
                self.killed = true;
                vec![Action::Kill { grace: KILL_GRACE }]
            }
            _ => Vec::new(),
        }
    }

    /// Where it is.
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Since when it is there.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Whether it was told to end and is not started again.
    pub(super) fn is_leaving(&self) -> bool {
        !self.wanted
    }

    /// Whether it is a replacement that has not taken over.
    pub(super) fn on_trial(&self) -> bool {
        self.on_trial
    }

    /// Whether nobody comes after it, should it hang.
    pub(super) fn is_last(&self) -> bool {
        self.restart == Restart::Never && !self.on_trial
    }

    /// When this run of it became ready.
    pub(super) fn ready_since(&self) -> Option<Instant> {
        self.ready_since
    }

    fn stop(&mut self, stop: Stop, now: Instant) -> Vec<Action> {
        self.wanted = false;
        match (self.state, stop) {
            (State::Backoff, _) => {
                self.enter(State::Exited, now);
                Vec::new()
            }
            (State::Ready, Stop::Drain { until }) => {
                self.enter(State::Draining, now);
                vec![Action::Drain { until }]
            }
            (State::Starting, Stop::Drain { .. }) => vec![self.terminate(self.stop_timeout, now)],
            (State::Starting | State::Ready | State::Draining | State::Stopping, Stop::Now) => {
                vec![Action::Leave, self.terminate(STOP_NOW_GRACE.min(self.stop_timeout), now)]
            }
            (State::Exited | State::Draining | State::Stopping, _) => Vec::new(),
        }
    }

    fn terminate(&mut self, grace: Duration, now: Instant) -> Action {
        self.enter(State::Stopping, now);
        Action::Terminate { grace }
    }

    /// It has no process: what becomes of it.
    fn again(&mut self, event: Event, now: Instant, rng: &mut impl Rng) -> Option<Action> {
        // Who was told to end, for it was not ready, say, has not finished.
        let finished = event == Event::Finished && self.state != State::Stopping;
        let is_done = match self.restart {
            Restart::Always => false,
            Restart::OnFailure => finished,
            Restart::Never => true,
        };
        self.wanted &= !self.on_trial || is_done && finished;
        if self.wanted && !is_done {
            return Some(self.wait_for_restart(now, rng));
        }
        self.enter(State::Exited, now);
        None
    }

    fn wait_for_restart(&mut self, now: Instant, rng: &mut impl Rng) -> Action {
        let ready_for = self.ready_for(now);
        self.ready_since = None;
        self.enter(State::Backoff, now);
        Action::Restart { after: self.delay.after_exit(ready_for, rng) }
    }

    fn ready_for(&self, now: Instant) -> Option<Duration> {
        self.ready_since.map(|since| now.saturating_duration_since(since))
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
        if state == State::Starting {
            self.ready_since = None;
            self.killed = false;
        }
    }
}

impl Pause {
    /// When the next may be started.
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}

const STOP_NOW_GRACE: Duration = Duration::from_secs(1);
const KILL_GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
