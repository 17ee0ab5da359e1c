use std::{fs, os::unix::process::ExitStatusExt as _, process::Command};

use nix::sys::signal::Signal;

use super::{Stage, beside, printed, said};

/// With a scripted `ab`, `wrk` and `strace`.
fn stage(ab: &str) -> Stage {
    let stage = Stage::new();
    // Asked for its version it says nothing, and nothing starts to hang.
    stage.script("ab", &format!("[ \"$1\" = -n ] || exit 0\n{ab}"));
    stage.script("wrk", &format!("cat {}", beside("testdata/wrk.txt")));
    stage.script("strace", "echo 'attach: Operation not permitted' >&2; exit 1");
    stage
}

fn bench(stage: &Stage, arguments: &[&str]) -> Command {
    let (results, serve) = (stage.results().display().to_string(), beside("tests/serve.py"));
    let all = [
        "--quick",
        "--scenario",
        "connection,keepalive",
        "--origin",
        "backend",
        "--backend",
        &serve,
        "--balancer",
        &serve,
    ];
    stage.bench(&all.into_iter().chain(["--output", &results]).chain(arguments.iter().copied()).collect::<Vec<_>>())
}

/// Called as `ab -n N -c C -q -e FILE URL`.
fn good_ab() -> String {
    format!("cp {} \"$7\"; cat {}", beside("testdata/ab.csv"), beside("testdata/ab.txt"))
}

/// Tells that it runs, and runs on.
const HANGING_AB: &str = "echo $$ | tr -d '\\n' > ab.pid; echo > started; exec sleep 600";

#[test]
fn a_comparison_prints_the_tables_and_writes_every_figure() {
    let stage = stage(&good_ab());
    let output = bench(&stage, &["--only", "direct,balancer", "--rounds", "3"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = printed(&output);
    for part in
        ["\nab -n 5000 -c 100 ", " http://127.0.0.1:PORT/hello\n", "ab latency, ms", "wrk latency, ms", "\n66 % "]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let note = "\nno system calls counted: strace cannot attach (attach: Operation not permitted)\n";
    assert!(text.contains(note), "{text}");
    assert!(said(&output).contains("\n[12/12] connection 3/3: balancer, "), "{}", said(&output));

    assert_eq!(stage.written(), ["RESULTS.md", "pictures", "results.csv", "results.json"]);
    let figures = stage.json("results.json");
    let names: Vec<_> = (0..3).map(|nth| figures["sections"][nth]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["keepalive", "connection", "Bars"]);
    let rate = &figures["sections"][1]["groups"][1][1];
    assert_eq!((rate["of"].as_str(), rate["what"].as_str()), (Some("balancer"), Some("requests/s")));
    assert_eq!(rate["rounds"].as_array().unwrap().len(), 3);
    let csv = fs::read_to_string(stage.results().join("results.csv")).unwrap();
    assert_eq!(
        csv.lines().filter(|line| line.starts_with("connection,balancer,requests/s,count,")).count(),
        3,
        "{csv}"
    );
    let page = fs::read_to_string(stage.results().join("RESULTS.md")).unwrap();
    let picture = page.split_once("](pictures/").unwrap().1.split_once(')').unwrap().0;
    assert!(stage.results().join("pictures").join(picture).is_file() && page.lines().count() < 60, "{page}");
    stage.assert_all_gone();
}

#[test]
fn page_and_figures_go_where_they_are_told_and_the_scenarios_are_listed() {
    let stage = stage(&good_ab());
    let [page, json] = ["page.md", "figures.json"].map(|name| stage.0.join(name));
    let arguments = ["--only", "direct", "--results", page.to_str().unwrap(), "--json", json.to_str().unwrap()];
    let output = bench(&stage, &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(fs::read_to_string(page).unwrap().starts_with("# Results\n") && json.is_file());
    assert_eq!(stage.written(), ["results.csv"]);
    let text = printed(&stage.bench(&["--list"]).output().unwrap());
    assert!(
        text.starts_with("keepalive    wrk -c64, 11 bytes: connections kept open\n") && text.lines().count() == 14,
        "{text}"
    );
}

#[test]
fn what_keeps_a_run_from_beginning_is_told_at_once() {
    let stage = stage(&good_ab());
    fs::write(stage.results(), "a file").unwrap();
    let output = bench(&stage, &["--only", "direct"]).output().unwrap();
    assert!(said(&output).starts_with("bench: cannot create ") && output.status.code() == Some(1), "{}", said(&output));
    fs::remove_file(stage.results()).unwrap();
    let results = stage.results().display().to_string();
    let output = stage.bench(&["--scenario", "unix", "--only", "direct", "--output", &results]).output().unwrap();
    assert_eq!(said(&output), "bench: no table of unix: it has none of the columns asked for\n");
    let output = bench(&stage, &["--only", "direct"]).env("PATH", "/nowhere").output().unwrap();
    assert_eq!(said(&output), "bench: missing: ab and wrk. Install with: apt-get install apache2-utils wrk\n");
    stage.assert_all_gone();
}

#[test]
fn a_peer_or_an_origin_that_does_not_start_is_quoted() {
    let stage = stage(&good_ab());
    stage.script("haproxy", "echo 'cannot bind socket: Address already in use' >&2; exit 1");
    let output = bench(&stage, &["--only", "direct,haproxy"]).output().unwrap();
    let expected = "bench: haproxy ended instead of starting (exit code 1); its stderr ends with:\n  \
                    | cannot bind socket: Address already in use\n";
    assert!(said(&output).ends_with(expected), "{}", said(&output));
    assert_eq!((output.status.code(), stage.written().len()), (Some(1), 0));
    stage.assert_all_gone();
    let broken = stage.script("broken", "echo 'no such library' >&2; exit 7").display().to_string();
    let arguments = ["--only", "direct", "--scenario", "keepalive", "--origin", "backend", "--backend", &broken];
    let output = stage.bench(&arguments).arg("--output").arg(stage.results()).output().unwrap();
    let expected =
        "bench: origin 1 ended instead of starting (exit code 7); its stderr ends with:\n  | no such library\n";
    assert_eq!((said(&output).as_str(), output.status.code()), (expected, Some(1)));
}

#[test]
fn failed_requests_are_printed_and_fail_the_run() {
    let stage = stage(&good_ab().replace("ab.txt", "ab_no_answer.txt"));
    let output = bench(&stage, &["--only", "direct"]).output().unwrap();
    assert!(printed(&output).contains("!!! direct: 500 FAILED REQUESTS."), "{}", printed(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_balancer_that_answers_something_else_or_dies_is_named() {
    let stage = self::stage("kill -9 $(cat balancer.pid); echo 'apr_socket_recv: Connection refused' >&2; exit 111");
    let output = bench(&stage, &["--only", "balancer"]).env("BODY", "something else").output().unwrap();
    let expected = "balancer answers 200 \"something else\" where the origin answers 200 \"hello world\"";
    assert!(said(&output).contains(expected), "{}", said(&output));
    let output = bench(&stage, &["--only", "balancer"]).output().unwrap();
    assert!(said(&output).contains("bench: balancer ended while it was measured (signal 9)"), "{}", said(&output));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    stage.script("ab", "[ \"$1\" = -n ] || exit 0\necho 'ab: Could not create socket' >&2; exit 1");
    let output = bench(&stage, &["--only", "direct"]).output().unwrap();
    let expected = "bench: ab failed (exit code 1); its stderr ends with:\n  | ab: Could not create socket\n";
    assert!(said(&output).ends_with(expected), "{}", said(&output));
    stage.assert_all_gone();
}

#[test]
fn an_interrupted_run_ends_everything_and_prints_no_table() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let stage = stage(HANGING_AB);
        let output = stage.signalled(bench(&stage, &["--only", "balancer"]), signal);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{}", said(&output));
        assert!(said(&output).contains("interrupted; everything started has been ended"), "{}", said(&output));
        assert_eq!((stage.written().len(), stage.pids().len()), (0, 3));
        stage.assert_all_gone();
    }
}

#[test]
fn a_killed_run_leaves_no_process_behind() {
    let stage = stage(HANGING_AB);
    let output = stage.signalled(bench(&stage, &["--only", "balancer"]), Signal::SIGKILL);
    assert_eq!(output.status.signal(), Some(9));
    stage.pids().iter().for_each(|pid| super::await_gone(pid));
}
