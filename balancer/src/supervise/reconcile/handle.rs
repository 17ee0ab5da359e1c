//! The supervisor's record of one worker.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::backoff::RestartDelay;
use super::life::{Event, Life, Pause};
use super::message::Message;
use super::minding::Minding;
use super::recycle::RecycleLimits;
use crate::config::Workers;
use crate::endpoint::Endpoint;
use crate::net::Encryption;
use crate::pool::Pool;
use crate::shown;
use crate::supervise::output::lines::Latest;
use crate::supervise::process::usage::Meter;
use crate::supervise::ready::LastAnswer;
use crate::supervise::run::{Offspring, Process};
use crate::supervise::status::{LastEnd, RestartReason, Usage};

/// One worker: its life, and what the present run of it has.
#[derive(Debug)]
pub(super) struct WorkerHandle {
    /// `app.2`.
    pub(super) name: Arc<str>,
    /// From 1.
    pub(super) index: usize,
    /// Its number, never used twice in a pool.
    pub(super) id: u64,
    /// The settings it was last started with, or would be.
    pub(super) settings: Arc<Workers>,
    /// Where it is in its life.
    pub(super) life: Life,
    /// Why it is to be replaced, if it is.
    pub(super) stale: Option<RestartReason>,
    /// Whether it has been ready for long enough to be trusted.
    pub(super) proven: bool,
    /// Counts the rolls before this run of it began; it stays where the settings have gone back to what they were before one.
    pub(super) generation: u64,
    /// What its process group uses.
    pub(super) usage: Usage,
    /// CPU time of those that were at its place before this run.
    pub(super) cpu_seconds_before: f64,
    pub(super) meter: Meter,
    /// What this run of it may use up.
    limits: RecycleLimits,
    /// What it has used up.
    pub(super) over: Option<RestartReason>,
    /// Whether it has not answered a request in time.
    pub(super) hung: bool,
    /// Not recycled before: its last replacement failed.
    pub(super) recycle_after: Option<Instant>,
    /// Why it is not ready, where that is known better than by the time it took.
    pub(super) not_ready: Option<String>,
    /// What it has answered to the question whether it is ready.
    pub(super) last_answer: LastAnswer,
    /// The run of which it was told that it is late.
    pub(super) told_late: u64,
    /// What is wrong with where it listens, if anything; begins with a semicolon.
    pub(super) misplaced: String,
    /// How often a worker of its index was started again.
    pub(super) restarts: u64,
    /// The same and replacements, by why.
    pub(super) restart_reasons: BTreeMap<RestartReason, u64>,
    /// Counts its starts, failed ones too.
    pub(super) run: u64,
    /// Its process, if it has one.
    pub(super) process: Option<Process>,
    /// Why it ended or could not be started the last time.
    pub(super) reason: Option<Arc<str>>,
    pub(super) last_end: Option<LastEnd>,
    /// What this run prints last.
    latest: Latest,
    /// The last line of the run before, or of the worker before.
    pub(super) line_before: Option<Arc<str>>,
    /// When it is started again, while it waits for that.
    pub(super) next_start: Option<Instant>,
    /// Until when its requests, and until when its tunnels may go on, once it drains.
    pub(super) drained_by: Option<(Instant, Instant)>,
    /// Its endpoint, once it was ready.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    /// Wait for this run's end and readiness.
    minders: JoinSet<()>,
    /// Waits for what the present state waits for; one at a time.
    timer: JoinSet<()>,
    outbox: mpsc::Sender<Message>,
}

impl WorkerHandle {
    /// Of a worker that was never started; it may be on trial, or come after one that hung.
    pub(super) fn new(
        name: String,
        (id, index): (u64, usize),
        settings: Arc<Workers>,
        (on_trial, pause): (bool, Option<Pause>),
        outbox: mpsc::Sender<Message>,
    ) -> Self {
        let again = (RestartDelay::new(&settings.backoff), settings.restart);
        let life = Life::new(on_trial, settings.stop_timeout, again, Instant::now());
        Self {
            name: name.into(),
            index,
            id,
            settings,
            life: match pause {
                Some(pause) => life.after(pause),
                None => life,
            },
            stale: None,
            proven: false,
            usage: Usage::default(),
            cpu_seconds_before: 0.0,
            meter: Meter::default(),
            generation: 0,
            limits: RecycleLimits::default(),
            over: None,
            hung: false,
            recycle_after: None,
            not_ready: None,
            last_answer: LastAnswer::default(),
            told_late: 0,
            misplaced: String::new(),
            restarts: 0,
            restart_reasons: BTreeMap::new(),
            run: 0,
            process: None,
            reason: None,
            last_end: None,
            latest: Latest::default(),
            line_before: None,
            next_start: None,
            drained_by: None,
            endpoint: None,
            minders: JoinSet::new(),
            timer: JoinSet::new(),
            outbox,
        }
    }

    /// The last line that it, or the one before it, has printed.
    pub(super) fn last_line(&self) -> Option<Arc<str>> {
        self.latest.line().or_else(|| self.line_before.clone())
    }

    /// What it prints last, also once it has ended.
    pub(super) fn latest(&self) -> Latest {
        self.latest.clone()
    }

    /// A new run begins with this process; its end and its readiness will be reported.
    pub(super) fn mind(
        &mut self,
        (process, encryption): (Process, Encryption),
        offspring: Offspring,
        limits: RecycleLimits,
    ) {
        let (id, run, outbox) = (self.id, self.run, self.outbox.clone());
        self.last_answer = LastAnswer::default();
        let telling = (self.last_answer.clone(), outbox.clone());
        let minding = Minding::new((id, run), &self.name, (&process, encryption), Arc::clone(&self.settings), telling);
        self.minders = JoinSet::new();
        self.minders.spawn(minding.clone().tell_misplaced(self.index == 1));
        self.minders.spawn(async move {
            let status = offspring.ended().await;
            // Sending fails only when the loop is gone.
            let _ = outbox.send(Message::Ended { id, run, status }).await;
        });
        self.minders.spawn(minding.watch());
        (self.endpoint, self.drained_by) = (None, None);
        self.proven = false;
        self.line_before = self.last_line();
        self.latest = process.latest();
        self.cpu_seconds_before += self.usage.cpu_seconds;
        (self.usage, self.meter) = (Usage::default(), Meter::default());
        (self.limits, self.over, self.not_ready) = (limits, None, None);
        self.process = Some(process);
    }

    /// Its endpoint becomes a member of the pool; returns the sentence to be said, only now, for whoever reads it may send a
    /// request.
    pub(super) fn join(&mut self, pool: &Pool, trial: Duration) -> Option<String> {
        let process = self.process.as_ref()?;
        let (address, taker) = (process.address(), process.taker().cloned());
        let (name, pid, lived) = (Arc::clone(&self.name), process.pid(), shown::time(process.started().elapsed()));
        self.set_timer(sleep(trial), Event::Proven);
        if let Some(taker) = taker {
            taker.join();
            return Some(format!("{name} (pid {pid}) takes connections of {address}, ready after {lived}"));
        }
        if !self.settings.ready.serves() {
            return Some(format!("{name} (pid {pid}) has run for {lived}; it is taken as ready"));
        }
        let endpoint = Endpoint::of_worker(self.name.as_ref().to_owned(), address.clone(), self.limits.requests);
        self.endpoint = Some(Arc::clone(&endpoint));
        let (id, run, outbox, watched) = (self.id, self.run, self.outbox.clone(), Arc::clone(&endpoint));
        self.minders.spawn(async move {
            loop {
                let alarm = watched.alarmed().await;
                let _ = outbox.send(Message::Alarm { id, run, alarm }).await;
            }
        });
        pool.add(endpoint, BEHIND_FIXED_ENDPOINTS + self.index);
        Some(format!("{name} (pid {pid}) is ready at {address} after {lived}"))
    }

    /// Its endpoint takes no new request; reports when it has none, or at `until`.
    ///
    /// Tunnels may go on for `tunnels` at most: whoever is told to stop says good-bye on them, and whoever is cut off does not.
    pub(super) fn drain(&mut self, until: Instant, tunnels: Duration) {
        let tunnels_until = until.min(Instant::now() + tunnels);
        self.drained_by = Some((until, tunnels_until));
        self.take_no_more();
        let endpoint = self.endpoint.clone();
        if let Some(endpoint) = &endpoint {
            endpoint.drain();
        }
        let drained = async move {
            if let Some(endpoint) = endpoint {
                // Either way it is time for the signal.
                let _ = timeout_at(until, endpoint.drained_but_for_tunnels()).await;
                let _ = timeout_at(tunnels_until, endpoint.drained()).await;
            }
        };
        self.set_timer(drained, Event::Drained);
    }

    /// Its endpoint, if it has one, is no member any more.
    pub(super) fn leave(&self, pool: &Pool) {
        self.take_no_more();
        if let Some(endpoint) = &self.endpoint {
            endpoint.drain();
            pool.remove(endpoint.id());
        }
    }

    /// It is handed no connection any more, where it is us who hand them over.
    fn take_no_more(&self) {
        if let Some(taker) = self.process.as_ref().and_then(Process::taker) {
            taker.leave();
        }
    }

    /// Sends a signal to its process group.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Reports that end again when there are no others any more; meanwhile its time to stop runs on.
    pub(super) fn await_kin(&mut self, status: Option<ExitStatus>) {
        let Some(kin) = self.process.as_ref().map(|process| process.kin().clone()) else { return };
        let (id, run, outbox) = (self.id, self.run, self.outbox.clone());
        self.minders.spawn(async move {
            while kin.is_alive() {
                sleep(KIN_EVERY).await;
            }
            let _ = outbox.send(Message::Ended { id, run, status }).await;
        });
    }

    /// Ends the run: nothing of it is waited for any more, and none of its processes is left once the future is done.
    pub(super) fn sweep(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        self.minders = JoinSet::new();
        self.timer = JoinSet::new();
        self.process.take().map(Process::sweep)
    }

    /// Reports `event` when `wait` is over, instead of what the last timer would have reported.
    pub(super) fn set_timer(&mut self, wait: impl Future<Output = ()> + Send + 'static, event: Event) {
        let (id, run, outbox) = (self.id, self.run, self.outbox.clone());
        self.timer = JoinSet::new();
        self.timer.spawn(async move {
            wait.await;
            let _ = outbox.send(Message::Worker { id, run, event }).await;
        });
    }

    /// Looks at what it uses, and whether that is too much.
    pub(super) fn sample(&mut self, now: Instant) {
        let Some(process) = &self.process else { return };
        self.usage = self.meter.read(process.group(), now.into_std());
        let age = now.saturating_duration_since(process.started());
        self.over = self.over.or_else(|| self.limits.exceeded(age, self.usage.rss_bytes));
    }
}

/// Between two looks whether a worker's last process has ended.
const KIN_EVERY: Duration = Duration::from_millis(20);
/// Position of a pool's workers among its members: behind its fixed endpoints.
const BEHIND_FIXED_ENDPOINTS: usize = 1_000;
