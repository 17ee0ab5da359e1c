//! The whole program, with scripted generators, workers and balancers or with real ones: what it prints, its exit code, and
//! that nothing stays behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests; the lint sees only functions marked so")]

mod compare;
mod crowd;
mod guard;
mod replace;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, os::unix::fs::PermissionsExt as _, sync::mpsc, thread};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

/// A folder for scripts that come first on the program's `PATH`, for what they note and for the results.
struct Stage(PathBuf);

impl Stage {
    fn new() -> Stage {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("bench-test-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Stage(folder)
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{text}\n", self.0.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn bench(&self, arguments: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.args(arguments).env("PATH", format!("{}:{path}", self.0.display()));
        command.env("NOTES", &self.0).env("TMPDIR", &self.0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn results(&self) -> PathBuf {
        self.0.join("results")
    }

    /// What a run wrote, hidden parts included, in order.
    fn written(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.results()) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.results().join(name)).unwrap()).unwrap()
    }

    /// The processes that were started and noted themselves.
    fn pids(&self) -> Vec<String> {
        let files = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let noted = files.filter(|path| path.extension().is_some_and(|end| end == "pid"));
        noted.map(|path| fs::read_to_string(path).unwrap()).filter(|pid| !pid.is_empty()).collect()
    }

    /// Waits until they are gone, or zombies only; and sees that no folder of a run is left.
    fn assert_all_gone(&self) {
        self.pids().iter().for_each(|pid| await_gone(pid));
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.filter(|name| name.to_string_lossy().starts_with("bench-")).count(), 0);
    }

    /// Starts a run, waits until a script has told that it works (`echo > started`), signals the program, waits for its end.
    fn signalled(&self, mut command: Command, signal: Signal) -> Output {
        let fifo = self.0.join("started");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let child = command.spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        within_limit(move || fs::read_to_string(fifo).unwrap());
        kill(pid, signal).unwrap();
        within_limit(move || child.wait_with_output().unwrap())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn await_gone(pid: &str) {
    let until = Instant::now() + LIMIT;
    while fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < until, "process {pid} is still there");
        thread::yield_now();
    }
}

fn within_limit<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(LIMIT).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn beside(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name).display().to_string()
}

const LIMIT: Duration = Duration::from_secs(60);
