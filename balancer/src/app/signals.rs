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
    usr1: Signal,
}

impl Signals {
    pub(super) fn new(asked: Receiver<Asked>) -> io::Result<Self> {
        Ok(Self {
            asked,
            waiting: Vec::new(),
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
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

/// In the first whoever waits takes the news, and writes in the same or in the next.
const TURNS: usize = 4;
