//! What the loop does to its workers: steps of the plan, and what follows from what has happened to one.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use super::Reconciler;
use super::handle::WorkerHandle;
use super::jobs::{Failures, WorkerFailure};
use super::life::{Action, Event};
use super::plan::Step;
use super::recycle::RecycleLimits;
use crate::config::{Roll, Workers};
use crate::shown;
use crate::supervise::event::EventKind;
use crate::supervise::exit_report::web_sockets;
use crate::supervise::spawn::signal_of;
use crate::supervise::state::Stop;
use crate::supervise::status::RestartReason;

impl Reconciler {
    pub(super) fn carry_out(&mut self, step: Step, settings: &Arc<Workers>) {
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
                    Some(old) => worker.follow_beside(old.past()),
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
                    new.count_restart(why, &format!("replaced, {}", why.as_str()));
                    let text = format!("{} has pid {} now", new.name, pid.unwrap_or_default());
                    self.announce(at, EventKind::Replaced, text);
                }
            }
            Step::Retire { id } => {
                let Some(at) = position(&self.workers, id) else { return };
                if let Some(why) = self.workers[at].stale.filter(|_| settings.roll == Roll::StopFirst) {
                    self.workers[at].count_restart(why, &format!("replaced, {}", why.as_str()));
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

    /// Lets the event happen and does what follows; returns the time until the next start, if there will be one.
    pub(super) fn step(&mut self, at: usize, event: Event) -> Option<Duration> {
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
                        self.exits.spawn(rest);
                    }
                }
                Action::Restart { after } => {
                    worker.set_timer(sleep(after), Event::BackoffOver);
                    worker.next_start = Some(Instant::now() + after);
                    again_in = Some(after);
                }
            }
        }
        again_in
    }

    fn spawn(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        worker.run += 1;
        worker.next_start = None;
        if Arc::ptr_eq(&worker.settings, &*self.settings.borrow()) {
            worker.generation = self.generation;
        }
        worker.restarts += u64::from(worker.run > 1);
        match self.blueprint.spawn(&worker.settings, (worker.index, self.count), &mut self.rng) {
            Ok((process, offspring)) => {
                let text = format!("{} (pid {}) started for {}", worker.name, process.pid(), process.address());
                let limits = RecycleLimits::draw(&worker.settings.recycle, &mut self.rng);
                let encryption = self.pool.encryption_at(&process.address());
                worker.mind((process, encryption), offspring, limits);
                self.announce(at, EventKind::Started, text);
            }
            Err(error) => {
                let again_in = self.step(at, Event::SpawnFailed);
                let again = again_in.map_or(String::new(), |delay| format!("; trying again in {}", shown::time(delay)));
                let worker = &mut self.workers[at];
                let reason = format!("{} could not be started: {error}{again}", worker.name);
                tracing::error!("{reason}");
                worker.reason = Some(reason.as_str().into());
                worker.count_restart(RestartReason::NotStarted, "could not be started");
                let (id, index, on_trial) = (worker.id, worker.index, worker.life.on_trial());
                self.emit(at, EventKind::NotStarted, reason.clone());
                let (worker, old_stays) = (Arc::clone(&self.workers[at].name), self.has_old(index));
                let mut failures = if on_trial { self.trial_failed(index) } else { Failures::default() };
                self.jobs.fail_scaling(id, &mut failures);
                let how = format!("could not be started ({error})");
                let failure = WorkerFailure { worker, reason, how, old_stays };
                self.keep(&failures, &failure, at);
                failures.give(failure, &[]);
            }
        }
    }
}

/// Where starting takes long, so does dying of it; no roll waits longer.
const TRIAL_MAX: Duration = Duration::from_secs(10);
/// What ends right after its start does so by then.
const TRIAL_RECYCLED: Duration = Duration::from_millis(500);
