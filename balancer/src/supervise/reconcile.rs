//! The loop that keeps a pool's workers as they are wanted.
//!
//! Receives everything that happens to the workers and every command through one channel, asks `life` and `plan` what
//! follows, and does it. Called by [`super::Supervisor`], one loop a pool. Never waits for anything but its channel: tasks do
//! that and report.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use rand::rngs::SmallRng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::backoff::RestartDelay;
use super::command::{Changes, Command, Reconfigured, Reply, RollError};
use super::event::{EventKind, WorkerEvent};
use super::handle::WorkerHandle;
use super::jobs::{Answer, Failures, Jobs, Roll, Scaling};
use super::life::{Action, Event, State, Stop};
use super::obituary::{Obituary, seconds};
use super::plan::{Step, Wanted, plan};
use super::socket::Sockets;
use super::spawn::{Blueprint, signal_of};
use super::status::{RestartReason, Status};
use super::unready::explain;
use crate::config::{self, Workers};
use crate::pool::Pool;

/// What the loop receives. `run` is the start that the news belongs to, so that late news of one run is not taken for news
/// of the next.
#[derive(Debug)]
pub(super) enum Message {
    /// Something happened to a worker.
    Worker { id: u64, run: u64, event: Event },
    /// A worker's process ended.
    Ended { id: u64, run: u64, status: Option<ExitStatus> },
    /// Something is to be changed.
    Command(Command),
    /// All workers have to end.
    Stop(Stop),
}

/// The loop and all it knows.
pub(super) struct Reconciler {
    pool: Arc<Pool>,
    blueprint: Blueprint,
    settings: watch::Sender<Arc<Workers>>,
    /// Wanted now; that in the settings is what was wanted at the start.
    count: usize,
    /// By index, then by number.
    workers: Vec<WorkerHandle>,
    next_id: u64,
    jobs: Jobs,
    stopping: bool,
    inbox: mpsc::Receiver<Message>,
    outbox: mpsc::Sender<Message>,
    status: watch::Sender<Status>,
    rng: SmallRng,
    /// Wait for the last output of workers that ended.
    obituaries: JoinSet<()>,
}

impl Reconciler {
    /// A loop with no worker yet.
    pub(super) fn new(
        pool: Arc<Pool>,
        blueprint: Blueprint,
        (outbox, inbox): (mpsc::Sender<Message>, mpsc::Receiver<Message>),
        status: watch::Sender<Status>,
        settings: watch::Sender<Arc<Workers>>,
    ) -> Self {
        let count = settings.borrow().count.max(1);
        Self {
            pool,
            blueprint,
            settings,
            count,
            workers: Vec::new(),
            next_id: 0,
            jobs: Jobs::default(),
            stopping: false,
            inbox,
            outbox,
            status,
            rng: rand::make_rng(),
            obituaries: JoinSet::new(),
        }
    }

    /// Starts the workers and runs until all of them were told to end and did.
    pub(super) async fn run(mut self) {
        self.settle();
        while !(self.stopping && self.workers.iter().all(|worker| worker.life.state() == State::Exited)) {
            let Some(message) = self.inbox.recv().await else { break };
            self.receive(message);
            self.settle();
            while self.obituaries.try_join_next().is_some() {}
        }
        while self.obituaries.join_next().await.is_some() {}
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Worker { id, run, event } => {
                if let Some(at) = self.position(id, run) {
                    self.tell(at, event);
                    self.workers[at].proven |= event == Event::Proven;
                    self.step(at, event);
                }
            }
            Message::Ended { id, run, status } => {
                if let Some(at) = self.position(id, run) {
                    self.bury(at, status);
                }
            }
            Message::Command(command) if self.stopping => command.refuse(),
            Message::Command(Command::Scale(count, reply)) => self.scale(count, reply),
            Message::Command(command) => self.jobs.waiting.push_back(command),
            Message::Stop(stop) => {
                self.stopping = true;
                self.jobs.stop();
                for at in 0..self.workers.len() {
                    self.step(at, Event::Stop(stop));
                }
            }
        }
    }

    /// Does all that is due now.
    fn settle(&mut self) {
        while !self.stopping {
            self.workers.retain(|worker| !worker.is_over());
            self.progress();
            let settings = self.settings.borrow().clone();
            let wanted = Wanted { count: self.count, parallel: settings.roll_parallel };
            let seen: Vec<_> = self.workers.iter().map(WorkerHandle::seen).collect();
            let steps = plan(wanted, &seen);
            if steps.is_empty() {
                break;
            }
            for step in steps {
                self.carry_out(step, &settings);
            }
        }
        self.publish();
    }

    fn carry_out(&mut self, step: Step, settings: &Arc<Workers>) {
        let position = |workers: &[WorkerHandle], id| workers.iter().position(|worker| worker.id == id);
        match step {
            Step::Start { index, on_trial } => {
                self.next_id += 1;
                let (name, numbers) = (format!("{}.{index}", self.blueprint.pool), (self.next_id, index));
                let mut worker = WorkerHandle::new(name, numbers, Arc::clone(settings), on_trial, self.outbox.clone());
                if let Some(old) = self.workers.iter().rfind(|old| old.index == index) {
                    worker.follow(old);
                } else if let Some(scaling) = &mut self.jobs.scaling {
                    scaling.started.push(worker.id);
                }
                let at = self.workers.partition_point(|other| other.index <= index);
                self.workers.insert(at, worker);
                self.step(at, Event::Start);
            }
            Step::Adopt { id } => {
                let Some(at) = position(&self.workers, id) else { return };
                let (index, pid) = (self.workers[at].index, self.workers[at].pid());
                let is_old = |old: &&WorkerHandle| old.index == index && old.id != id && old.stale.is_some();
                let why = self.workers.iter().find(is_old).and_then(|old| old.stale);
                let new = &mut self.workers[at];
                new.life.adopt();
                if let Some(why) = why {
                    new.count_restart(why);
                    let text = format!("{} is pid {} from now on", new.name, pid.unwrap_or_default());
                    self.announce(at, EventKind::Replaced, text);
                }
            }
            Step::Retire { id } => {
                let Some(at) = position(&self.workers, id) else { return };
                if let (Some(roll), true) = (&mut self.jobs.roll, self.workers[at].stale.is_some()) {
                    roll.replaced.push(Arc::clone(&self.workers[at].name));
                }
                let until = Instant::now() + self.blueprint.surroundings.drain_timeout;
                let in_flight = self.workers[at].in_flight();
                let text = format!("{} is drained, requests in flight: {in_flight}", self.workers[at].title());
                self.announce(at, EventKind::Draining, text);
                self.step(at, Event::Stop(Stop::Drain { until }));
            }
        }
    }

    /// Ends the commands that are done and begins those that waited for them.
    fn progress(&mut self) {
        let workers = &self.workers;
        let is_done = |roll: &mut Roll| !workers.iter().any(|worker| roll.old.contains(&worker.id));
        if let Some(roll) = self.jobs.roll.take_if(is_done) {
            self.note(EventKind::Rolled, roll.finish());
        }
        let of_index = |index| move |worker: &&WorkerHandle| worker.index == index && !worker.life.is_leaving();
        let is_ready = |worker: &WorkerHandle| worker.life.state() == State::Ready;
        let all_there = (1..=self.count).all(|index| workers.iter().filter(of_index(index)).any(is_ready));
        let none_beyond = workers.iter().all(|worker| worker.index <= self.count);
        if all_there
            && none_beyond
            && let Some(scaling) = self.jobs.scaling.take()
        {
            scaling.finish();
        }
        while self.jobs.roll.is_none()
            && let Some(command) = self.jobs.waiting.pop_front()
        {
            match command {
                Command::Roll(reply) => self.begin_roll(None, Answer::Roll(reply)),
                Command::Reconfigure(settings, reply) => self.reconfigure(*settings, reply),
                Command::Scale(count, reply) => self.scale(count, reply),
            }
        }
    }

    fn begin_roll(&mut self, before: Option<Arc<Workers>>, answer: Answer) {
        for at in 0..self.workers.len() {
            if self.workers[at].life.on_trial() {
                // Of a recycling that this roll does anyway.
                self.step(at, Event::Stop(Stop::Drain { until: Instant::now() }));
            }
        }
        let staying = self.workers.iter_mut().filter(|worker| !worker.life.is_leaving());
        let old = staying.map(|worker| {
            worker.stale = Some(RestartReason::Rolled);
            worker.id
        });
        self.jobs.roll = Some(Roll::new(old.collect(), before, answer));
    }

    fn reconfigure(&mut self, settings: Workers, reply: Reply<Reconfigured>) {
        let before = self.settings.borrow().clone();
        let settings = Arc::new(Workers { count: before.count, ..settings });
        let changes = Changes::between(&before, &settings);
        if settings.socket && self.blueprint.surroundings.sockets.is_none() {
            let mut pool = config::Pool::new(&*self.blueprint.pool);
            pool.workers = Some(settings.as_ref().clone());
            match Sockets::make(&[pool]) {
                Ok(sockets) => self.blueprint.surroundings.sockets = sockets,
                Err(error) => {
                    let (reason, last_lines, replaced) = (error.to_string(), Vec::new(), Vec::new());
                    return drop(reply.send(Err(RollError::Worker { reason, last_lines, replaced })));
                }
            }
        }
        self.settings.send_replace(Arc::clone(&settings));
        if !changes.replace.is_empty() {
            return self.begin_roll(Some(before), Answer::Reconfigure(reply, changes));
        }
        for worker in &mut self.workers {
            worker.life.reconfigure(settings.stop_timeout, RestartDelay::new(&settings.backoff));
            worker.settings = Arc::clone(&settings);
        }
        // Whoever asked may be gone.
        let _ = reply.send(Ok(Reconfigured { applied: changes.apply, ..Reconfigured::default() }));
    }

    fn scale(&mut self, count: usize, reply: Reply<super::ScaleReport>) {
        if let Some(scaling) = self.jobs.scaling.take() {
            scaling.supersede();
        }
        if count != self.count {
            self.note(EventKind::Scaled, format!("scaling from {} to {count} workers", self.count));
        }
        self.jobs.scaling = Some(Scaling::new(self.count, count, reply));
        self.count = count;
    }

    /// A replacement has failed: whom it was to replace stays.
    fn trial_failed(&mut self, index: usize) -> Failures {
        match self.jobs.fail_roll() {
            Some((roll, failures)) => {
                if let Some(before) = roll.before {
                    self.settings.send_replace(before);
                }
                self.workers.iter_mut().for_each(|worker| worker.stale = None);
                self.note(EventKind::RollFailed, format!("the roll is given up: {}.{index} failed", self.pool.name()));
                failures
            }
            None => {
                let of_index = self.workers.iter_mut().filter(|worker| worker.index == index);
                of_index.for_each(|worker| worker.stale = None);
                Failures::default()
            }
        }
    }

    /// The worker that the news is about, unless it is old news.
    fn position(&self, id: u64, run: u64) -> Option<usize> {
        self.workers.iter().position(|worker| worker.id == id && worker.run == run)
    }

    /// Lets the event happen and does what follows; returns the time until the next start, if there will be one.
    fn step(&mut self, at: usize, event: Event) -> Option<Duration> {
        let mut again_in = None;
        for action in self.workers[at].life.step(event, Instant::now(), &mut self.rng) {
            let worker = &mut self.workers[at];
            match action {
                Action::Spawn => self.spawn(at),
                Action::Join => {
                    if let Some(text) = worker.join(&self.pool) {
                        self.announce(at, EventKind::Ready, text);
                    }
                }
                Action::Drain { until } => worker.drain(until),
                Action::Leave => worker.leave(&self.pool),
                Action::Terminate { grace } => {
                    worker.signal(signal_of(worker.settings.stop_signal));
                    worker.set_timer(sleep(grace), Event::StopTimedOut);
                }
                Action::Kill { grace } => {
                    worker.signal(Signal::SIGKILL);
                    worker.set_timer(sleep(grace), Event::StopTimedOut);
                }
                Action::Sweep => worker.sweep(),
                Action::Restart { after } => {
                    worker.set_timer(sleep(after), Event::BackoffOver);
                    again_in = Some(after);
                }
            }
        }
        again_in
    }

    fn spawn(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        worker.run += 1;
        worker.restarts += u64::from(worker.run > 1);
        match self.blueprint.spawn(&worker.settings, (worker.index, self.count), &mut self.rng) {
            Ok((process, offspring)) => {
                let text = format!("{} (pid {}) started for {}", worker.name, process.pid(), process.address());
                worker.mind(process, offspring);
                self.announce(at, EventKind::Started, text);
            }
            Err(error) => {
                let again_in = self.step(at, Event::SpawnFailed);
                let again = again_in.map_or(String::new(), |delay| format!("; trying again in {}", seconds(delay)));
                let worker = &mut self.workers[at];
                let reason = format!("{} could not be started: {error}{again}", worker.name);
                tracing::error!("{reason}");
                worker.reason = Some(reason.as_str().into());
                worker.count_restart(RestartReason::NotStarted);
                let (id, index, on_trial) = (worker.id, worker.index, worker.life.on_trial());
                self.emit(at, EventKind::NotStarted, reason.clone());
                let mut failures = if on_trial { self.trial_failed(index) } else { Failures::default() };
                self.jobs.fail_scaling(id, &mut failures);
                failures.give(&reason, &[]);
            }
        }
    }

    /// Says what is about to happen.
    fn tell(&self, at: usize, event: Event) {
        let worker = &self.workers[at];
        let Some(process) = &worker.process else { return };
        let (name, lived) = (worker.title(), seconds(process.started().elapsed()));
        match (worker.life.state(), event) {
            (State::Starting, Event::ReadyTimedOut) => {
                let explained = explain(&process.address(), process.group());
                tracing::warn!("{name} is not ready after {lived}{explained}: stopping it");
            }
            (State::Ready, Event::SocketGone) => {
                let address = process.address();
                tracing::warn!("{address} of {name} was removed, nobody can connect any more: stopping it");
            }
            (State::Draining, Event::Drained) if worker.in_flight() > 0 => {
                tracing::warn!("{name} is stopped with requests in flight: {}", worker.in_flight());
            }
            (State::Stopping, Event::StopTimedOut) => {
                let waited = seconds(worker.life.since().elapsed());
                tracing::warn!("{name} did not end within {waited}: killing it");
            }
            _ => {}
        }
    }

    /// A process has ended: does what follows and says how it was.
    fn bury(&mut self, at: usize, status: Option<ExitStatus>) {
        let worker = &mut self.workers[at];
        let Some(process) = &mut worker.process else { return };
        let capture = process.take_capture();
        let was_wanted = !worker.life.is_leaving();
        let mut obituary = Obituary {
            name: Arc::clone(&worker.name),
            pid: process.pid(),
            status,
            lived: process.started().elapsed(),
            state: worker.life.state(),
            was_wanted,
            was_ready: worker.life.ready_since().is_some(),
            ready_timeout: worker.settings.ready_timeout,
            in_flight: worker.in_flight(),
            again_in: None,
        };
        let (id, index, on_trial) = (worker.id, worker.index, worker.life.on_trial());
        obituary.again_in = self.step(at, Event::Exited);
        let sentence = obituary.sentence();
        let worker = &mut self.workers[at];
        worker.reason = Some(sentence.as_str().into());
        let mut failures = Failures::default();
        if was_wanted {
            worker.count_restart(obituary.restart_reason());
            if on_trial {
                failures = self.trial_failed(index);
            }
            self.jobs.fail_scaling(id, &mut failures);
        }
        let kind = if obituary.is_expected() { EventKind::Stopped } else { EventKind::Died };
        let events = Arc::clone(&self.blueprint.surroundings.events);
        let mut event = self.event(at, kind, String::new());
        event.pid = Some(obituary.pid);
        self.obituaries.spawn(async move {
            let last_lines = match capture {
                Some(capture) => capture.finish().await,
                None => Vec::new(),
            };
            event.text = obituary.tell(&last_lines);
            events(&event);
            failures.give(&sentence, &last_lines);
        });
    }

    /// Logs and emits something about a worker.
    fn announce(&self, at: usize, kind: EventKind, text: String) {
        tracing::info!("{text}");
        self.emit(at, kind, text);
    }

    /// Logs and emits something about all workers.
    fn note(&self, kind: EventKind, text: String) {
        let pool = self.pool.name();
        tracing::info!("{pool}: {text}");
        let event = WorkerEvent { pool: Arc::clone(pool), worker: Arc::clone(pool), pid: None, kind, text };
        (self.blueprint.surroundings.events)(&event);
    }

    fn emit(&self, at: usize, kind: EventKind, text: String) {
        (self.blueprint.surroundings.events)(&self.event(at, kind, text));
    }

    fn event(&self, at: usize, kind: EventKind, text: String) -> WorkerEvent {
        let worker = &self.workers[at];
        let (pool, name) = (Arc::clone(self.pool.name()), Arc::clone(&worker.name));
        WorkerEvent { pool, worker: name, pid: worker.pid(), kind, text }
    }

    fn publish(&self) {
        let workers: Vec<_> = self.workers.iter().map(WorkerHandle::status).collect();
        self.status.send_if_modified(|status| {
            let changed = status.workers != workers || status.count != self.count;
            (status.workers, status.count) = (workers, self.count);
            changed
        });
    }
}
