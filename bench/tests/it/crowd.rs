use std::process::{Command, Output};
use std::{fs, thread, time::Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{LIMIT, Stage, beside, printed, said};

fn bench(stage: &Stage, arguments: &[&str]) -> Command {
    let (worker, results) = (beside("tests/worker.py"), stage.results().display().to_string());
    let more = ["--only", "balancer", "--balancer", &worker, "--backend", &worker, "--output", &results];
    stage.bench(&arguments.iter().copied().chain(more).collect::<Vec<_>>())
}

fn measured(arguments: &[&str]) -> (Stage, String) {
    let stage = Stage::new();
    let output = bench(&stage, arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    stage.assert_all_gone();
    (stage, printed(&output))
}

#[test]
fn a_supermarket_prints_its_table_and_writes_figures_and_pictures() {
    let (stage, text) = measured(&["supermarket", "--duration", "1s", "--load", "0.5"]);
    assert!(text.contains("\nbalancer, slow lane  ") && text.contains("slow_lane = true"), "{text}");
    let names = ["fast.svg", "slow.svg"].map(|name| format!("supermarket-{name}"));
    let all = names.into_iter().chain(["supermarket.csv", "supermarket.json"].map(str::to_owned));
    assert_eq!(stage.written(), all.collect::<Vec<_>>());
    let figures = stage.json("supermarket.json");
    assert_eq!(figures["sections"][0]["groups"][0][2]["what"], "fast p99");
    assert!(figures["sections"][0]["groups"][0][2]["rounds"][0].as_f64().is_some_and(|p99| p99 > 0.0), "{figures}");
}

#[test]
fn an_overload_prints_a_row_for_each_load_and_writes_figures_and_pictures() {
    let (stage, text) = measured(&["overload", "--duration", "1s", "--offered", "0.01,0.02"]);
    assert!(text.contains("\nbalancer, slow lane × 0.01 ") && text.contains("\nbalancer, slow lane × 0.02 "), "{text}");
    assert!(text.contains("queue_timeout = \"1000ms\""), "{text}");
    assert_eq!(stage.written().len(), 4);
}

#[test]
fn an_attack_prints_a_row_for_each_kind_and_writes_figures() {
    let arguments = ["attack", "--connections", "50", "--duration", "2s", "--rate", "20", "--rounds", "1"];
    let (stage, text) = measured(&arguments);
    for kind in ["slow header", "slow body", "slow read of 100 kB", "idle"] {
        assert!(text.contains(&format!("\nbalancer, slow lane: {kind} ")), "{kind}: {text}");
    }
    assert_eq!(stage.written(), ["attack.csv", "attack.json"]);
    // The scripted balancer answers everybody at once, so each attacker was ended, and more than once.
    let note =
        text.lines().find(|line| line.starts_with("balancer, slow lane: slow header: attackers' ends ")).unwrap();
    let ends = note.split(" × 200").next().unwrap().rsplit(' ').next().unwrap().replace(',', "");
    assert!(ends.parse::<u32>().unwrap() > 50, "{note}");
}

#[test]
fn a_balancer_that_ends_under_the_crowd_is_quoted_and_nothing_is_written() {
    let stage = Stage::new();
    let output = bench(&stage, &["supermarket", "--duration", "60s"]).env("DIE_AFTER", "9").output().unwrap();
    let said = said(&output);
    assert!(said.contains("bench: balancer, slow lane ended while it was measured (exit code 1)"), "{said}");
    assert!(said.ends_with("  | tired\n"), "{said}");
    assert_eq!((output.status.code(), output.stdout.len(), stage.written().len()), (Some(1), 0, 0));
    stage.assert_all_gone();
}

#[test]
fn an_interrupted_run_ends_everything_and_writes_nothing() {
    for command in ["supermarket", "attack"] {
        let stage = Stage::new();
        let child = bench(&stage, &[command, "--duration", "60s"]).spawn().unwrap();
        let until = Instant::now() + LIMIT;
        // Four workers and a balancer.
        while stage.pids().len() < 5 {
            assert!(Instant::now() < until, "not all were started");
            thread::yield_now();
        }
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
        let output: Output = child.wait_with_output().unwrap();
        let seen = (output.status.code(), output.stdout.len(), stage.written().len());
        assert_eq!(seen, (Some(130), 0, 0), "{}", said(&output));
        stage.assert_all_gone();
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named_before_anything_starts() {
    let stage = Stage::new();
    fs::write(stage.results(), "a file").unwrap();
    let output = bench(&stage, &["overload"]).output().unwrap();
    assert!(said(&output).starts_with("bench: cannot create "), "{}", said(&output));
    assert_eq!((output.status.code(), stage.pids().len()), (Some(1), 0));
}
