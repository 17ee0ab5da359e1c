//! The whole program, with scripted generators and origins: what it prints, its exit code, and that nothing stays behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests; the lint sees only functions marked so")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

/// A folder with a scripted `ab`, `wrk` and `strace` that comes first on the program's `PATH`.
struct Stage(PathBuf);

impl Stage {
    fn new(ab: &str) -> Stage {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("bench-test-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let stage = Stage(folder);
        // Asked for its version it says nothing, and nothing starts to hang.
        stage.script("ab", &format!("[ \"$1\" = -n ] || exit 0\n{ab}"));
        stage.script("wrk", &format!("cat {}", captured("wrk.txt")));
        stage.script("strace", "echo 'attach: Operation not permitted' >&2; exit 1");
        stage
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{text}\n", self.0.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn bench(&self, arguments: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.args(["--quick", "--scenario", "connection,keepalive", "--origin", "backend", "--backend", SERVE]);
        command.arg("--output").arg(self.results()).args(arguments);
        command.env("PATH", format!("{}:{path}", self.0.display())).env("NOTES", &self.0).env("TMPDIR", &self.0);
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

    fn pid(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(format!("{name}.pid"))).unwrap()
    }

    /// Folders of runs that were not removed.
    fn left_behind(&self) -> usize {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("bench-")).count()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_comparison_prints_the_tables_and_writes_every_figure() {
    let stage = Stage::new(&good_ab());
    let arguments = ["--only", "direct,balancer", "--balancer", SERVE, "--rounds", "3"];
    let output = stage.bench(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("\nab -n 5000 -c 100 ") && text.contains(" http://127.0.0.1:PORT/hello\n"), "{text}");
    assert!(text.contains("ab latency, ms") && text.contains("wrk latency, ms") && text.contains("\n 66 % "), "{text}");
    assert!(
        text.contains("\nno system calls counted: strace cannot attach (attach: Operation not permitted)\n"),
        "{text}"
    );
    assert!(said(&output).contains("\n[12/12] connection 3/3: balancer, "), "{}", said(&output));

    assert_eq!(stage.written(), ["RESULTS.md", "pictures", "results.csv", "results.json"]);
    let figures: serde_json::Value =
        serde_json::from_slice(&fs::read(stage.results().join("results.json")).unwrap()).unwrap();
    let measurements = figures["measurements"].as_array().unwrap();
    let order = measurements.iter().map(|run| format!("{} {} {}", run["scenario"], run["round"], run["column"]));
    let rounds = |scenario: &'static str| {
        let columns = move |round| ["direct", "balancer"].map(|column| format!("\"{scenario}\" {round} \"{column}\""));
        (1..=3).flat_map(columns)
    };
    assert_eq!(order.collect::<Vec<_>>(), rounds("keepalive").chain(rounds("connection")).collect::<Vec<_>>());
    let csv = fs::read_to_string(stage.results().join("results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + measurements.len());
    let page = fs::read_to_string(stage.results().join("RESULTS.md")).unwrap();
    let picture = page.split_once("](pictures/").unwrap().1.split_once(')').unwrap().0;
    assert!(stage.results().join("pictures").join(picture).is_file(), "{picture}");
    assert_eq!(stage.left_behind(), 0);
    await_gone(&stage.pid("origin"));
    await_gone(&stage.pid("balancer"));
}

#[test]
fn page_and_figures_go_where_they_are_told() {
    let stage = Stage::new(&good_ab());
    let [page, json] = ["page.md", "figures.json"].map(|name| stage.0.join(name));
    let arguments = ["--only", "direct", "--results", page.to_str().unwrap(), "--json", json.to_str().unwrap()];
    let output = stage.bench(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(fs::read_to_string(page).unwrap().starts_with("# Results\n") && json.is_file());
    assert_eq!(stage.written(), ["results.csv"]);
}

#[test]
fn the_scenarios_are_listed() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench")).arg("--list").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(0), 14));
    assert!(
        text.starts_with("keepalive    wrk -c64, 11 bytes: connections kept open\nconnection   ab -c 100"),
        "{text}"
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_told_before_anything_is_measured() {
    let stage = Stage::new(&good_ab());
    fs::write(stage.results(), "a file").unwrap();
    let output = stage.bench(&["--only", "direct"]).output().unwrap();
    assert!(said(&output).starts_with("bench: cannot create "), "{}", said(&output));
    assert_eq!((output.status.code(), stage.left_behind()), (Some(1), 0));
}

#[test]
fn a_peer_that_does_not_start_is_quoted() {
    let stage = Stage::new(&good_ab());
    stage.script("haproxy", "echo 'cannot bind socket: Address already in use' >&2; exit 1");
    let output = stage.bench(&["--only", "direct,haproxy"]).output().unwrap();
    let expected = "bench: haproxy ended instead of starting (exit code 1); its stderr ends with:\n  \
                    | cannot bind socket: Address already in use\n";
    assert!(said(&output).ends_with(expected), "{}", said(&output));
    assert_eq!((output.status.code(), stage.left_behind(), stage.written().len()), (Some(1), 0, 0));
    await_gone(&stage.pid("origin"));
}

#[test]
fn a_scenario_without_the_columns_asked_for_is_refused() {
    let stage = Stage::new(&good_ab());
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(["--scenario", "unix", "--only", "direct", "--output"]).arg(stage.results());
    let output = command.env("PATH", stage.bench(&[]).get_envs().find_map(path).unwrap()).output().unwrap();
    assert_eq!(said(&output), "bench: no table of unix: it has none of the columns asked for\n");
}

#[test]
fn failed_requests_are_printed_and_fail_the_run() {
    let script = good_ab().replace("ab.txt", "ab_no_answer.txt");
    let output = Stage::new(&script).bench(&["--only", "direct"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("!!! direct: 500 FAILED REQUESTS."), "{text}");
}

#[test]
fn without_the_tools_it_says_what_to_install() {
    let stage = Stage::new("");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let output = command.arg("--output").arg(stage.results()).env("PATH", "/nowhere").output().unwrap();
    assert_eq!(said(&output), "bench: missing: ab and wrk. Install with: apt-get install apache2-utils wrk\n");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn an_origin_that_does_not_start_is_quoted() {
    let stage = Stage::new(&good_ab());
    stage.script("broken", "echo 'no such library' >&2; exit 7");
    let broken = stage.0.join("broken");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(["--origin", "backend", "--only", "direct", "--scenario", "keepalive", "--backend"]).arg(broken);
    command.arg("--output").arg(stage.results());
    let output = command.env("PATH", stage.bench(&[]).get_envs().find_map(path).unwrap()).output().unwrap();
    let expected =
        "bench: origin 1 ended instead of starting (exit code 7); its stderr ends with:\n  | no such library\n";
    assert_eq!((said(&output).as_str(), output.status.code()), (expected, Some(1)));
}

#[test]
fn a_balancer_that_answers_something_else_is_not_measured() {
    let stage = Stage::new(&good_ab());
    let mut command = stage.bench(&["--only", "balancer", "--balancer", SERVE]);
    let output = command.env("BODY", "something else").output().unwrap();
    let expected = "balancer answers 200 \"something else\" where the origin answers 200 \"hello world\"";
    assert!(said(&output).contains(expected), "{}", said(&output));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn a_balancer_that_dies_under_load_is_named_instead_of_its_generators_error() {
    let stage = Stage::new("kill -9 $(cat balancer.pid); echo 'apr_socket_recv: Connection refused' >&2; exit 111");
    let output = stage.bench(&["--only", "balancer", "--balancer", SERVE]).output().unwrap();
    assert!(said(&output).contains("bench: balancer ended while it was measured (signal 9)"), "{}", said(&output));
    assert_eq!((output.status.code(), output.stdout.len(), stage.left_behind()), (Some(1), 0, 0));
    await_gone(&stage.pid("origin"));
}

#[test]
fn a_generator_that_fails_by_itself_is_quoted() {
    let stage = Stage::new("echo 'ab: Could not create socket' >&2; exit 1");
    let output = stage.bench(&["--only", "direct"]).output().unwrap();
    let expected = "bench: ab failed (exit code 1); its stderr ends with:\n  | ab: Could not create socket\n";
    assert!(said(&output).ends_with(expected), "{}", said(&output));
}

#[test]
fn an_interrupted_run_ends_everything_and_prints_no_table() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let stage = Stage::new(HANGING_AB);
        let output = signalled_while_measuring(&stage, signal);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{}", said(&output));
        assert!(said(&output).contains("interrupted; everything started has been ended"), "{}", said(&output));
        assert_eq!((stage.left_behind(), stage.written().len()), (0, 0));
        ["origin", "balancer", "ab"].iter().for_each(|name| await_gone(&stage.pid(name)));
    }
}

#[test]
fn a_killed_run_leaves_no_process_behind() {
    let stage = Stage::new(HANGING_AB);
    let output = signalled_while_measuring(&stage, Signal::SIGKILL);
    assert_eq!(output.status.signal(), Some(9));
    ["origin", "balancer", "ab"].iter().for_each(|name| await_gone(&stage.pid(name)));
}

/// Starts a run, waits until its generator works, signals the program and waits for its end.
fn signalled_while_measuring(stage: &Stage, signal: Signal) -> Output {
    mkfifo(&stage.0.join("started"), Mode::S_IRWXU).unwrap();
    let child = stage.bench(&["--only", "balancer", "--balancer", SERVE]).spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    let fifo = stage.0.join("started");
    within_limit(move || fs::read_to_string(fifo).unwrap());
    kill(pid, signal).unwrap();
    within_limit(move || Child::wait_with_output(child).unwrap())
}

fn within_limit<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(LIMIT).unwrap()
}

/// Waits until a process is gone, or a zombie only.
fn await_gone(pid: &str) {
    let until = Instant::now() + LIMIT;
    while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < until, "process {pid} is still there");
        thread::yield_now();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn path<'a>((name, value): (&std::ffi::OsStr, Option<&'a std::ffi::OsStr>)) -> Option<&'a std::ffi::OsStr> {
    if name == "PATH" { value } else { None }
}

fn captured(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name).display().to_string()
}

/// Called as `ab -n N -c C -q -e FILE URL`.
fn good_ab() -> String {
    format!("cp {} \"$7\"; cat {}", captured("ab.csv"), captured("ab.txt"))
}

/// Tells that it runs, and runs on.
const HANGING_AB: &str = "echo $$ | tr -d '\\n' > ab.pid; echo > started; exec sleep 600";
const SERVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/serve.py");
const LIMIT: Duration = Duration::from_secs(30);
