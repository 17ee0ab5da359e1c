//! With the real balancer and its built-in worker, which are those beside the tested program, as `cargo test --workspace` builds
//! them; where they are not, these tests are skipped and say so, and fail where `CI` is set.

use std::path::{Path, PathBuf};
use std::{collections::BTreeSet, fs, process::Command, thread, time::Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{LIMIT, Stage, await_gone, printed, said};

/// Where the programs are.
fn programs() -> Option<PathBuf> {
    let programs = Path::new(env!("CARGO_BIN_EXE_bench")).parent().unwrap().to_owned();
    let missing = ["balancer", "backend"].into_iter().find(|name| !programs.join(name).is_file());
    let Some(missing) = missing else { return Some(programs) };
    assert!(std::env::var_os("CI").is_none(), "no {missing} in {}", programs.display());
    #[allow(clippy::print_stderr, reason = "this is a test, and says why it proves nothing")]
    {
        eprintln!("skipped: no {missing} in {}; cargo build --workspace makes it", programs.display());
    }
    None
}

fn bench(stage: &Stage, balancer: &Path, arguments: &[&str]) -> Command {
    let mut command = stage.bench(arguments);
    command.arg("--balancer").arg(balancer).arg("--backend").arg(balancer.with_file_name("backend"));
    command
}

fn replace(stage: &Stage, programs: &Path, arguments: &[&str]) -> Command {
    let mut command =
        bench(stage, &programs.join("balancer"), &[&["replace", "--workers", "built-in"], arguments].concat());
    command.arg("--output").arg(stage.results());
    command
}

#[test]
fn rolls_and_kills_are_tried_and_written_down() {
    let Some(programs) = programs() else { return };
    let stage = Stage::new();
    let arguments = ["--scenario", "roll,kill", "--duration", "2s", "--connections", "4"];
    let output = replace(&stage, &programs, &arguments).output().unwrap();
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(text.contains("\nroll × built-in\n") && text.contains("\nkill × built-in\n"), "{text}");
    let figures = stage.json("replace.json");
    let seen = |row: usize, what: &str| {
        let figures = figures["sections"][0]["groups"][row].as_array().unwrap();
        let found = figures.iter().find(|figure| figure["what"] == what);
        found.unwrap_or_else(|| panic!("no {what} in {figures:?}"))["rounds"][0].as_f64().unwrap()
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
    assert!(csv.contains("\n,roll × built-in,GETs failed,count,1,0,0,true\n"), "{csv}");
}

#[test]
fn an_interrupted_run_ends_the_balancer_and_its_workers_and_writes_nothing() {
    let Some(programs) = programs() else { return };
    let stage = Stage::new();
    let child = replace(&stage, &programs, &["--scenario", "reload", "--duration", "60s"]).spawn().unwrap();
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
    assert_eq!((output.status.code(), output.stdout.len(), stage.written().len()), (Some(130), 0, 0), "{output:?}");
    started.iter().for_each(|pid| await_gone(&pid.to_string()));
}

#[test]
fn a_soak_tells_each_kind_of_request_and_forgives_what_a_kill_broke() {
    let Some(programs) = programs() else { return };
    let stage = Stage::new();
    let output = bench(&stage, &programs.join("balancer"), &["soak", "--duration", "8s"]).output().unwrap();
    let text = printed(&output);
    let seen = |what: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(what));
        let line = line.unwrap_or_else(|| panic!("no {what} in {text}; {}", said(&output)));
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
fn a_balancer_that_does_not_start_is_told_and_is_no_success() {
    let Some(programs) = programs() else { return };
    let stage = Stage::new();
    let broken = stage.script("balancer", "exit 1");
    fs::hard_link(programs.join("backend"), stage.0.join("backend")).unwrap();
    let output = bench(&stage, &broken, &["soak", "--duration", "8s"]).output().unwrap();
    assert!(said(&output).starts_with("bench: balancer ended instead of starting"), "{}", said(&output));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let output = replace(&stage, &stage.0, &["--scenario", "scale"]).output().unwrap();
    let text = printed(&output);
    assert!(text.contains("!!! scale × built-in could not be tried: balancer ended instead of starting"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

/// All that a process has started, and what these have.
fn descendants(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let listed = threads.flatten().map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let children: Vec<u32> =
        listed.flat_map(|line| line.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect();
    children.iter().flat_map(|child| descendants(*child)).chain(children.iter().copied()).collect()
}
