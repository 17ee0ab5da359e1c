//! The supervisor's record of one worker.

use std::sync::Arc;

use nix::sys::signal::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::life::{Event, Life};
use super::obituary::seconds;
use super::ready::{until_gone, until_ready};
use super::reconcile::Message;
use super::spawn::{Offspring, Process};
use super::status::WorkerStatus;
use crate::config::{Address, Workers};
use crate::endpoint::Endpoint;
use crate::pool::Pool;

/// One worker: its life, and what the present run of it has.
#[derive(Debug)]
pub(super) struct WorkerHandle {
    /// `app.2`.
    pub(super) name: Arc<str>,
    /// From 1.
    pub(super) index: usize,
    /// Where it is in its life.
    pub(super) life: Life,
    /// Counts its starts, failed ones too.
    pub(super) run: u64,
    /// Its process, if it has one.
    pub(super) process: Option<Process>,
    /// Why it ended or could not be started the last time.
    pub(super) reason: Option<Arc<str>>,
    /// Its endpoint, once it was ready.
    endpoint: Option<Arc<Endpoint>>,
    /// Wait for this run's end and readiness.
    minders: JoinSet<()>,
    /// Waits for what the present state waits for; one at a time.
    timer: JoinSet<()>,
    outbox: mpsc::Sender<Message>,
}

impl WorkerHandle {
    /// Of a worker that was never started.
    pub(super) fn new(name: String, index: usize, life: Life, outbox: mpsc::Sender<Message>) -> Self {
        Self {
            name: name.into(),
            index,
            life,
            run: 0,
            process: None,
            reason: None,
            endpoint: None,
            minders: JoinSet::new(),
            timer: JoinSet::new(),
            outbox,
        }
    }

    /// A new run begins with this process; its end and its readiness will be reported.
    pub(super) fn mind(&mut self, process: Process, offspring: Offspring, workers: &Workers) {
        let (index, run, outbox) = (self.index, self.run, self.outbox.clone());
        self.minders = JoinSet::new();
        self.minders.spawn(async move {
            let status = offspring.ended().await;
            // Sending fails only when the loop is gone.
            let _ = outbox.send(Message::Ended { index, run, status }).await;
        });
        let (address, line_seen, outbox) = (process.address(), process.line_seen(), self.outbox.clone());
        let (ready, limit) = (workers.ready.clone(), workers.ready_timeout);
        self.minders.spawn(async move {
            let event = match timeout(limit, until_ready(&ready, &address, &line_seen)).await {
                Ok(()) => Event::BecameReady,
                Err(_) => Event::ReadyTimedOut,
            };
            let _ = outbox.send(Message::Worker { index, run, event }).await;
            if let (Address::Unix(path), Event::BecameReady) = (address, event) {
                until_gone(&path).await;
                let _ = outbox.send(Message::Worker { index, run, event: Event::SocketGone }).await;
            }
        });
        self.endpoint = None;
        self.process = Some(process);
    }

    /// Its endpoint becomes a member of the pool; said only afterwards, for whoever reads it may send a request.
    pub(super) fn join(&mut self, pool: &Pool) {
        let Some(process) = &self.process else { return };
        let address = process.address();
        let endpoint = Endpoint::new(self.name.as_ref().to_owned(), address.clone(), 1, false);
        self.endpoint = Some(Arc::clone(&endpoint));
        pool.add(endpoint, BEHIND_FIXED_ENDPOINTS + self.index);
        let (name, pid, lived) = (&self.name, process.pid(), seconds(process.started().elapsed()));
        tracing::info!("{name} (pid {pid}) is ready at {address} after {lived}");
    }

    /// Its endpoint takes no new request; reports when it has none, or at `until`.
    pub(super) fn drain(&mut self, until: Instant) {
        let endpoint = self.endpoint.clone();
        if let Some(endpoint) = &endpoint {
            endpoint.drain();
        }
        let drained = async move {
            if let Some(endpoint) = endpoint {
                // Either way it is time for the signal.
                let _ = timeout_at(until, endpoint.drained()).await;
            }
        };
        self.set_timer(drained, Event::Drained);
    }

    /// Its endpoint, if it has one, is no member any more.
    pub(super) fn leave(&self, pool: &Pool) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.drain();
            pool.remove(endpoint.id());
        }
    }

    /// Sends a signal to its process group.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Ends the run: nothing of it is waited for, and nothing of its group is left.
    pub(super) fn sweep(&mut self) {
        self.minders = JoinSet::new();
        self.timer = JoinSet::new();
        if let Some(process) = self.process.take() {
            process.sweep();
        }
    }

    /// Reports `event` when `wait` is over, instead of what the last timer would have reported.
    pub(super) fn set_timer(&mut self, wait: impl Future<Output = ()> + Send + 'static, event: Event) {
        let (index, run, outbox) = (self.index, self.run, self.outbox.clone());
        self.timer = JoinSet::new();
        self.timer.spawn(async move {
            wait.await;
            let _ = outbox.send(Message::Worker { index, run, event }).await;
        });
    }

    /// Requests on it.
    pub(super) fn in_flight(&self) -> usize {
        self.endpoint.as_ref().map_or(0, |endpoint| endpoint.in_flight())
    }

    /// What is to be seen of it.
    pub(super) fn status(&self) -> WorkerStatus {
        WorkerStatus {
            index: self.index,
            state: self.life.state(),
            since: self.life.since().into_std(),
            pid: self.process.as_ref().map(Process::pid),
            address: self.process.as_ref().map(Process::address),
            restarts: self.run.saturating_sub(1),
            reason: self.reason.clone(),
        }
    }
}

/// Position of a pool's workers among its members: behind its fixed endpoints.
const BEHIND_FIXED_ENDPOINTS: usize = 1_000;
