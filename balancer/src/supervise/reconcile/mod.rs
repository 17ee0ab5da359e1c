//! The loop that keeps a pool's workers as they are wanted.
//!
//! Receives everything that happens to the workers and every command through one channel, asks `life` and `plan` what
//! follows, and does it. Called by [`super::Supervisor`], one loop a pool. Never waits for anything but its channel: tasks do
//! that and report.

mod acting;
mod backoff;
mod handle;
mod jobs;
mod life;
mod message;
mod minding;
mod orders;
mod plan;
mod recycle;
mod recycling;
mod sight;
mod telling;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::config::{Roll, Workers};
use crate::endpoint::ReplaceCause;
use crate::pool::Pool;
use crate::supervise::command::Command;
use crate::supervise::event::EventKind;
use crate::supervise::process::oom::OomKills;
use crate::supervise::spawn::Blueprint;
use crate::supervise::state::State;
use crate::supervise::status::{RestartReason, Status};
use handle::WorkerHandle;
use jobs::{FailureKept, Jobs};
use life::{Event, Pause};
pub(super) use message::Message;
use plan::{Wanted, plan};
use sight::PlaceHistory;

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
    pasts: BTreeMap<usize, PlaceHistory>,
    /// Of the places whose worker has hung, by index, until another is started there.
    pauses: BTreeMap<usize, Pause>,
    stopping: bool,
    /// It will be told to stop soon: nobody is replaced or added any more.
    winding_up: bool,
    /// The last roll, if it has failed.
    failed_roll: Option<FailureKept>,
    /// Its turn to start workers has not come.
    waits: bool,
    inbox: mpsc::Receiver<Message>,
    outbox: mpsc::Sender<Message>,
    status: watch::Sender<Status>,
    rng: SmallRng,
    oom_kills: OomKills,
    /// Wait for the last output of workers that ended, or for those before them.
    exits: JoinSet<()>,
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
            winding_up: false,
            failed_roll: None,
            waits: false,
            inbox,
            outbox,
            status,
            rng: rand::make_rng(),
            oom_kills: OomKills::watch(),
            exits: JoinSet::new(),
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
                    self.tell_late();
                }
            }
            self.settle();
            while self.exits.try_join_next().is_some() {}
        }
        while self.exits.join_next().await.is_some() {}
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
            Message::Taken { id, run, who } => {
                if let Some(at) = self.position(id, run) {
                    self.tell_taken(at, &who);
                    self.step(at, Event::SocketGone);
                }
            }
            Message::Alarm { id, run, alarm } => {
                if let Some(at) = self.position(id, run) {
                    match alarm {
                        ReplaceCause::Hung => self.replace_hung(at),
                        ReplaceCause::RequestsMax => self.workers[at].over = Some(RestartReason::RequestsMax),
                    }
                }
            }
            Message::Ended { id, run, status } => match self.position(id, run) {
                Some(at) if self.workers[at].is_outlived() => self.workers[at].await_kin(status),
                Some(at) => self.record_exit(at, status),
                None => {}
            },
            Message::Command(command) if self.stopping || self.winding_up => command.refuse(),
            Message::Command(Command::Scale(count, reply)) => self.scale(count, reply),
            Message::Command(command) => self.jobs.waiting.push_back(command),
            Message::WindUp => {
                self.winding_up = true;
                self.end_jobs();
            }
            Message::Stop(stop) => {
                self.stopping = true;
                if let Some(share) = &self.blueprint.surroundings.share {
                    share.close();
                }
                self.end_jobs();
                for at in 0..self.workers.len() {
                    self.step(at, Event::Stop(stop));
                }
            }
        }
    }

    /// Does all that is due now.
    fn settle(&mut self) {
        while !self.stopping && !self.winding_up && !self.waits {
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

    /// The worker that the news is about, unless it is old news.
    fn position(&self, id: u64, run: u64) -> Option<usize> {
        self.workers.iter().position(|worker| worker.id == id && worker.run == run)
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
            let past = worker.past();
            match self.workers.iter_mut().find(|other| other.index == worker.index) {
                Some(other) => other.inherit(past),
                None => {
                    let before = self.pasts.remove(&worker.index).unwrap_or_default();
                    self.pasts.insert(worker.index, past.with(before));
                }
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
        let failed_roll = self.failed_roll.as_ref().map(FailureKept::shown);
        self.status.send_if_modified(|status| {
            let next = Status { pool: Arc::clone(&status.pool), count: self.count, mixed, failed_roll, workers };
            let changed = *status != next;
            *status = next;
            changed
        });
    }
}

const SAMPLE_EVERY: Duration = Duration::from_secs(1);
