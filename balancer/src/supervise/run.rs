//! One run of a worker: its process, while that runs and when it has ended.
//!
//! Decides what of it is killed. Made by `spawn`, held by `reconcile`, on the control thread. Never starts it again.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::output::lines::{Capture, Latest};
use super::place::reservation::ReservedPlace;
use super::process::guard::Guarded;
use super::process::kin::Kin;
use super::process::reap::RegisteredPid;
use crate::config::Address;
use crate::share::Taker;

/// A running worker. Dropping it kills its whole process group, unless [`Self::sweep`] did already.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) group: Pid,
    pub(super) kin: Kin,
    pub(super) reservation: ReservedPlace,
    pub(super) started: Instant,
    pub(super) capture: Option<Capture>,
    pub(super) line_seen: Arc<Notify>,
    pub(super) taker: Option<Arc<Taker>>,
    pub(super) swept: bool,
    pub(super) _guarded: Guarded,
}

/// The process itself, for the task that waits for its end.
#[derive(Debug)]
pub(super) struct Offspring {
    pub(super) child: Child,
    pub(super) _registered: RegisteredPid,
}

impl Process {
    /// Its pid, which is its process group too.
    pub(super) fn pid(&self) -> i32 {
        self.group.as_raw()
    }

    /// Where it has to listen.
    pub(super) fn address(&self) -> Address {
        self.reservation.address()
    }

    /// Its process group.
    pub(super) fn group(&self) -> Pid {
        self.group
    }

    /// When it was started.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// Notified when its output has the awaited text.
    pub(super) fn line_seen(&self) -> Arc<Notify> {
        Arc::clone(&self.line_seen)
    }

    /// How it takes connections, where these do not pass through us.
    pub(super) fn taker(&self) -> Option<&Arc<Taker>> {
        self.taker.as_ref()
    }

    /// Sends a signal to its process group, and to whoever has left that.
    pub(super) fn signal(&self, signal: Signal) {
        self.kin.signal(signal);
    }

    /// All its processes.
    pub(super) fn kin(&self) -> &Kin {
        &self.kin
    }

    /// Whether it has printed nothing yet that we could see.
    pub(super) fn is_silent(&self) -> bool {
        self.capture.as_ref().is_some_and(|capture| capture.last_lines().is_empty())
    }

    /// What it prints last.
    pub(super) fn latest(&self) -> Latest {
        self.capture.as_ref().map(Capture::latest).unwrap_or_default()
    }

    /// Hands over the readers of its output.
    pub(super) fn take_capture(&mut self) -> Option<Capture> {
        self.capture.take()
    }

    /// Once the process has ended: kills what it left behind, which may hold the port and the pipes. The rest is to be awaited
    /// elsewhere: who forks at this very moment is found by another look.
    ///
    /// The number of the group cannot mean another one yet: the kernel gives pids in turn, and this happens at once.
    pub(super) fn sweep(mut self) -> impl Future<Output = ()> + Send + 'static {
        self.signal(Signal::SIGKILL);
        self.swept = true;
        let kin = self.kin.clone();
        async move {
            let mut quiet = 0;
            for _ in 0..LOOKS_MAX {
                quiet = if kin.is_alive() { 0 } else { quiet + 1 };
                if quiet == QUIET {
                    return;
                }
                sleep(LOOK_AGAIN).await;
                kin.signal(Signal::SIGKILL);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.swept {
            self.signal(Signal::SIGKILL);
        }
    }
}

impl Offspring {
    /// How it ended; `None` when the system does not tell.
    pub(super) async fn ended(mut self) -> Option<std::process::ExitStatus> {
        self.child.wait().await.ok()
    }
}

/// A process that KILL does not end hangs inside the kernel; after five seconds it is left alone.
const LOOKS_MAX: u32 = 250;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Looks in a row that find nobody: the kernel's list of children may leave one out while others end (proc_pid_children(5)).
const QUIET: u32 = 3;
