//! `bench guard` as a program: its messages, its exit codes, and that nothing stays behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests; the lint sees only functions marked so")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

/// A folder with programs that come first on the program's `PATH`, and a repository with two commits beside them.
struct Stage(PathBuf);

impl Stage {
    fn new() -> Stage {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let stage = Stage(std::env::temp_dir().join(format!("bench-guard-test-{}-{number}", std::process::id())));
        fs::create_dir_all(stage.repository()).unwrap();
        // Instructions are counted by this one: never, for no test here gets so far.
        stage.script("valgrind", "exit 1");
        stage.git(&["init", "--quiet", "--initial-branch=main"]);
        for text in ["one", "two"] {
            fs::write(stage.repository().join("file"), text).unwrap();
            stage.git(&["add", "file"]);
            stage.git(&["-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "-m", text]);
        }
        stage
    }

    fn repository(&self) -> PathBuf {
        self.0.join("repository")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git").current_dir(self.repository()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{text}\n", self.0.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn guard(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.args(["guard", "--only", "instructions"]).args(arguments).current_dir(self.repository());
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.0.display())).env("CARGO", "/no/such/cargo");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn checkouts(&self) -> usize {
        self.git(&["worktree", "list"]).lines().count() - 1
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_revision_that_is_not_there_is_named() {
    let stage = Stage::new();
    let output = stage.guard(&["--base", "v9.9"]).output().unwrap();
    let expected = format!(
        "bench: v9.9 names no commit of {}; give another with --base\n",
        fs::canonicalize(stage.repository()).unwrap().display()
    );
    assert_eq!((said(&output), output.status.code(), output.stdout.len()), (expected, Some(1), 0));
}

#[test]
fn a_folder_outside_any_repository_is_named() {
    let stage = Stage::new();
    let output = stage.guard(&[]).current_dir(&stage.0).output().unwrap();
    assert!(said(&output).contains(" is in no git repository with a working tree"), "{}", said(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_is_missing_is_named_with_what_installs_it() {
    let stage = Stage::new();
    let alone = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        let output =
            command.arg("guard").args(arguments).env("PATH", "/nowhere").current_dir(stage.repository()).output();
        output.map(|output| (said(&output), output.status.code())).unwrap()
    };
    let valgrind = "bench: no instruction counts: apt-get install valgrind\n".to_owned();
    assert_eq!(alone(&["--only", "instructions"]), (valgrind, Some(1)));
    let generators = "bench: missing: ab and wrk. Install with: apt-get install apache2-utils wrk\n".to_owned();
    assert_eq!(alone(&[]), (generators, Some(1)));
    let output = stage.guard(&[]).env("PATH", &stage.0).output().unwrap();
    assert_eq!(said(&output), "bench: missing: git. Install with: apt-get install git\n");
}

#[test]
fn a_base_that_does_not_build_is_named_and_its_checkout_removed() {
    let stage = Stage::new();
    let cargo = stage.script("cargo", "case \"$PWD $*\" in *guard/base*) echo 'broken' >&2; exit 101;; esac");
    let output = stage.guard(&[]).env("CARGO", cargo).output().unwrap();
    let text = said(&output);
    assert!(text.contains("base: ") && text.contains(" one (HEAD~1, for no file is changed)"), "{text}");
    assert!(text.contains("guard/checkout: cargo build failed (exit code 101)"), "{text}");
    assert_eq!((output.status.code(), output.stdout.len(), stage.checkouts()), (Some(1), 0, 0));
}

#[test]
fn an_interrupted_build_is_ended_and_its_checkout_removed() {
    let stage = Stage::new();
    mkfifo(&stage.0.join("started"), Mode::S_IRWXU).unwrap();
    let cargo = stage
        .script("cargo", "case \"$*\" in *guard/base*) echo $$ > cargo.pid; echo > started; exec sleep 600;; esac");
    let child = stage.guard(&[]).env("CARGO", cargo).spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    let fifo = stage.0.join("started");
    within_limit(move || fs::read_to_string(fifo).unwrap());
    assert_eq!(stage.checkouts(), 1);
    // A second one would build into the same folder.
    let second = stage.guard(&[]).output().unwrap();
    assert!(said(&second).starts_with("bench: another guard is at work in "), "{}", said(&second));
    kill(pid, Signal::SIGINT).unwrap();
    let output = within_limit(move || child.wait_with_output().unwrap());
    assert_eq!((output.status.code(), stage.checkouts()), (Some(130), 0), "{}", said(&output));
    let cargo = fs::read_to_string(stage.0.join("cargo.pid")).unwrap();
    let until = Instant::now() + LIMIT;
    while fs::read_to_string(format!("/proc/{}/stat", cargo.trim())).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < until, "the build is still there");
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

const LIMIT: Duration = Duration::from_secs(30);
