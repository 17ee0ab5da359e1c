//! Signals and orders of admin clients, in one place; one loop acts on them.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;

use crate::admin::{Action, Order as Asked, Outcome, Teller};

/// What is asked for.
#[derive(Debug)]
pub(super) enum Order {
    /// TERM, INT or QUIT: drain and stop; a second time: stop now.
    Stop(&'static str),
    /// What an admin client asks for.
    Asked(Asked),
    /// HUP.
    Reload,
    /// USR1: open log files again.
    Reopen,
}

/// The signals we act on, and who else may ask.
#[derive(Debug)]
pub(super) struct Signals {
    asked: Receiver<Asked>,
    /// Who asked to stop: told of the end by the end of the connection, so they are kept until then.
    waiting: Vec<Teller>,
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    /// Whoever started us wants us to outlive the terminal (nohup).
    hup_ignored: bool,
    usr1: Signal,
}

impl Signals {
    pub(super) fn new(asked: Receiver<Asked>) -> io::Result<Self> {
        // Before we take it over.
        let hup_ignored = hup_is_ignored();
        Ok(Self {
            asked,
            waiting: Vec::new(),
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
            hup_ignored,
            usr1: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next order.
    pub(super) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.term.recv() => Order::Stop("TERM"),
            _ = self.int.recv() => Order::Stop("INT"),
            _ = self.quit.recv() => Order::Stop("QUIT"),
            _ = self.hup.recv() => Order::Reload,
            _ = self.usr1.recv() => Order::Reopen,
            Some(asked) = self.asked.recv() => Order::Asked(asked),
        }
    }

    /// Whether HUP was ignored when we started.
    pub(super) fn hup_ignored(&self) -> bool {
        self.hup_ignored
    }

    /// Keeps somebody waiting until the end.
    pub(super) async fn keep(&mut self, teller: Teller) {
        teller.progress("stopping: requests in flight finish, then the workers end");
        self.waiting.push(teller);
        // The end may be near: the answer has to have begun by then.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }

    /// Returns at the next order to stop, and refuses everything else: it is stopping already.
    pub(super) async fn stop(&mut self) {
        loop {
            match self.next().await {
                Order::Stop(_) => return,
                Order::Reload => tracing::warn!("no reload: stopping"),
                Order::Reopen => {}
                Order::Asked(Asked { action: Action::Stop { now }, teller }) => {
                    self.keep(teller).await;
                    if now {
                        return;
                    }
                }
                Order::Asked(Asked { teller, .. }) => teller.done(Outcome::failed("it is stopping")),
            }
        }
    }
}

/// Whether SIGHUP is ignored, from `SigIgn` of proc_pid_status(5): a mask in which it is the first.
fn hup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 != 0)
}

/// In the first whoever waits takes the news, and writes in the same or in the next.
const TURNS: usize = 4;
