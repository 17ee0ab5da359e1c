//! What is said of workers, and learned, when they are late or end.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;

use super::Reconciler;
use super::backoff::LIVED_LONG_ENOUGH;
use super::handle::WorkerHandle;
use super::jobs::{Failures, WorkerFailure};
use super::life::Event;
use crate::config::Ready;
use crate::endpoint::EndpointId;
use crate::net::Client;
use crate::pool::{DeathRefusal, Led, Whom};
use crate::shown;
use crate::supervise::event::{EventKind, WorkerEvent};
use crate::supervise::exit_report::{ExitReport, web_sockets};
use crate::supervise::output::lines::Capture;
use crate::supervise::process::oom::OomKills;
use crate::supervise::state::State;

impl Reconciler {
    /// Says what is about to happen.
    pub(super) fn tell(&self, at: usize, event: Event) {
        let worker = &self.workers[at];
        let Some(process) = &worker.process else { return };
        let (name, lived) = (worker.title(), shown::time(process.started().elapsed()));
        match (worker.life.state(), event) {
            (State::Starting, Event::ReadyTimedOut) => {
                let explained = match &worker.not_ready {
                    Some(why) => format!("; {why}"),
                    None if matches!(worker.settings.ready, Ready::Line(_)) && process.is_silent() => SILENT.to_owned(),
                    None => worker.misplaced.clone(),
                };
                tracing::warn!("{name} is not ready after {lived}{explained}: stopping it");
            }
            (State::Ready, Event::SocketGone) => {
                let address = process.address();
                tracing::warn!(
                    "{address} of {name} was removed, so clients cannot connect: stopping {name}, to start it again"
                );
            }
            (State::Draining, Event::Drained) if worker.tunnels() > 0 && worker.in_flight() <= worker.tunnels() => {
                tracing::info!("{name} is told to stop with {} open", web_sockets(worker.tunnels()));
            }
            (State::Draining, Event::Drained) if worker.in_flight() > 0 => {
                tracing::warn!("{name} is stopped with requests in flight: {}", worker.in_flight());
            }
            (State::Stopping, Event::StopTimedOut) => {
                let waited = shown::time(worker.life.since().elapsed());
                tracing::warn!("{name} did not end within {waited}: killing it");
            }
            _ => {}
        }
    }

    /// Says that requests to it would go to somebody else.
    pub(super) fn tell_taken(&self, at: usize, who: &str) {
        let worker = &self.workers[at];
        if let (Some(process), State::Ready) = (&worker.process, worker.life.state()) {
            let (name, address) = (worker.title(), process.address());
            tracing::warn!(
                "{who} listens on {address} and is no process of {name}, which does not listen there any more: {name} gets no more \
                 requests and is stopped, to start it again"
            );
        }
    }

    /// A process has ended: does what follows and says how it was.
    pub(super) fn record_exit(&mut self, at: usize, status: Option<ExitStatus>) {
        let worker = &mut self.workers[at];
        let Some((mut report, capture)) = report(worker, status, &mut self.oom_kills) else { return };
        let (id, index, on_trial) = (worker.id, worker.index, worker.life.on_trial());
        let is_young = worker.life.ready_since().is_some_and(|since| since.elapsed() < LIVED_LONG_ENOUGH);
        let endpoint = worker.endpoint_id();
        let has_finished = status.is_some_and(|status| status.success());
        report.again_in = self.step(at, if has_finished { Event::Finished } else { Event::Exited });
        let worker = &mut self.workers[at];
        report.finished = has_finished && worker.has_finished();
        worker.proven |= report.finished;
        self.judge_requests(at, endpoint, &report);
        let sentence = report.sentence();
        let worker = &mut self.workers[at];
        worker.reason = Some(sentence.as_str().into());
        let mut failures = Failures::default();
        let old_stays = self.has_old(index);
        if report.was_wanted && !report.finished {
            self.workers[at].count_restart(report.restart_reason(), &report.briefly());
            failures = match (on_trial, report.state) {
                (false, _) if is_young => self.replaced_died(index),
                (false, _) => failures,
                (true, State::Stopping) => self.trial_failed(index),
                (true, _) => self.trial_died(index),
            };
            self.jobs.fail_scaling(id, &mut failures);
        }
        let failure =
            WorkerFailure { worker: Arc::clone(&report.name), reason: sentence, how: report.how(), old_stays };
        self.keep(&failures, &failure, at);
        let kind = if report.is_expected() { EventKind::Stopped } else { EventKind::Died };
        let events = Arc::clone(&self.blueprint.surroundings.events);
        let mut event = self.event(at, kind, String::new());
        event.pid = Some(report.pid);
        let (before, told) = self.follows();
        self.exits.spawn(async move {
            let last_lines = match capture {
                Some(capture) => capture.finish().await,
                None => Vec::new(),
            };
            after(before).await;
            let _told = told;
            event.text = report.tell(&last_lines);
            events(&event);
            failures.give(failure, &last_lines);
        });
    }

    /// Says of workers that should be ready, and say that they are not, what they say.
    pub(super) fn tell_late(&mut self) {
        for at in 0..self.workers.len() {
            let status = self.workers[at].status();
            let is_told = self.workers[at].told_late == self.workers[at].run;
            if let Some(text) =
                status.late(Instant::now().into_std()).filter(|_| !is_told && status.not_ready.is_some())
            {
                self.workers[at].told_late = self.workers[at].run;
                tracing::warn!("{text}");
                self.emit(at, EventKind::NotReady, text);
            }
        }
    }

    /// Those that its workers are started after are not ready: a pool that waits for ever serves nobody.
    pub(super) fn waited_in_vain(&self, after: &[String], patience: Duration) {
        let (names, waited) = (after.join(", "), shown::time(patience));
        let text = format!(
            "those of {names} are not ready within {waited} (after_timeout): its workers are started all the same"
        );
        tracing::warn!("{}: {text}", self.pool.name());
        self.emit_of_pool(EventKind::Waits, text);
    }

    /// What was in flight when a worker died may be why.
    pub(super) fn judge_requests(&self, at: usize, endpoint: Option<EndpointId>, report: &ExitReport) {
        if !report.was_ready || report.state == State::Stopping {
            return;
        }
        let deaths_max = self.workers[at].settings.query_of_death;
        let Some(endpoint) = endpoint else { return };
        let named = format!("{} (pid {})", report.name, report.pid);
        for refusal in self.pool.worker_died(endpoint, &named, &report.requests, deaths_max) {
            let text = refused(&refusal);
            tracing::error!("{text}");
            self.emit(at, EventKind::QueryOfDeath, text);
        }
    }

    /// A new release, or new settings, may have mended what workers died of.
    pub(super) fn forget_deaths(&self) {
        if self.pool.forget_deaths() {
            let text = "what was refused because workers died of it is allowed again: they are others now";
            self.note(EventKind::QueryOfDeath, text.to_owned());
        }
    }

    /// Logs and emits something about a worker.
    ///
    /// What is said of a death waits for the last output of the worker. What happens meanwhile is said behind it: that another was
    /// started, above all.
    pub(super) fn announce(&mut self, at: usize, kind: EventKind, text: String) {
        // One that has said its word may not be asked again.
        let is_untold = |untold: &mut oneshot::Receiver<()>| matches!(untold.try_recv(), Err(TryRecvError::Empty));
        if self.untold.take_if(|untold| !is_untold(untold)).is_some() || self.untold.is_none() {
            tracing::info!("{text}");
            return self.emit(at, kind, text);
        }
        let (event, events) = (self.event(at, kind, text), Arc::clone(&self.blueprint.surroundings.events));
        let (before, told) = self.follows();
        self.exits.spawn(async move {
            after(before).await;
            let _told = told;
            tracing::info!("{}", event.text);
            events(&event);
        });
    }

    /// What is to be told before the next, and what is dropped when that is told.
    fn follows(&mut self) -> (Option<oneshot::Receiver<()>>, oneshot::Sender<()>) {
        let (told, untold) = oneshot::channel();
        (self.untold.replace(untold), told)
    }

    /// Logs and emits something about all workers.
    pub(super) fn note(&self, kind: EventKind, text: String) {
        tracing::info!("{}: {text}", self.pool.name());
        self.emit_of_pool(kind, text);
    }

    fn emit_of_pool(&self, kind: EventKind, text: String) {
        let pool = self.pool.name();
        let event = WorkerEvent { pool: Arc::clone(pool), worker: Arc::clone(pool), pid: None, kind, text };
        (self.blueprint.surroundings.events)(&event);
    }

    pub(super) fn emit(&self, at: usize, kind: EventKind, text: String) {
        (self.blueprint.surroundings.events)(&self.event(at, kind, text));
    }

    pub(super) fn event(&self, at: usize, kind: EventKind, text: String) -> WorkerEvent {
        let worker = &self.workers[at];
        let (pool, name) = (Arc::clone(self.pool.name()), Arc::clone(&worker.name));
        WorkerEvent { pool, worker: name, pid: worker.pid(), kind, text }
    }
}

/// What there is to say of the end of a worker's process, before anything follows from it; and the readers of its output.
fn report(
    worker: &mut WorkerHandle,
    status: Option<ExitStatus>,
    oom_kills: &mut OomKills,
) -> Option<(ExitReport, Option<Capture>)> {
    let process = worker.process.as_mut()?;
    let capture = process.take_capture();
    let killed = status.is_some_and(|status| status.signal() == Some(Signal::SIGKILL as i32));
    let oom = if killed { oom_kills.was_just_now(Instant::now()) } else { None };
    let report = ExitReport {
        name: Arc::clone(&worker.name),
        pid: process.pid(),
        status,
        lived: process.started().elapsed(),
        state: worker.life.state(),
        was_wanted: !worker.life.is_leaving(),
        was_ready: worker.life.ready_since().is_some(),
        ready_timeout: worker.settings.ready_timeout,
        not_ready: worker.not_ready.take(),
        hung: worker.hung,
        left_behind: process.kin().others(),
        oom: oom == Some(true) && worker.life.state() != State::Stopping,
        oom_unknown: killed && oom.is_none() && worker.life.state() != State::Stopping,
        rss_bytes: worker.usage.rss_bytes,
        looked_at: worker.looked_at(),
        finished: false,
        in_flight: worker.in_flight(),
        requests: worker.requests(),
        at: Instant::now().into_std(),
        again_in: None,
    };
    Some((report, capture))
}

/// Returns when that is told.
async fn after(before: Option<oneshot::Receiver<()>>) {
    if let Some(before) = before {
        // Nothing is sent: its end says it.
        let _ = before.await;
    }
}

/// `POST /a was in flight when workers died, 3 times within a minute (app.1 (pid 7) 4.1 s ago, client 192.0.2.7, id 3f…; …): it is
/// answered 503 for a minute for client 192.0.2.7`.
fn refused(refusal: &DeathRefusal) -> String {
    let DeathRefusal { method, path, whom, deaths } = refusal;
    let client = |one: Option<Client>| {
        one.map_or_else(|| "clients without an address".to_owned(), |one| format!("client {one}"))
    };
    let led = |death: &Led| {
        let (ago, id) = (shown::time(death.ago), String::from_utf8_lossy(&death.id));
        format!("{} {ago} ago, {}, id {id}", death.worker, client(death.client))
    };
    let mut told: Vec<String> = deaths.iter().rev().take(TOLD_MAX).rev().map(led).collect();
    if deaths.len() > told.len() {
        told.insert(0, format!("{} before them", deaths.len() - told.len()));
    }
    let whom = match whom {
        Whom::Client(one) => client(*one),
        Whom::Spellings(one) => format!("client {one}, with every other spelling of the path and others like it"),
        Whom::Everybody => "every client: different clients had sent it, and none was answered in between".to_owned(),
    };
    let (count, told) = (deaths.len(), told.join("; "));
    format!(
        "{method} {path} was in flight when workers died, {count} times within a minute ({told}): it is answered 503 for a minute \
         for {whom}"
    )
}

/// Deaths that are named in one line.
const TOLD_MAX: usize = 10;
const SILENT: &str =
    "; it has printed nothing; a program may hold back what it prints into a pipe (flush it, or run it by stdbuf -oL)";
