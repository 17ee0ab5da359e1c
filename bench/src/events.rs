//! The one place where this program waits.
//!
//! Decides when a wait is over: a child ended, a signal came, the time is up. Called by [`crate::process`] and by all that
//! wait for a target or a tool. Never starts, signals or reaps a process.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{collections::BTreeSet, thread};

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::{errno::Errno, unistd::Pid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// What happened outside, seen by one thread per child and one for signals.
#[derive(Default)]
pub(crate) struct Events {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    exited: BTreeSet<u32>,
    signal: Option<i32>,
}

impl Events {
    /// Takes INT, TERM and HUP away from their default action (death without clean-up) and notes them instead.
    ///
    /// With handlers and not with a signal mask: children inherit a mask, and would be deaf to our TERM.
    pub(crate) fn listen() -> Result<Arc<Events>, Failure> {
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]);
        let mut signals = signals.map_err(|e| Failure::system("take over signals", e))?;
        let events = Arc::new(Events::default());
        let noted = Arc::clone(&events);
        spawn("signals", move || {
            for signal in signals.forever() {
                noted.note(|seen| seen.signal = Some(signal));
            }
        })?;
        Ok(events)
    }

    /// Starts to watch a child; it stays unreaped, so its process id and its `/proc` entry stay valid.
    pub(crate) fn watch(self: &Arc<Self>, pid: u32) -> Result<(), Failure> {
        let noted = Arc::clone(self);
        spawn("child", move || {
            let child = Pid::from_raw(pid.cast_signed());
            let ended = || waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            while ended() == Err(Errno::EINTR) {}
            noted.note(|seen| _ = seen.exited.insert(pid));
        })
    }

    /// Forgets a child that is about to be reaped: its id may come back as another process.
    pub(crate) fn forget(&self, pid: u32) {
        self.lock().exited.remove(&pid);
    }

    /// Has this watched child ended?
    pub(crate) fn has_exited(&self, pid: u32) -> bool {
        self.lock().exited.contains(&pid)
    }

    /// Waits until one of `pids` has ended and returns it; `None` when `time` passed first.
    pub(crate) fn wait_any(&self, pids: &[u32], time: Duration) -> Result<Option<u32>, Failure> {
        let ended = |seen: &Seen| pids.iter().copied().find(|pid| seen.exited.contains(pid));
        let seen = self.wait(time, |seen| seen.signal.is_some() || ended(seen).is_some());
        match seen.signal {
            Some(signal) => Err(Failure::Interrupted(signal)),
            None => Ok(ended(&seen)),
        }
    }

    /// Waits for one child to end, signal or not; `false` when `time` passed first.
    pub(crate) fn wait_exit(&self, pid: u32, time: Duration) -> bool {
        self.wait(time, |seen| seen.exited.contains(&pid)).exited.contains(&pid)
    }

    fn wait(&self, time: Duration, done: impl Fn(&Seen) -> bool) -> MutexGuard<'_, Seen> {
        let until = Instant::now() + time;
        let mut seen = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if done(&seen) || left.is_zero() {
                return seen;
            }
            seen = self.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // Nothing in here can panic half-way through a change, so a poisoned set is still a whole one.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.map(drop).map_err(|e| Failure::system("start a thread", e))
}
