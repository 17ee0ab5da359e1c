//! Signals as orders; one loop acts on them.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// TERM, INT or QUIT: drain and stop; a second time: stop now.
    Stop(&'static str),
    /// HUP.
    Reload,
    /// USR1: open log files again.
    Reopen,
}

/// The signals we act on.
#[derive(Debug)]
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    usr1: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
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
        }
    }

    /// Returns at the next order to stop.
    pub(super) async fn stop(&mut self) {
        while !matches!(self.next().await, Order::Stop(_)) {}
    }
}
