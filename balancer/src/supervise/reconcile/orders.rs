//! Commands: when they begin, what they change, when they are done.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Reconciler;
use super::backoff::RestartDelay;
use super::handle::WorkerHandle;
use super::jobs::{FailureKept, Failures, RollJob, RollReply, Scaling, WorkerFailure};
use super::life::Event;
use crate::config::{self, Workers};
use crate::supervise::command::{Changes, Command, Reconfigured, Reply, RollError, ScaleReport};
use crate::supervise::event::EventKind;
use crate::supervise::place::socket::Sockets;
use crate::supervise::state::{State, Stop};
use crate::supervise::status::RestartReason;

impl Reconciler {
    /// Ends the commands that are done and begins those that waited for them.
    pub(super) fn progress(&mut self) {
        let workers = &self.workers;
        let has_worker = |index| workers.iter().any(|worker| worker.index == index && !worker.life.is_leaving());
        let is_open = |worker: &WorkerHandle, roll: &RollJob| {
            roll.old.contains(&worker.id) || worker.life.on_trial() && !worker.life.is_leaving()
        };
        let is_done = |roll: &mut RollJob| {
            !workers.iter().any(|worker| is_open(worker, roll)) && (1..=self.count).all(has_worker)
        };
        if let Some(roll) = self.jobs.roll.take_if(is_done) {
            let replaced = roll.replaced.len();
            self.note(EventKind::Rolled, roll.finish());
            if self.failed_roll.as_ref().is_some_and(|failed| failed.is_made_up_by(replaced)) {
                self.failed_roll = None;
            }
            if replaced >= self.count {
                self.forget_deaths();
            }
        }
        let of_index = |index| move |worker: &&WorkerHandle| worker.index == index && !worker.life.is_leaving();
        let is_ready = |worker: &WorkerHandle| worker.life.state() == State::Ready || worker.has_finished();
        let is_there = |index| workers.iter().filter(of_index(index)).any(is_ready);
        let none_beyond = workers.iter().all(|worker| worker.index <= self.count);
        // Of those it has not started some may be ill, for ever.
        let is_reached = |scaling: &mut Scaling| none_beyond && (scaling.kept + 1..=self.count).all(is_there);
        if let Some(scaling) = self.jobs.scaling.take_if(is_reached) {
            scaling.finish();
        }
        while self.jobs.roll.is_none()
            && let Some(command) = self.jobs.waiting.pop_front()
        {
            match command {
                Command::Roll(only, reply) => self.begin_roll(only, None, RollReply::Roll(reply)),
                Command::Reconfigure(settings, reply) => self.reconfigure(*settings, reply),
                Command::Scale(count, reply) => self.scale(count, reply),
            }
        }
    }

    /// Of all places, or of one: then nobody becomes older by it.
    pub(super) fn begin_roll(&mut self, only: Option<usize>, before: Option<Arc<Workers>>, answer: RollReply) {
        let before = before.map(|settings| (settings, self.generation));
        self.generation += u64::from(only.is_none());
        let is_meant = |worker: &WorkerHandle| only.is_none_or(|index| worker.index == index);
        for at in 0..self.workers.len() {
            if self.workers[at].life.on_trial() && is_meant(&self.workers[at]) {
                // Of a recycling that this roll does anyway.
                self.step(at, Event::Stop(Stop::Drain { until: Instant::now() }));
            }
        }
        let staying = self.workers.iter_mut().filter(|worker| !worker.life.is_leaving() && is_meant(worker));
        let old = staying.map(|worker| {
            worker.stale = Some(RestartReason::Rolled);
            worker.id
        });
        self.jobs.roll = Some(RollJob::new(old.collect(), before, if only.is_some() { 1 } else { self.count }, answer));
    }

    /// All workers will be stopped: whoever is to be replaced is not.
    pub(super) fn end_jobs(&mut self) {
        if let Some(text) = self.jobs.stop() {
            self.note(EventKind::RollFailed, text);
        }
        self.workers.iter_mut().for_each(|worker| worker.stale = None);
    }

    pub(super) fn reconfigure(&mut self, settings: Workers, reply: Reply<Reconfigured>) {
        let before = self.settings.borrow().clone();
        let settings = Arc::new(Workers { count: before.count, ..settings });
        let changes = Changes::between(&before, &settings);
        if settings.socket && self.blueprint.surroundings.sockets.is_none() {
            let mut pool = config::Pool::new(&*self.blueprint.pool);
            pool.workers = Some(settings.as_ref().clone());
            match Sockets::make(&[pool]) {
                Ok(sockets) => self.blueprint.surroundings.sockets = sockets,
                Err(error) => {
                    let (reason, last_lines) = (error.to_string(), Vec::new());
                    return drop(reply.send(Err(RollError::Worker { reason, last_lines })));
                }
            }
        }
        self.settings.send_replace(Arc::clone(&settings));
        if !changes.replace.is_empty() {
            return self.begin_roll(None, Some(before), RollReply::Reconfigure(reply, changes));
        }
        for worker in &mut self.workers {
            worker.life.reconfigure(settings.stop_timeout, RestartDelay::new(&settings.backoff), settings.restart);
            worker.settings = Arc::clone(&settings);
        }
        self.forget_deaths();
        // Whoever asked may be gone.
        let _ = reply.send(Ok(Reconfigured { applied: changes.apply, ..Reconfigured::default() }));
    }

    pub(super) fn scale(&mut self, count: usize, reply: Reply<ScaleReport>) {
        if count != self.count {
            self.note(EventKind::Scaled, format!("scaling from {} to {count} workers", self.count));
        }
        let mut scaling = Scaling::new(self.count, count, reply);
        if let Some(other) = self.jobs.scaling.take() {
            scaling.supersede(other);
        }
        self.jobs.scaling = Some(scaling);
        self.count = count;
    }

    /// A replacement has died: in a roll each place has one more try, for a death may have come from elsewhere.
    pub(super) fn trial_died(&mut self, index: usize) -> Failures {
        let is_first = self.jobs.roll.as_mut().is_some_and(|roll| roll.once_more.insert(index));
        if !is_first {
            return self.trial_failed(index);
        }
        let text = format!("{}.{index}: the new one died; one more is tried", self.pool.name());
        self.note(EventKind::RollGoesOn, text);
        Failures::default()
    }

    /// One that has taken over already has died soon. One of a roll may; with a second, it is the release that dies, and whoever is still
    /// of the old one stays.
    pub(super) fn replaced_died(&mut self, index: usize) -> Failures {
        let name = format!("{}.{index}", self.pool.name());
        let Some(roll) = self.jobs.roll.as_mut().filter(|roll| roll.replaced.iter().any(|done| **done == *name)) else {
            return Failures::default();
        };
        roll.died_later += 1;
        if roll.died_later < 2 { Failures::default() } else { self.trial_failed(index) }
    }

    /// Whether a place has a worker besides its replacement.
    pub(super) fn has_old(&self, index: usize) -> bool {
        let is_old =
            |worker: &WorkerHandle| worker.index == index && !worker.life.is_leaving() && !worker.life.on_trial();
        self.workers.iter().any(is_old)
    }

    /// A replacement has failed: whom it was to replace stays.
    pub(super) fn trial_failed(&mut self, index: usize) -> Failures {
        match self.jobs.fail_roll() {
            Some((roll, failures)) => {
                if let Some((before, generation)) = roll.before {
                    self.generation = generation;
                    self.go_back_to(before);
                }
                self.workers.iter_mut().for_each(|worker| worker.stale = None);
                self.note(EventKind::RollFailed, format!("roll stopped: {}.{index} failed", self.pool.name()));
                failures
            }
            None => {
                for worker in self.workers.iter_mut().filter(|worker| worker.index == index) {
                    (worker.stale, worker.recycle_after) = (None, Some(Instant::now() + RECYCLE_AGAIN_AFTER));
                }
                Failures::default()
            }
        }
    }

    /// A roll that has failed is told until one succeeds.
    pub(super) fn keep(&mut self, failures: &Failures, failure: &WorkerFailure, at: usize) {
        if let Some(rolled) = failures.rolled() {
            self.failed_roll = Some(FailureKept::new(rolled, failure, self.workers[at].latest()));
        }
    }

    /// The settings that a roll was for have failed: they are tried no more by whoever has not shown that it can live with
    /// them.
    fn go_back_to(&mut self, before: Arc<Workers>) {
        let failed = self.settings.send_replace(Arc::clone(&before));
        let has_failed = |worker: &&mut WorkerHandle| Arc::ptr_eq(&worker.settings, &failed);
        for worker in self.workers.iter_mut().filter(has_failed) {
            if !worker.proven && !worker.life.is_leaving() {
                worker.life.reconfigure(before.stop_timeout, RestartDelay::new(&before.backoff), before.restart);
                worker.settings = Arc::clone(&before);
            }
        }
    }
}

/// A worker whose replacement failed serves on so long before the next is tried.
const RECYCLE_AGAIN_AFTER: Duration = Duration::from_secs(60);
