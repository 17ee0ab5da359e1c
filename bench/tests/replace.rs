//! `bench replace` and `bench soak` as programs, with the real balancer and its built-in worker.
//!
//! Both are those beside the tested program, as `cargo test --workspace` builds them; where they are not, these tests are skipped and
//! say so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests; the lint sees only functions marked so")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn rolls_and_kills_are_tried_and_written_down() {
    let Some(stage) = Stage::new() else { return };
    let output = stage.bench(&["--scenario", "roll,kill", "--duration", "2s", "--connections", "4"]).output().unwrap();
    let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(text.contains("\nroll × built-in\n") && text.contains("\nkill × built-in\n"), "{text}");
    let figures: serde_json::Value =
        serde_json::from_slice(&fs::read(stage.results().join("replace.json")).unwrap()).unwrap();
    let seen = |row: usize, what: &str| {
        let findings = figures["rows"][row]["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["what"] == what);
        found.unwrap_or_else(|| panic!("no {what} in {findings:?}"))["seen"].as_f64().unwrap()
    };
    for row in 0..2 {
        assert!(seen(row, "GETs") > 50.0 && seen(row, "POSTs") > 50.0, "{text}");
        for what in ["GETs failed", "POSTs run twice", "POSTs answered, not run"] {
            assert_eq!(seen(row, what), 0.0, "{what}: {text}");
        }
    }
    assert!(seen(0, "rolls") >= 1.0 && seen(1, "kills") >= 1.0, "{text}");
    assert_eq!((seen(0, "rolls failed"), seen(0, "POSTs failed")), (0.0, 0.0), "{text}");
    let csv = fs::read_to_string(stage.results().join("replace.csv")).unwrap();
    assert!(csv.contains("\nroll,built-in,2,\"GETs failed\",0.000,,<=0.000,true\n"), "{csv}");
}

#[test]
fn an_interrupted_run_ends_the_balancer_and_its_workers_and_writes_nothing() {
    let Some(stage) = Stage::new() else { return };
    let child = stage.bench(&["--scenario", "reload", "--duration", "60s"]).spawn().unwrap();
    // The balancer, its guard, two workers, two fixed ones.
    let until = Instant::now() + LIMIT;
    let mut started = BTreeSet::new();
    while started.len() < 6 {
        assert!(Instant::now() < until, "not all were started: {started:?}");
        started.extend(descendants(child.id()));
        thread::yield_now();
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let results = fs::read_dir(stage.results()).unwrap().count();
    assert_eq!((output.status.code(), output.stdout.len(), results), (Some(130), 0, 0), "{output:?}");
    for pid in started {
        while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < until + LIMIT, "process {pid} is still there");
            thread::yield_now();
        }
    }
}

#[test]
fn a_soak_tells_each_kind_of_request_and_forgives_what_a_kill_broke() {
    let Some(stage) = Stage::new() else { return };
    let output = stage.soak(&stage.programs.join("balancer"), "8s").output().unwrap();
    let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let seen = |what: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(what));
        let line = line.unwrap_or_else(|| panic!("no {what} in {text}; {said}"));
        line.split("  ").filter(|cell| !cell.trim().is_empty()).nth(1).unwrap().trim().replace(',', "")
    };
    for what in ["GETs, connections kept", "GETs, a connection each", "uploads, chunked", "WebSockets", "event streams"]
    {
        assert!(seen(what).parse::<u32>().unwrap() > 4, "{what}: {text}");
    }
    assert_eq!((seen("workers killed").as_str(), seen("POSTs run twice").as_str()), ("1", "0"), "{text}");
    // Whether it grows says nothing after some seconds.
    assert!(!text.contains("!!!") && text.contains("\nat rest "), "{text}");
}

#[test]
fn a_soak_of_a_balancer_that_does_not_start_is_no_success() {
    let Some(stage) = Stage::new() else { return };
    let output = stage.soak(Path::new("/bin/false"), "8s").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("bench: balancer ended instead of starting"), "{said}");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn a_balancer_that_does_not_start_is_told_and_is_no_success() {
    let Some(stage) = Stage::new() else { return };
    let output: Output = stage.with_balancer(Path::new("/bin/false"), &["--scenario", "scale"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\n!!! scale × built-in could not be tried: balancer ended instead of starting"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

/// A folder for the results and the scratch files, and where the programs are.
struct Stage {
    folder: PathBuf,
    programs: PathBuf,
}

impl Stage {
    fn new() -> Option<Stage> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let programs = Path::new(env!("CARGO_BIN_EXE_bench")).parent().unwrap().to_owned();
        #[allow(clippy::print_stderr, reason = "this is a test, and says why it proves nothing")]
        if let Some(missing) = ["balancer", "backend"].iter().find(|name| !programs.join(name).is_file()) {
            eprintln!("skipped: no {missing} in {}; cargo build --workspace makes it", programs.display());
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("bench-replace-test-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Some(Stage { folder, programs })
    }

    fn bench(&self, arguments: &[&str]) -> Command {
        self.with_balancer(&self.programs.join("balancer"), arguments)
    }

    fn with_balancer(&self, balancer: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.arg("replace").args(arguments).args(["--workers", "built-in"]).arg("--output").arg(self.results());
        self.with_programs(command, balancer)
    }

    fn soak(&self, balancer: &Path, duration: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.args(["soak", "--duration", duration]);
        self.with_programs(command, balancer)
    }

    fn with_programs(&self, mut command: Command, balancer: &Path) -> Command {
        command.arg("--balancer").arg(balancer).arg("--backend").arg(self.programs.join("backend"));
        command.env("TMPDIR", &self.folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn results(&self) -> PathBuf {
        self.folder.join("results")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// All that a process has started, and what these have.
fn descendants(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let listed = threads.flatten().map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let children: Vec<u32> =
        listed.flat_map(|line| line.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect();
    children.iter().flat_map(|child| descendants(*child)).chain(children.iter().copied()).collect()
}

const LIMIT: Duration = Duration::from_secs(60);
