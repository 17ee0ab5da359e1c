//! The life of one worker: a state machine that does nothing itself.
//!
//! Decides what follows from an event: the next state, and what the reconcile loop has to do. Called by `reconcile` alone.
//! Never starts, signals or waits for anything.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::backoff::RestartDelay;

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

/// What happened to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// It is wanted.
    Start,
    /// Its process could not be started.
    SpawnFailed,
    /// It showed that it can serve.
    BecameReady,
    /// It did not in time.
    ReadyTimedOut,
    /// Its Unix socket was removed while it ran.
    SocketGone,
    /// Its process ended.
    Exited,
    /// It waited long enough to be started again.
    BackoffOver,
    /// It is not wanted any more.
    Stop(Stop),
    /// Nothing is in flight on it any more, or the time for that is over.
    Drained,
    /// It was told to end and did not in time.
    StopTimedOut,
    /// A request on it was not answered in time, and it is not wanted any more.
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
    pub(super) fn new(on_trial: bool, stop_timeout: Duration, delay: RestartDelay, now: Instant) -> Self {
        let (state, since) = (State::Exited, now);
        let (killed, ready_since, not_before) = (false, None, None);
        Self { state, since, wanted: false, on_trial, killed, ready_since, stop_timeout, delay, not_before }
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
    pub(super) fn reconfigure(&mut self, stop_timeout: Duration, delay: RestartDelay) {
        (self.stop_timeout, self.delay) = (stop_timeout, delay);
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
            (State::Starting, Event::SpawnFailed) => self.again(now, rng).into_iter().collect(),
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
                self.wanted = false;
                vec![Action::Leave, self.terminate(self.stop_timeout, now)]
            }
            (State::Starting | State::Ready | State::Draining | State::Stopping, Event::Exited) => {
                let next = self.again(now, rng);
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
    fn again(&mut self, now: Instant, rng: &mut impl Rng) -> Option<Action> {
        self.wanted &= !self.on_trial;
        if self.wanted {
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

const STOP_NOW_GRACE: Duration = Duration::from_secs(1);
const KILL_GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::config;

    const GRACE: Duration = Duration::from_secs(10);
    const MS: Duration = Duration::from_millis(1);

    fn life(now: Instant) -> Life {
        let backoff = config::Backoff { min: Duration::from_millis(100), max: Duration::from_secs(30) };
        Life::new(false, GRACE, RestartDelay::new(&backoff), now)
    }

    /// What an action is, without the jittered time.
    fn kind(action: &Action) -> &'static str {
        match action {
            Action::Spawn => "spawn",
            Action::Join => "join",
            Action::Drain { .. } => "drain",
            Action::Leave => "leave",
            Action::Terminate { .. } => "terminate",
            Action::Kill { .. } => "kill",
            Action::Sweep => "sweep",
            Action::Restart { .. } => "restart",
        }
    }

    fn run(events: &[Event]) -> (State, Vec<&'static str>) {
        let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(7));
        let mut life = life(now);
        let mut last = Vec::new();
        for event in events {
            last = life.step(*event, now, &mut rng);
        }
        (life.state(), last.iter().map(kind).collect())
    }

    #[test]
    fn each_event_leads_to_the_next_state_and_its_actions() {
        use Event::*;
        let drain = Stop(super::Stop::Drain { until: Instant::now() });
        let now = Stop(super::Stop::Now);
        let table: &[(&[Event], State, &[&str])] = &[
            (&[Start], State::Starting, &["spawn"]),
            (&[Start, SpawnFailed], State::Backoff, &["restart"]),
            (&[Start, SpawnFailed, BackoffOver], State::Starting, &["spawn"]),
            (&[Start, BecameReady], State::Ready, &["join"]),
            (&[Start, Exited], State::Backoff, &["leave", "sweep", "restart"]),
            (&[Start, BecameReady, Exited], State::Backoff, &["leave", "sweep", "restart"]),
            (&[Start, ReadyTimedOut], State::Stopping, &["terminate"]),
            (&[Start, ReadyTimedOut, StopTimedOut], State::Stopping, &["kill"]),
            (&[Start, ReadyTimedOut, Exited], State::Backoff, &["leave", "sweep", "restart"]),
            (&[Start, ReadyTimedOut, StopTimedOut, StopTimedOut], State::Stopping, &["kill"]),
            (&[Start, drain, StopTimedOut], State::Stopping, &["kill"]),
            (&[Start, drain, StopTimedOut, StopTimedOut], State::Exited, &["leave", "sweep"]),
            (&[Start, ReadyTimedOut, drain], State::Stopping, &[]),
            (&[Start, ReadyTimedOut, drain, Exited], State::Exited, &["leave", "sweep"]),
            (&[Start, BecameReady, drain], State::Draining, &["drain"]),
            (&[Start, BecameReady, SocketGone], State::Draining, &["drain"]),
            (&[Start, BecameReady, SocketGone, Drained], State::Stopping, &["terminate"]),
            (&[Start, BecameReady, SocketGone, Drained, Exited], State::Backoff, &["leave", "sweep", "restart"]),
            (&[Start, BecameReady, drain, SocketGone], State::Draining, &[]),
            (&[Start, BecameReady, Hung], State::Stopping, &["leave", "terminate"]),
            (&[Start, BecameReady, Hung, StopTimedOut], State::Stopping, &["kill"]),
            (&[Start, BecameReady, Hung, Exited], State::Exited, &["leave", "sweep"]),
            (&[Start, Hung], State::Starting, &[]),
            (&[Start, BecameReady, Proven], State::Ready, &[]),
            (&[Start, BecameReady, drain, drain], State::Draining, &[]),
            (&[Start, BecameReady, drain, Exited], State::Exited, &["leave", "sweep"]),
            (&[Start, BecameReady, drain, Drained], State::Stopping, &["terminate"]),
            (&[Start, BecameReady, drain, now], State::Stopping, &["leave", "terminate"]),
            (&[Start, BecameReady, drain, Drained, now], State::Stopping, &["leave", "terminate"]),
            (&[Start, BecameReady, drain, Drained, Exited], State::Exited, &["leave", "sweep"]),
            (&[Start, BecameReady, now], State::Stopping, &["leave", "terminate"]),
            (&[Start, drain], State::Stopping, &["terminate"]),
            (&[Start, Exited, drain], State::Exited, &[]),
            (&[Start, Exited, now], State::Exited, &[]),
            // Late events of something that is over.
            (&[Start, ReadyTimedOut, BecameReady], State::Stopping, &[]),
            (&[Start, BecameReady, ReadyTimedOut], State::Ready, &[]),
            (&[Start, Exited, drain, BackoffOver], State::Exited, &[]),
            (&[Start, BecameReady, Drained], State::Ready, &[]),
            (&[Start, Exited, StopTimedOut], State::Backoff, &[]),
        ];
        for (events, state, actions) in table {
            assert_eq!(run(events), (*state, actions.to_vec()), "{events:?}");
        }
    }

    #[test]
    fn on_trial_there_is_one_try_until_it_is_adopted() {
        let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(7));
        for failure in [&[Event::SpawnFailed][..], &[Event::Exited], &[Event::BecameReady, Event::Exited]] {
            for adopted in [false, true] {
                let mut life = Life { on_trial: true, ..life(now) };
                life.step(Event::Start, now, &mut rng);
                if adopted {
                    life.adopt();
                }
                failure.iter().for_each(|event| drop(life.step(*event, now, &mut rng)));
                assert_eq!(life.state(), if adopted { State::Backoff } else { State::Exited }, "{failure:?}");
                assert_eq!(life.is_leaving(), !adopted);
            }
        }
    }

    #[test]
    fn whoever_comes_after_a_hang_waits_longer_each_time_and_not_at_all_after_a_long_life() {
        let (mut now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(7));
        let mut pause = None;
        for (served, waits_ms) in [(1, 0), (1, 100), (1, 200), (3_000, 0), (1, 100)] {
            let mut life = life(now);
            if let Some(pause) = pause.take() {
                life = life.after(pause);
            }
            let first = life.step(Event::Start, now, &mut rng);
            if let [Action::Restart { after }] = first[..] {
                assert_eq!(life.state(), State::Backoff);
                now += after;
                assert_eq!(life.step(Event::BackoffOver, now, &mut rng), [Action::Spawn]);
            }
            life.step(Event::BecameReady, now, &mut rng);
            now += Duration::from_millis(served);
            let next = life.pause(now, &mut rng);
            let waits = next.until.saturating_duration_since(now);
            assert!(waits <= waits_ms * MS && waits >= waits_ms * MS * 3 / 4, "{waits:?} for {waits_ms}");
            pause = Some(next);
        }
    }

    #[test]
    fn a_stop_now_waits_a_second_at_most() {
        let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(7));
        let mut life = life(now);
        life.step(Event::Start, now, &mut rng);
        let actions = life.step(Event::Stop(Stop::Now), now, &mut rng);
        assert_eq!(actions, [Action::Leave, Action::Terminate { grace: Duration::from_secs(1) }]);
    }

    #[test]
    fn whatever_happens_there_is_one_process_at_most_and_only_ready_workers_are_members() {
        let mut rng = SmallRng::seed_from_u64(42);
        let mut now = Instant::now();
        for _ in 0..500 {
            let (mut life, mut alive, mut member, mut stopped) = (life(now), false, false, false);
            for _ in 0..60 {
                now += Duration::from_millis(rng.random_range(0..20_000));
                let event = match rng.random_range(0..20) {
                    0..4 if alive => Event::Exited,
                    4..8 if alive => Event::BecameReady,
                    8 => Event::ReadyTimedOut,
                    9 => Event::Drained,
                    10 => Event::StopTimedOut,
                    11 => Event::Stop(Stop::Now),
                    12 => Event::Stop(Stop::Drain { until: now }),
                    13..18 => Event::BackoffOver,
                    18 if life.state() == State::Starting => Event::SpawnFailed,
                    _ if !stopped => Event::Start,
                    _ => continue,
                };
                alive &= !matches!(event, Event::Exited | Event::SpawnFailed);
                stopped |= matches!(event, Event::Stop(_));
                for action in life.step(event, now, &mut rng) {
                    match action {
                        Action::Spawn => assert!(!std::mem::replace(&mut alive, true) && !stopped),
                        Action::Join => assert!(!std::mem::replace(&mut member, true)),
                        Action::Leave => member = false,
                        _ => {}
                    }
                }
                // A process that KILL does not end is given up.
                alive &= !(event == Event::StopTimedOut && life.state() == State::Exited);
                let process = !matches!(life.state(), State::Backoff | State::Exited);
                assert_eq!(alive, process, "{event:?} {life:?}");
                assert!(!member || process, "{event:?} {life:?}");
                assert!(life.state() != State::Ready || member);
            }
        }
    }
}
