//! `bench supermarket`, `bench overload` and `bench attack` as programs, with scripted workers and balancers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests; the lint sees only functions marked so")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A folder for the results and for what the scripts note.
struct Stage(PathBuf);

impl Stage {
    fn new() -> Stage {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("bench-crowd-test-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Stage(folder)
    }

    fn bench(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.args(arguments).args(["--only", "balancer", "--balancer", WORKER, "--backend", WORKER]);
        command.arg("--output").arg(self.0.join("results")).env("NOTES", &self.0).env("TMPDIR", &self.0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The processes that were started.
    fn pids(&self) -> Vec<String> {
        let files = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|end| end == "pid"))
            .map(|path| fs::read_to_string(path).unwrap())
            .collect()
    }

    fn results(&self) -> Vec<String> {
        let files = fs::read_dir(self.0.join("results")).unwrap();
        let mut names: Vec<String> = files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn await_all_gone(&self) {
        let until = Instant::now() + LIMIT;
        for pid in self.pids() {
            while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
                assert!(Instant::now() < until, "process {pid} is still there");
                thread::yield_now();
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_supermarket_prints_its_table_and_writes_figures_and_pictures() {
    let stage = Stage::new();
    let output = stage.bench(&["supermarket", "--duration", "1s", "--load", "0.5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\nbalancer, slow lane  ") && text.contains("slow_lane = true"), "{text}");
    let names = ["fast.png", "fast.svg", "slow.png", "slow.svg"].map(|name| format!("supermarket-{name}"));
    let all = names.into_iter().chain(["supermarket.csv", "supermarket.json"].map(str::to_owned));
    assert_eq!(stage.results(), all.collect::<Vec<_>>());
    let figures: serde_json::Value =
        serde_json::from_slice(&fs::read(stage.0.join("results/supermarket.json")).unwrap()).unwrap();
    assert_eq!(figures["rows"][0]["ends"]["200"], figures["arrivals"]);
    stage.await_all_gone();
}

#[test]
fn an_overload_prints_a_row_for_each_load_and_writes_figures_and_pictures() {
    let stage = Stage::new();
    let output = stage.bench(&["overload", "--duration", "1s", "--offered", "0.01,0.02"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\nbalancer, slow lane × 0.01 ") && text.contains("\nbalancer, slow lane × 0.02 "), "{text}");
    assert!(text.contains("queue_timeout = \"1000ms\""), "{text}");
    assert_eq!(stage.results().len(), 6);
    let csv = fs::read_to_string(stage.0.join("results/overload.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3);
    stage.await_all_gone();
}

#[test]
fn an_attack_prints_a_row_for_each_kind_and_writes_figures() {
    let stage = Stage::new();
    let arguments = ["attack", "--connections", "50", "--duration", "2s", "--rate", "20", "--rounds", "1"];
    let output = stage.bench(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    for kind in ["slow header", "slow body", "slow read of 100 kB", "idle"] {
        assert!(text.contains(&format!("\nbalancer, slow lane: {kind} ")), "{kind}: {text}");
    }
    assert_eq!(stage.results(), ["attack.csv", "attack.json"]);
    assert_eq!(fs::read_to_string(stage.0.join("results/attack.csv")).unwrap().lines().count(), 5);
    let figures: serde_json::Value =
        serde_json::from_slice(&fs::read(stage.0.join("results/attack.json")).unwrap()).unwrap();
    let round = &figures["rows"][0]["rounds"][0];
    assert!(round["with"]["served"]["count"].as_u64().is_some_and(|count| count > 10), "{round}");
    // The scripted balancer answers everybody at once, so each attacker was ended, and more than once.
    assert!(round["attackers"]["200"].as_u64().is_some_and(|count| count > 50), "{round}");
    stage.await_all_gone();
}

#[test]
fn an_attack_that_is_interrupted_ends_everything_and_writes_nothing() {
    let stage = Stage::new();
    assert_interrupted(&stage, stage.bench(&["attack", "--duration", "60s"]));
}

#[test]
fn a_balancer_that_ends_under_the_crowd_is_quoted_and_nothing_is_written() {
    let stage = Stage::new();
    let output = stage.bench(&["supermarket", "--duration", "60s"]).env("DIE_AFTER", "9").output().unwrap();
    assert!(
        said(&output).contains("bench: balancer, slow lane ended while it was measured (exit code 1)"),
        "{}",
        said(&output)
    );
    assert!(said(&output).ends_with("  | tired\n"), "{}", said(&output));
    assert_eq!((output.status.code(), output.stdout.len(), stage.results().len()), (Some(1), 0, 0));
    stage.await_all_gone();
}

#[test]
fn an_interrupted_run_ends_everything_and_writes_nothing() {
    let stage = Stage::new();
    assert_interrupted(&stage, stage.bench(&["supermarket", "--duration", "60s"]));
}

#[test]
fn a_place_that_cannot_be_written_is_named_before_anything_starts() {
    let stage = Stage::new();
    fs::write(stage.0.join("results"), "a file").unwrap();
    let output = stage.bench(&["overload"]).output().unwrap();
    assert!(said(&output).starts_with("bench: cannot create "), "{}", said(&output));
    assert_eq!((output.status.code(), stage.pids().len()), (Some(1), 0));
}

fn assert_interrupted(stage: &Stage, mut command: Command) {
    let child = command.spawn().unwrap();
    let until = Instant::now() + LIMIT;
    // Four workers and a balancer.
    while stage.pids().iter().filter(|pid| !pid.is_empty()).count() < 5 {
        assert!(Instant::now() < until, "not all were started");
        thread::yield_now();
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.len(), stage.results().len()),
        (Some(130), 0, 0),
        "{}",
        said(&output)
    );
    stage.await_all_gone();
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const WORKER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worker.py");
const LIMIT: Duration = Duration::from_secs(30);
