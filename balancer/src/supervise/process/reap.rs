//! Collects the ends of processes that are nobody's workers: what a worker started and left behind when it died, and, as
//! PID 1 of a container, every orphan there.
//!
//! Decides whose a dead child is. Called once by `app`, on the control thread. Never collects a worker: whoever waits for
//! it would wait for ever.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::kill;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::AbortHandle;

use super::tree::{children_of, stat};

/// Reaps strangers as long as it lives; dropped last, when there are no workers any more, it ends those that are left.
///
/// Takes every child of this process that `supervise` did not start, so nothing else in the process may start children and
/// wait for them itself.
#[derive(Debug)]
pub struct Reaper(AbortHandle);

/// Marks a pid as a worker's until its end has been collected.
#[derive(Debug)]
pub(in crate::supervise) struct RegisteredPid(Pid);

impl Reaper {
    /// Makes this process the one that orphans below it are handed to (PR_SET_CHILD_SUBREAPER(2const)), and begins to
    /// collect them. Must be called on the thread that starts workers, inside its runtime.
    pub fn start() -> io::Result<Self> {
        set_child_subreaper(true)?;
        let ends = signal(SignalKind::child())?;
        Ok(Self(tokio::spawn(reap(ends)).abort_handle()))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.0.abort();
        end_orphans();
    }
}

impl RegisteredPid {
    /// Marks it. Between its start and this there must be no await on this thread.
    pub(in crate::supervise) fn new(pid: Pid) -> Self {
        workers().insert(pid);
        Self(pid)
    }
}

impl Drop for RegisteredPid {
    fn drop(&mut self) {
        workers().remove(&self.0);
    }
}

async fn reap(mut ends: Signal) {
    loop {
        match reap_strangers() {
            // A worker's end stands in front and hides those behind it until its own waiter, woken by the same signal, has
            // collected it.
            Reaped::HeldUp => tokio::time::sleep(RETRY).await,
            Reaped::All => {
                if ends.recv().await.is_none() {
                    return;
                }
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Reaped {
    All,
    HeldUp,
}

fn reap_strangers() -> Reaped {
    loop {
        let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let pid = match waitid(Id::All, peek) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Reaped::All,
            Ok(status) => status.pid(),
            // `nix` has no name for a real-time signal and then hides the pid too.
            Err(_) if reap_nameless() => continue,
            // It was a worker, which goes away itself.
            Err(_) => None,
        };
        match pid {
            Some(pid) if !workers().contains(&pid) => {
                if let Ok(status) = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
                    tracing::debug!(pid = pid.as_raw(), ?status, "collected an orphan");
                }
            }
            _ => return Reaped::HeldUp,
        }
    }
}

/// Looks for them where the kernel lists children; whether there was any.
fn reap_nameless() -> bool {
    let is_stranger = |pid: &Pid| stat(*pid).is_some_and(|stat| stat.is_dead) && !is_registered(*pid);
    // The same error again: it is collected all the same.
    let collect = |pid: Pid| {
        let collected = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
        tracing::debug!(pid = pid.as_raw(), ?collected, "collected an orphan");
    };
    children_of(std::process::id()).into_iter().filter(is_stranger).map(collect).count() > 0
}

/// Whether it is a worker's first process, or the guard.
pub(super) fn is_registered(pid: Pid) -> bool {
    workers().contains(&pid)
}

/// KILL to orphans that came to us while we ran and whose mark is gone: programs that write their title over their environment.
/// For the very end, when no worker is left.
fn end_orphans() {
    let Some(ours) = stat(Pid::this()) else { return };
    let is_guard = |pid: Pid| fs::read_link(format!("/proc/{pid}/exe")).ok() == fs::read_link("/proc/self/exe").ok();
    for pid in children_of(std::process::id()) {
        if !is_registered(pid)
            && stat(pid).is_some_and(|stat| stat.started >= ours.started && !stat.is_dead)
            && !is_guard(pid)
        {
            tracing::debug!(pid = pid.as_raw(), "ended an orphan");
            let _ = kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

fn workers() -> std::sync::MutexGuard<'static, BTreeSet<Pid>> {
    // A process has one table of children, so there is one list of those that are workers.
    static WORKERS: Mutex<BTreeSet<Pid>> = Mutex::new(BTreeSet::new());
    WORKERS.lock().unwrap_or_else(PoisonError::into_inner)
}

const RETRY: Duration = Duration::from_millis(20);
