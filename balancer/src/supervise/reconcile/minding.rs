//! What is waited for in one run of a worker: that it can serve, and that it can serve no longer.
//!
//! Decides which message follows. Its futures are tasks of `handle`, which end with the run. Never changes anything.

use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Pid;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::life::Event;
use super::message::Message;
use crate::config::{Address, MayListen, Ready, Workers};
use crate::net::Encryption;
use crate::share::Taker;
use crate::shown;
use crate::supervise::place::unready::{explain, tell_misplaced};
use crate::supervise::place::whose::{until_own, until_taken};
use crate::supervise::process::kin::Kin;
use crate::supervise::ready::{LastAnswer, Shown, until_gone, until_ready};
use crate::supervise::run::Process;
use crate::supervise::taking::until_taking;
use crate::supervise::warm_up::warm_up;

/// One run of a worker.
#[derive(Debug, Clone)]
pub(super) struct Minding {
    /// The worker's number and that of the run.
    id: u64,
    run: u64,
    /// `app.2 (pid 4711)`.
    title: String,
    address: Address,
    /// How it is spoken to.
    encryption: Encryption,
    group: Pid,
    kin: Kin,
    line_seen: Arc<Notify>,
    /// Where connections do not pass through us.
    taker: Option<Arc<Taker>>,
    settings: Arc<Workers>,
    /// Whether it is ready, as it says.
    last: LastAnswer,
    outbox: mpsc::Sender<Message>,
}

impl Minding {
    /// Of the run that `process` is.
    pub(super) fn new(
        (id, run): (u64, u64),
        name: &str,
        (process, encryption): (&Process, Encryption),
        settings: Arc<Workers>,
        (last, outbox): (LastAnswer, mpsc::Sender<Message>),
    ) -> Self {
        Self {
            id,
            run,
            title: format!("{name} (pid {})", process.pid()),
            address: process.address(),
            encryption,
            group: process.group(),
            kin: process.kin().clone(),
            line_seen: process.line_seen(),
            taker: process.taker().cloned(),
            settings,
            last,
            outbox,
        }
    }

    /// Says where it listens, if that is not where it was told. `first`: of many that are the same it is said more of one.
    pub(super) async fn tell_misplaced(self, first: bool) {
        // What needs no place is told none.
        if !matches!(self.settings.ready, Ready::Alive(_)) {
            tell_misplaced(self.title, self.address, self.group, first, self.settings.ready_timeout).await;
        }
    }

    /// Reports that it is ready, or not in time; then, once that is so, that nobody can reach it any more.
    pub(super) async fn watch(self) {
        let Self { id, run, .. } = self;
        let last = self.last.clone();
        let message = match timeout(ready_within(&self.settings), self.becomes_ready(&last)).await {
            Ok(Ok(())) => Message::Worker { id, run, event: Event::BecameReady },
            Ok(Err(why)) => Message::NotReady { id, run, why: Some(why), place: String::new() },
            Err(_) => {
                let why = last.take();
                let place = if why.is_none() { explain(&self.address, self.group).await } else { String::new() };
                Message::NotReady { id, run, why, place }
            }
        };
        let is_ready = matches!(message, Message::Worker { .. });
        // Sending fails only when the loop is gone.
        let _ = self.outbox.send(message).await;
        if is_ready && let Some(message) = self.becomes_unreachable().await {
            let _ = self.outbox.send(message).await;
        }
    }

    /// Returns once it can serve and is warm.
    ///
    /// # Errors
    /// Why it is not warm.
    async fn becomes_ready(&self, last: &LastAnswer) -> Result<(), String> {
        let (settings, title, address) = (&self.settings, &self.title, &self.address);
        if let Some(taker) = &self.taker {
            until_taking(taker, settings, address, (&self.kin, &self.line_seen, last)).await;
            return Ok(());
        }
        let by_line = matches!(settings.ready, Ready::Line(_));
        let shown = loop {
            let place = (address, &self.encryption);
            let shown = until_ready(&settings.ready, place, &self.line_seen, self.patience(), last).await;
            // Whoever has answered before was somebody else; a line is printed once.
            if !self.asks_whose() || until_own(title, address, &self.kin, (by_line, last)).await || by_line {
                break shown;
            }
        };
        if let Shown::OnlyAccepts(time) = shown {
            tracing::warn!(
                "{title} accepts connections, but answered no request within {}; it is taken as ready. Write \
                 ready = {{ connect = true }} where a connection is enough",
                shown::time(time)
            );
        }
        match &settings.warm_up {
            Some(requests) => warm_up(requests, address, &self.encryption).await,
            None => Ok(()),
        }
    }

    /// What there is to report once its socket is gone or somebody else has its port; `None` where nobody looks.
    async fn becomes_unreachable(&self) -> Option<Message> {
        let Self { id, run, .. } = *self;
        match &self.address {
            Address::Unix(path) => {
                until_gone(path).await;
                Some(Message::Worker { id, run, event: Event::SocketGone })
            }
            Address::Tcp { .. } if self.asks_whose() => {
                let who = until_taken(&self.title, &self.address, &self.kin).await;
                Some(Message::Taken { id, run, who })
            }
            Address::Tcp { .. } => None,
        }
    }

    /// Whether the listener at its port has to be its own.
    fn asks_whose(&self) -> bool {
        self.settings.serves() && self.settings.listener == MayListen::Own
    }

    /// For how long a worker that only accepts connections is asked for an answer.
    fn patience(&self) -> Duration {
        self.settings.ready_timeout / 3
    }
}

/// How long a worker has to become ready.
pub(super) fn ready_within(settings: &Workers) -> Duration {
    match settings.ready {
        Ready::Alive(time) => time + settings.ready_timeout,
        _ => settings.ready_timeout,
    }
}
