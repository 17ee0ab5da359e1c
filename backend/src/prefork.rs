//! Processes that share one listener, as Apache's prefork: each serves one connection at a time.
//!
//! Decides that there are always as many as asked for. Called by `serve` in the process that has made the listener. Never serves.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::event_loop::asked;
use crate::source::Source;

/// The children, each with a task that starts another when it dies.
pub(crate) struct Children {
    stop: watch::Sender<bool>,
    all: JoinSet<()>,
}

impl Children {
    /// # Errors
    /// The first children could not be started.
    pub(crate) fn start(source: &Arc<Source>, count: usize) -> io::Result<Children> {
        let (stop, stopping) = watch::channel(false);
        let mut all = JoinSet::new();
        for _ in 0..count {
            all.spawn(keep(spawn(source)?, source.clone(), stopping.clone()));
        }
        Ok(Children { stop, all })
    }

    /// Tells all of them to stop, and comes back when they have.
    pub(crate) async fn drain(mut self) {
        let _ = self.stop.send(true);
        while self.all.join_next().await.is_some() {}
    }
}

async fn keep(mut child: Child, source: Arc<Source>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = child.wait() => {}
            () = asked(&mut stop) => {
                let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
                // It fails when it has just ended.
                let _ = pid.map(|pid| kill(Pid::from_raw(pid), Signal::SIGTERM));
                let _ = child.wait().await;
                return;
            }
        }
        child = loop {
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = asked(&mut stop) => return,
            }
            if let Ok(child) = spawn(&source) {
                break child;
            }
        };
    }
}

/// This program once more, with the listener as its standard input.
fn spawn(source: &Source) -> io::Result<Child> {
    Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .arg("--prefork-child")
        .stdin(Stdio::from(source.listener()?))
        .kill_on_drop(true)
        .spawn()
}

/// Before another takes the place of one that died.
const PAUSE: Duration = Duration::from_millis(100);
