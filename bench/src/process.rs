//! One child process and everything it started, ended when its guard is dropped.
//!
//! Decides how a child is started (own process group, output in files) and ended (TERM, then KILL, for the whole group).
//! Called by [`crate::target`], [`crate::tool`] and [`crate::programs`]. Never knows what the child is for.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::{sync::Arc, time::Duration};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::{events::Events, failure::Failure};

/// A running child. Dropping it ends its process group, on every way out of the program: result, failure, Ctrl-C, panic.
pub(crate) struct Process {
    name: String,
    child: Child,
    output: PathBuf,
    errors: PathBuf,
    events: Arc<Events>,
    reaped: bool,
}

impl Process {
    /// Starts `command` with stdout and stderr in `NAME.out` and `NAME.err` of `folder`: a file never fills up and blocks
    /// the child as a pipe nobody reads would.
    pub(crate) fn spawn(
        name: &str,
        mut command: Command,
        folder: &Path,
        events: &Arc<Events>,
    ) -> Result<Process, Failure> {
        let [output, errors] = ["out", "err"].map(|end| folder.join(format!("{}.{end}", name.replace(' ', "-"))));
        let open = |path: &Path| File::create(path).map_err(|e| Failure::file("write", path, e));
        command.stdout(open(&output)?).stderr(open(&errors)?);
        Self::start(name, command, output, errors, events)
    }

    /// Starts `command` with our own stderr for both streams: a build whose progress the user wants to see.
    pub(crate) fn spawn_in_view(name: &str, mut command: Command, events: &Arc<Events>) -> Result<Process, Failure> {
        command.stdout(Stdio::null()).stderr(Stdio::inherit());
        Self::start(name, command, PathBuf::new(), PathBuf::new(), events)
    }

    fn start(
        name: &str,
        mut command: Command,
        output: PathBuf,
        errors: PathBuf,
        events: &Arc<Events>,
    ) -> Result<Process, Failure> {
        // Its own group: Ctrl-C on the terminal reaches us alone, and one signal reaches all it forked.
        let spawned = command.stdin(Stdio::null()).process_group(0).spawn();
        let child = spawned.map_err(|e| Failure::file("start", Path::new(command.get_program()), e))?;
        let process =
            Process { name: name.to_owned(), child, output, errors, events: Arc::clone(events), reaped: false };
        events.watch(process.pid())?;
        Ok(process)
    }

    /// Its process id, which is its group's too.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What we call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Has it ended by itself?
    pub(crate) fn has_exited(&self) -> bool {
        self.events.has_exited(self.pid())
    }

    /// All it wrote to stdout so far; bytes that are not UTF-8 are replaced.
    pub(crate) fn stdout(&self) -> Result<String, Failure> {
        let bytes = fs::read(&self.output).map_err(|e| Failure::file("read", &self.output, e))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The last lines it wrote to stderr, at most 4 KiB; empty when there are none.
    pub(crate) fn stderr_end(&self) -> String {
        tail(&self.errors).unwrap_or_default()
    }

    /// Collects a child that has ended; ends it first when it has not.
    pub(crate) fn reap(&mut self) -> Option<ExitStatus> {
        self.stop(GRACE)
    }

    /// The same with more or less time to end by itself.
    pub(crate) fn stop(&mut self, grace: Duration) -> Option<ExitStatus> {
        let group = Pid::from_raw(self.pid().cast_signed());
        if !self.has_exited() {
            let _ = killpg(group, Signal::SIGTERM);
            self.events.wait_exit(self.pid(), grace);
        }
        // Also what its leader left behind. Still unreaped, the leader holds the group's number, so it hits nobody else.
        let _ = killpg(group, Signal::SIGKILL);
        let status = self.child.wait().ok();
        self.events.forget(self.pid());
        self.reaped = true;
        status
    }

    /// The complaint about a target that ended although nobody asked it to.
    pub(crate) fn ended(&mut self, when: &str) -> Failure {
        let stderr = self.stderr_end();
        let how = self.reap().map_or_else(String::new, |status| format!(" ({})", describe(status)));
        Failure::Target { name: self.name.clone(), what: format!("ended {when}{how}"), stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Once reaped, the id may be somebody else's.
        if !self.reaped {
            self.reap();
        }
    }
}

/// "exit code 1" or "signal 9".
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a target gets to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(2);
const TAIL_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn shell(script: &str, folder: &Scratch, events: &Arc<Events>) -> Process {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Process::spawn("a shell", command, folder.path(), events).unwrap()
    }

    fn is_there(pid: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        // A zombie waits for whoever inherited it; it runs no more.
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn dropping_the_guard_ends_what_the_child_started_and_what_ignores_term() {
        let (folder, events) = (Scratch::create().unwrap(), Arc::new(Events::default()));
        let process = shell("trap '' TERM; sleep 600 & echo $!; wait", &folder, &events);
        let leader = process.pid().to_string();
        let mut grandchild = String::new();
        while !grandchild.ends_with('\n') {
            grandchild = process.stdout().unwrap();
        }
        assert!(is_there(&leader) && is_there(&grandchild));
        drop(process);
        assert!(!is_there(&leader));
        while is_there(&grandchild) {} // KILL is delivered, not awaited: it is not our child
    }

    #[test]
    fn a_child_hears_term() {
        let (folder, events) = (Scratch::create().unwrap(), Events::listen().unwrap());
        let process = shell("grep -E '^Sig(Blk|Ign)' /proc/self/status", &folder, &events);
        assert!(events.wait_exit(process.pid(), Duration::from_secs(20)));
        let term = 1_u64 << (Signal::SIGTERM as i32 - 1);
        let output = process.stdout().unwrap();
        let masks = output.lines().map(|line| u64::from_str_radix(line.split('\t').nth(1).unwrap(), 16).unwrap());
        assert_eq!(masks.map(|mask| mask & term).collect::<Vec<_>>(), [0, 0], "{output}");
    }

    #[test]
    fn a_child_that_ends_is_noticed_and_quoted() {
        let (folder, events) = (Scratch::create().unwrap(), Arc::new(Events::default()));
        let mut process = shell("echo 'address in use' >&2; exit 3", &folder, &events);
        assert_eq!(events.wait_any(&[process.pid()], Duration::from_secs(20)).unwrap(), Some(process.pid()));
        let message = process.ended("while starting").to_string();
        assert_eq!(message, "a shell ended while starting (exit code 3); its stderr ends with:\n  | address in use");
    }

    #[test]
    fn a_wait_is_bounded() {
        let (folder, events) = (Scratch::create().unwrap(), Arc::new(Events::default()));
        let process = shell("exec sleep 600", &folder, &events);
        assert_eq!(events.wait_any(&[process.pid()], Duration::from_millis(1)).unwrap(), None);
    }
}
