//! The loop that keeps a pool's workers as they are wanted.
//!
//! Receives everything that happens to the workers and every command through one channel, asks `life` what follows, and does
//! it. Called by [`super::Supervisor`], one loop a pool. Never waits for anything but its channel: tasks do that and report.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use rand::rngs::SmallRng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::backoff::RestartDelay;
use super::handle::WorkerHandle;
use super::life::{Action, Event, Life, State, Stop};
use super::obituary::{Obituary, seconds};
use super::spawn::{Blueprint, signal_of};
use super::status::Status;
use super::unready::explain;
use crate::pool::Pool;

/// What the loop receives. `run` is the start that the news belongs to, so that late news of one run is not taken for news
/// of the next.
#[derive(Debug)]
pub(super) enum Message {
    /// Something happened to a worker.
    Worker { index: usize, run: u64, event: Event },
    /// A worker's process ended.
    Ended { index: usize, run: u64, status: Option<ExitStatus> },
    /// All workers have to end.
    Stop(Stop),
}

/// The loop and all it knows.
pub(super) struct Reconciler {
    pool: Arc<Pool>,
    blueprint: Blueprint,
    workers: Vec<WorkerHandle>,
    inbox: mpsc::Receiver<Message>,
    status: watch::Sender<Status>,
    rng: SmallRng,
    /// Wait for the last output of workers that ended.
    obituaries: JoinSet<()>,
}

impl Reconciler {
    /// A loop with as many workers as the blueprint says, none started.
    pub(super) fn new(
        pool: Arc<Pool>,
        blueprint: Blueprint,
        (outbox, inbox): (mpsc::Sender<Message>, mpsc::Receiver<Message>),
        status: watch::Sender<Status>,
    ) -> Self {
        let (wanted, now) = (&blueprint.workers, Instant::now());
        let worker = |index| {
            let life = Life::new(wanted.stop_timeout, RestartDelay::new(&wanted.backoff), now);
            WorkerHandle::new(format!("{}.{index}", blueprint.pool), index, life, outbox.clone())
        };
        let workers = (1..=wanted.count).map(worker).collect();
        Self { pool, blueprint, workers, inbox, status, rng: rand::make_rng(), obituaries: JoinSet::new() }
    }

    /// Starts the workers and runs until all of them were told to end and did.
    pub(super) async fn run(mut self) {
        for at in 0..self.workers.len() {
            self.step(at, Event::Start);
        }
        self.publish();
        while self.workers.iter().any(|worker| worker.life.state() != State::Exited) {
            let Some(message) = self.inbox.recv().await else { break };
            self.receive(message);
            self.publish();
            while self.obituaries.try_join_next().is_some() {}
        }
        while self.obituaries.join_next().await.is_some() {}
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Worker { index, run, event } => {
                if let Some(at) = self.position(index, run) {
                    self.tell(at, event);
                    self.step(at, event);
                }
            }
            Message::Ended { index, run, status } => {
                if let Some(at) = self.position(index, run) {
                    self.bury(at, status);
                }
            }
            Message::Stop(stop) => {
                for at in 0..self.workers.len() {
                    self.step(at, Event::Stop(stop));
                }
            }
        }
    }

    /// The worker that the news is about, unless it is old news.
    fn position(&self, index: usize, run: u64) -> Option<usize> {
        self.workers.iter().position(|worker| worker.index == index && worker.run == run)
    }

    /// Lets the event happen and does what follows; returns the time until the next start, if there will be one.
    fn step(&mut self, at: usize, event: Event) -> Option<Duration> {
        let mut again_in = None;
        for action in self.workers[at].life.step(event, Instant::now(), &mut self.rng) {
            let worker = &mut self.workers[at];
            match action {
                Action::Spawn => self.spawn(at),
                Action::Join => worker.join(&self.pool),
                Action::Drain { until } => worker.drain(until),
                Action::Leave => worker.leave(&self.pool),
                Action::Terminate { grace } => {
                    worker.signal(signal_of(self.blueprint.workers.stop_signal));
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
        let name = Arc::clone(&worker.name);
        match self.blueprint.spawn(worker.index, &mut self.rng) {
            Ok((process, offspring)) => {
                let (pid, address) = (process.pid(), process.address());
                tracing::info!("{name} (pid {pid}) started for {address}");
                worker.mind(process, offspring, &self.blueprint.workers);
            }
            Err(error) => {
                let again_in = seconds(self.step(at, Event::SpawnFailed).unwrap_or_default());
                let reason = format!("{name} could not be started: {error}; trying again in {again_in}");
                tracing::error!("{reason}");
                self.workers[at].reason = Some(reason.into());
            }
        }
    }

    /// Says what is about to happen.
    fn tell(&self, at: usize, event: Event) {
        let worker = &self.workers[at];
        let (name, Some(process)) = (&worker.name, &worker.process) else { return };
        let (pid, lived) = (process.pid(), seconds(process.started().elapsed()));
        match (worker.life.state(), event) {
            (State::Starting, Event::ReadyTimedOut) => {
                let explained = explain(&process.address(), process.group());
                tracing::warn!("{name} (pid {pid}) is not ready after {lived}{explained}: stopping it");
            }
            (State::Ready, Event::SocketGone) => {
                let address = process.address();
                tracing::warn!("{address} of {name} (pid {pid}) was removed, nobody can connect any more: stopping it");
            }
            (State::Draining, Event::Drained) if worker.in_flight() > 0 => {
                let left = worker.in_flight();
                tracing::warn!("{name} (pid {pid}) is stopped with requests in flight: {left}");
            }
            (State::Stopping, Event::StopTimedOut) => {
                let waited = seconds(worker.life.since().elapsed());
                tracing::warn!("{name} (pid {pid}) did not end within {waited}: killing it");
            }
            _ => {}
        }
    }

    /// A process has ended: does what follows and says how it was.
    fn bury(&mut self, at: usize, status: Option<ExitStatus>) {
        let worker = &mut self.workers[at];
        let Some(process) = &mut worker.process else { return };
        let capture = process.take_capture();
        let mut obituary = Obituary {
            name: Arc::clone(&worker.name),
            pid: process.pid(),
            status,
            lived: process.started().elapsed(),
            state: worker.life.state(),
            was_ready: worker.life.ready_since().is_some(),
            ready_timeout: self.blueprint.workers.ready_timeout,
            in_flight: worker.in_flight(),
            again_in: None,
        };
        obituary.again_in = self.step(at, Event::Exited);
        self.workers[at].reason = Some(obituary.sentence().into());
        self.obituaries.spawn(async move {
            let last_lines = match capture {
                Some(capture) => capture.finish().await,
                None => Vec::new(),
            };
            obituary.tell(&last_lines);
        });
    }

    fn publish(&self) {
        let workers: Vec<_> = self.workers.iter().map(WorkerHandle::status).collect();
        self.status.send_if_modified(|status| {
            let changed = status.workers != workers;
            status.workers = workers;
            changed
        });
    }
}
