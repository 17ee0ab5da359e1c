//! Signals and orders of admin clients, in one place; one loop acts on them.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;

use crate::admin::{AdminAction, AdminOrder, Outcome, Reporter};

/// What is asked for.
#[derive(Debug)]
pub(super) enum ControlOrder {
    /// TERM, INT or QUIT: drain and stop; a second time: stop now.
    Stop(&'static str),
    /// What an admin client asks for.
    Asked(AdminOrder),
    /// HUP.
    Reload,
    /// USR1: open log files again.
    Reopen,
}

/// The signals we act on, and who else may ask.
#[derive(Debug)]
pub(super) struct Signals {
    asked: Receiver<AdminOrder>,
    /// Who asked to stop: told of the end by the end of the connection, so they are kept until then.
    waiting: Vec<Reporter>,
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    /// Whoever started us wants us to outlive the terminal (nohup).
    hup_ignored: bool,
    usr1: Signal,
}

impl Signals {
    pub(super) fn new(asked: Receiver<AdminOrder>) -> io::Result<Self> {
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
    pub(super) async fn next(&mut self) -> ControlOrder {
        tokio::select! {
            _ = self.term.recv() => ControlOrder::Stop("TERM"),
            _ = self.int.recv() => ControlOrder::Stop("INT"),
            _ = self.quit.recv() => ControlOrder::Stop("QUIT"),
            _ = self.hup.recv() => ControlOrder::Reload,
            _ = self.usr1.recv() => ControlOrder::Reopen,
            Some(asked) = self.asked.recv() => ControlOrder::Asked(asked),
        }
    }

    /// Whether HUP was ignored when we started.
    pub(super) fn hup_ignored(&self) -> bool {
        self.hup_ignored
    }

    /// Keeps somebody waiting until the end.
    pub(super) async fn keep(&mut self, reporter: Reporter) {
        reporter.progress("stopping: requests in flight finish, then the workers end");
        self.waiting.push(reporter);
        // The end may be near: the answer has to have begun by then.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }

    /// Returns at the next order to stop, and refuses everything else: it is stopping already.
    pub(super) async fn stop(&mut self) {
        loop {
            match self.next().await {
                ControlOrder::Stop(_) => return,
                ControlOrder::Reload => tracing::warn!("no reload: stopping"),
                ControlOrder::Reopen => {}
                ControlOrder::Asked(AdminOrder { action: AdminAction::Stop { now }, reporter }) => {
                    self.keep(reporter).await;
                    if now {
                        return;
                    }
                }
                ControlOrder::Asked(AdminOrder { reporter, .. }) => reporter.done(Outcome::failed("it is stopping")),
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
