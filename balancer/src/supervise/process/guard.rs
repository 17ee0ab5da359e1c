//! A second process of ours that outlives a `kill -9` of the first by a moment, to end what workers started.
//!
//! Decides nothing: when its input ends, so has the supervising process, and it kills every process group it was told
//! of. The workers themselves die without it (see `shim`), but not the program behind an `npm start` or a `sh -c`, which
//! would keep the port. Started once by `app`, on the control thread. Never signals a group that has been swept.

use std::collections::BTreeSet;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::kin::{end_marked_by, our_marks};
use super::reap::RegisteredPid;
use super::{GUARD_OPTION, SHIM_COMMAND};

/// Keeps the second process running as long as it lives. Dropping it, like the end of this process, ends the groups on the
/// list, so it is dropped after the workers have been stopped.
#[derive(Debug)]
pub struct Guard(AbortHandle);

/// A worker's process group, to be killed should this process be killed; dropping it takes it off the list.
#[derive(Debug)]
pub(in crate::supervise) struct Guarded(Pid);

impl Guard {
    /// Starts the second process; `shim` is the same program that [`crate::supervise::Supervisor::start`] takes. Must be called on the
    /// thread that starts workers, inside its runtime.
    pub fn start(shim: PathBuf) -> Self {
        Self(tokio::spawn(keep_running(shim)).abort_handle())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Guarded {
    /// Puts a group on the list.
    pub(in crate::supervise) fn new(group: Pid) -> Self {
        GROUPS.send_modify(|groups| {
            groups.insert(group.as_raw());
        });
        Self(group)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        GROUPS.send_modify(|groups| {
            groups.remove(&self.0.as_raw());
        });
    }
}

/// The second process: reads lists, one a line, and when there are no more kills the groups of the last one, and whoever has left
/// its group and carries one of `marks`.
pub(super) fn stand_guard(lists: impl BufRead, marks: &str) -> ExitCode {
    let mut groups = Vec::new();
    // A list without its newline was cut off by the end of the writer.
    for list in lists.split(b'\n').map_while(Result::ok).filter(|list| list.last() == Some(&END_OF_LIST)) {
        let text = String::from_utf8_lossy(&list).into_owned();
        groups = text.split(' ').filter_map(|group| group.parse().ok()).filter(|group| *group > 1).collect();
    }
    for group in groups {
        // It fails when the group has ended with its leader.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    if !marks.is_empty() {
        end_marked_by(marks);
    }
    ExitCode::SUCCESS
}

async fn keep_running(shim: PathBuf) {
    loop {
        let error = run(&shim).await.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string());
        tracing::warn!("the process that ends workers' children after a kill -9 is gone ({error}): starting another");
        sleep(PAUSE).await;
    }
}

async fn run(shim: &PathBuf) -> io::Result<()> {
    let mut lists = GROUPS.subscribe();
    let mut child = Command::new(shim)
        .args([SHIM_COMMAND, GUARD_OPTION, our_marks()])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // So that a terminal's Ctrl-C does not end it before us.
        .process_group(0)
        .spawn()?;
    // No await since the spawn, see there.
    let _registered =
        child.id().and_then(|pid| i32::try_from(pid).ok()).map(|pid| RegisteredPid::new(Pid::from_raw(pid)));
    let mut input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    loop {
        let list: String = lists.borrow_and_update().iter().map(|group| format!("{group} ")).collect();
        input.write_all(format!("{list}{}\n", char::from(END_OF_LIST)).as_bytes()).await?;
        tokio::select! {
            changed = lists.changed() => changed.map_err(io::Error::other)?,
            ended = child.wait() => return ended.map(drop),
        }
    }
}

const END_OF_LIST: u8 = b'.';
const PAUSE: Duration = Duration::from_secs(1);

/// A kernel kills processes by their groups whichever supervisor started them, so there is one list.
static GROUPS: LazyLock<watch::Sender<BTreeSet<i32>>> = LazyLock::new(watch::Sender::default);

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("1000").process_group(0).spawn().unwrap()
    }

    #[test]
    fn the_groups_of_the_last_whole_list_are_killed() {
        let (mut first, mut last) = (sleeper(), sleeper());
        let lists = format!("{} .\n{} 0 1 -1 x .\n{}", first.id(), last.id(), first.id());
        stand_guard(lists.as_bytes(), "");
        assert!(!last.wait().unwrap().success());
        assert!(first.try_wait().unwrap().is_none(), "of an earlier list, or one that was cut off");
        first.kill().unwrap();
        first.wait().unwrap();
    }
}
