//! The loop that keeps a pool's workers as they are wanted.
//!
//! Receives everything that happens to the workers and every command through one channel, asks `life` and `plan` what
//! follows, and does it. Called by [`super::Supervisor`], one loop a pool. Never waits for anything but its channel: tasks do
//! that and report.

mod backoff;
mod handle;
mod jobs;
mod life;
mod orders;
mod plan;
mod recycle;
mod recycling;
mod telling;

use std::collections::BTreeMap;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use rand::rngs::SmallRng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::config::{Roll, Workers};
use crate::endpoint::Alarm;
use crate::pool::Pool;
use crate::shown;
use crate::supervise::command::Command;
use crate::supervise::event::EventKind;
use crate::supervise::obituary::web_sockets;
use crate::supervise::oom::OomKills;
use crate::supervise::process::{Blueprint, signal_of};
use crate::supervise::state::{State, Stop};
use crate::supervise::status::{RestartReason, Status};
use handle::{Past, WorkerHandle};
use jobs::{Failure, Failures, Jobs};
use life::{Action, Event, Pause};
use plan::{Step, Wanted, plan};
use recycle::Limits;

/// What the loop receives. `run` is the start that the news belongs to, so that late news of one run is not taken for news
/// of the next.
#[derive(Debug)]
pub(super) enum Message {
    /// Something happened to a worker.
    Worker { id: u64, run: u64, event: Event },
    /// A worker's process ended.
    Ended { id: u64, run: u64, status: Option<ExitStatus> },
    /// It has not become ready: why, or that its time is over; and what is wrong with the `place` where it listens.
    NotReady { id: u64, run: u64, why: Option<String>, place: String },
    /// Its endpoint asks for its replacement.
    Alarm { id: u64, run: u64, alarm: Alarm },
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
    /// Of the workers that are started now.
    generation: u64,
    /// What is remembered of places that have no worker for a moment.
    pasts: BTreeMap<usize, Past>,
    /// Of the places whose worker has hung, by index, until another is started there.
    pauses: BTreeMap<usize, Pause>,
    stopping: bool,
    /// Its turn to start workers has not come.
    waits: bool,
    inbox: mpsc::Receiver<Message>,
    outbox: mpsc::Sender<Message>,
    status: watch::Sender<Status>,
    rng: SmallRng,
    oom_kills: OomKills,
    /// Wait for the last output of workers that ended, or for those before them.
    obituaries: JoinSet<()>,
    /// Ends when the last of them is told.
    untold: Option<oneshot::Receiver<()>>,
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
            generation: 1,
            pasts: BTreeMap::new(),
            pauses: BTreeMap::new(),
            stopping: false,
            waits: false,
            inbox,
            outbox,
            status,
            rng: rand::make_rng(),
            oom_kills: OomKills::watch(),
            obituaries: JoinSet::new(),
            untold: None,
        }
    }

    /// Starts the workers and runs until all of them were told to end and did.
    pub(super) async fn run(mut self) {
        let (after, patience) = (self.settings.borrow().after.clone(), self.settings.borrow().after_timeout);
        let standings = self.blueprint.surroundings.standings.clone();
        let mut turn = pin!(timeout(patience, standings.settled(&after)));
        self.waits = !after.is_empty();
        if self.waits {
            self.note(
                EventKind::Waits,
                format!("its workers are started when those of {} are ready", after.join(", ")),
            );
        }
        self.settle();
        let mut ticks = interval(SAMPLE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !(self.stopping && self.workers.iter().all(|worker| worker.life.state() == State::Exited)) {
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => self.receive(message),
                    None => break,
                },
                came = &mut turn, if self.waits => {
                    self.waits = false;
                    if came.is_err() {
                        self.waited_in_vain(&after, patience);
                    }
                }
                _ = ticks.tick() => {
                    self.oom_kills.look(Instant::now());
                    self.workers.iter_mut().for_each(|worker| worker.sample(Instant::now()));
                }
            }
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
            Message::NotReady { id, run, why, place } => {
                if let Some(at) = self.position(id, run) {
                    (self.workers[at].not_ready, self.workers[at].misplaced) = (why, place);
                    self.tell(at, Event::ReadyTimedOut);
                    self.step(at, Event::ReadyTimedOut);
                }
            }
            Message::Alarm { id, run, alarm } => {
                if let Some(at) = self.position(id, run) {
                    match alarm {
                        Alarm::Hung => self.replace_hung(at),
                        Alarm::RequestsMax => self.workers[at].over = Some(RestartReason::RequestsMax),
                    }
                }
            }
            Message::Ended { id, run, status } => match self.position(id, run) {
                Some(at) if self.workers[at].is_outlived() => self.workers[at].await_kin(status),
                Some(at) => self.bury(at, status),
                None => {}
            },
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
        while !self.stopping && !self.waits {
            self.forget_those_that_are_over();
            self.progress();
            self.recycle();
            let settings = self.settings.borrow().clone();
            let stop_first = settings.roll == Roll::StopFirst;
            let wanted = Wanted { count: self.count, parallel: settings.roll_parallel, stop_first };
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
                // Nobody is left there to fall back to; that new settings are no good has to be noticed all the same.
                let is_new_place = self.jobs.scaling.as_ref().is_some_and(|scaling| index > scaling.kept);
                let stop_first = settings.roll == Roll::StopFirst;
                let is_untried = self.jobs.roll.as_ref().is_some_and(|roll| roll.before.is_some() || stop_first);
                let on_trial = on_trial || is_untried && !is_new_place;
                let (name, numbers) = (format!("{}.{index}", self.blueprint.pool), (self.next_id, index));
                let pause = self.pauses.remove(&index);
                let mut worker =
                    WorkerHandle::new(name, numbers, Arc::clone(settings), (on_trial, pause), self.outbox.clone());
                match self.workers.iter().rfind(|old| old.index == index) {
                    Some(old) => worker.follow(old.past()),
                    None => worker.follow(self.pasts.remove(&index).unwrap_or_default()),
                }
                if let Some(scaling) = self.jobs.scaling.as_mut().filter(|scaling| index > scaling.kept && !on_trial) {
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
                if let Some(roll) = &mut self.jobs.roll {
                    roll.replaced.push(Arc::clone(&new.name));
                }
                new.life.adopt();
                if let Some(why) = why {
                    new.count_restart(why);
                    let text = format!("{} has pid {} now", new.name, pid.unwrap_or_default());
                    self.announce(at, EventKind::Replaced, text);
                }
            }
            Step::Retire { id } => {
                let Some(at) = position(&self.workers, id) else { return };
                if let Some(why) = self.workers[at].stale.filter(|_| settings.roll == Roll::StopFirst) {
                    self.workers[at].count_restart(why);
                }
                let until = Instant::now() + *self.blueprint.surroundings.drain_timeout.borrow();
                let in_flight = self.workers[at].in_flight();
                let mut text = format!("{} is drained, requests in flight: {in_flight}", self.workers[at].title());
                let tunnels = self.workers[at].tunnels();
                if tunnels > 0 {
                    let time = shown::time(self.pool.tunnel_drain());
                    text.push_str(&format!(", {} of them, which may go on for {time}", web_sockets(tunnels)));
                }
                self.announce(at, EventKind::Draining, text);
                self.step(at, Event::Stop(Stop::Drain { until }));
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
                    // Recycled, it is the same program.
                    let trial = self.blueprint.surroundings.trial;
                    let trial = match self.jobs.roll.is_some() {
                        // Where starting takes long, so does dying of it.
                        true => trial.max(worker.started_ago().min(TRIAL_MAX)),
                        false => trial.min(TRIAL_RECYCLED),
                    };
                    if let Some(text) = worker.join(&self.pool, trial) {
                        self.announce(at, EventKind::Ready, text);
                    }
                }
                Action::Drain { until } => worker.drain(until, self.pool.tunnel_drain()),
                Action::Leave => worker.leave(&self.pool),
                Action::Terminate { grace } => {
                    worker.signal(signal_of(worker.settings.stop_signal));
                    worker.set_timer(sleep(grace), Event::StopTimedOut);
                }
                Action::Kill { grace } => {
                    worker.signal(Signal::SIGKILL);
                    worker.set_timer(sleep(grace), Event::StopTimedOut);
                }
                Action::Sweep => {
                    if let Some(rest) = worker.sweep() {
                        self.obituaries.spawn(rest);
                    }
                }
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
        if Arc::ptr_eq(&worker.settings, &*self.settings.borrow()) {
            worker.generation = self.generation;
        }
        worker.restarts += u64::from(worker.run > 1);
        match self.blueprint.spawn(&worker.settings, (worker.index, self.count), &mut self.rng) {
            Ok((process, offspring)) => {
                let text = format!("{} (pid {}) started for {}", worker.name, process.pid(), process.address());
                let limits = Limits::draw(&worker.settings.recycle, &mut self.rng);
                worker.mind(process, offspring, limits);
                self.announce(at, EventKind::Started, text);
            }
            Err(error) => {
                let again_in = self.step(at, Event::SpawnFailed);
                let again = again_in.map_or(String::new(), |delay| format!("; trying again in {}", shown::time(delay)));
                let worker = &mut self.workers[at];
                let reason = format!("{} could not be started: {error}{again}", worker.name);
                tracing::error!("{reason}");
                worker.reason = Some(reason.as_str().into());
                worker.count_restart(RestartReason::NotStarted);
                let (id, index, on_trial) = (worker.id, worker.index, worker.life.on_trial());
                self.emit(at, EventKind::NotStarted, reason.clone());
                let (worker, old_stays) = (Arc::clone(&self.workers[at].name), self.has_old(index));
                let mut failures = if on_trial { self.trial_failed(index) } else { Failures::default() };
                self.jobs.fail_scaling(id, &mut failures);
                let how = format!("could not be started ({error})");
                failures.give(Failure { worker, reason, how, old_stays }, &[]);
            }
        }
    }

    /// Workers that were told to end and did are nobody's business any more, but for the history of their place.
    fn forget_those_that_are_over(&mut self) {
        if !self.workers.iter().any(WorkerHandle::is_over) {
            return;
        }
        let (over, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.workers).into_iter().partition(WorkerHandle::is_over);
        self.workers = kept;
        for worker in over.into_iter().filter(|worker| worker.index <= self.count) {
            if !self.workers.iter().any(|other| other.index == worker.index) {
                self.pasts.insert(worker.index, worker.past());
            }
        }
    }

    /// A sentence, where a roll that was given up has left workers of two generations.
    fn mixed(&self) -> Option<String> {
        let staying = || self.workers.iter().filter(|worker| !worker.life.is_leaving() && worker.run > 0);
        let newest = staying().map(|worker| worker.generation).max()?;
        let (new, old): (Vec<_>, Vec<_>) = staying().partition(|worker| worker.generation == newest);
        let names =
            |workers: Vec<&WorkerHandle>| workers.iter().map(|worker| &*worker.name).collect::<Vec<_>>().join(", ");
        let is_mixed = self.jobs.roll.is_none() && !old.is_empty();
        is_mixed.then(|| format!("mixed since a roll was given up: {} new, {} old", names(new), names(old)))
    }

    fn publish(&self) {
        let workers: Vec<_> = self.workers.iter().map(WorkerHandle::status).collect();
        let mixed = self.mixed().map(Arc::from);
        self.status.send_if_modified(|status| {
            let changed = status.workers != workers || status.count != self.count || status.mixed != mixed;
            (status.workers, status.count, status.mixed) = (workers, self.count, mixed);
            changed
        });
    }
}

/// What ends right after its start does so by then.
const TRIAL_MAX: Duration = Duration::from_secs(10);
const TRIAL_RECYCLED: Duration = Duration::from_millis(500);
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
