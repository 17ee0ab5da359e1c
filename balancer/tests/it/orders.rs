//! What an operator's hand does: all workers killed by one command, a stop in the middle of a roll.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Balancer, Client, directory, eventually};

/// Answers after `SLOW` seconds, `/health` with `HEALTH`, and dies of a request with `X-Die`.
const SERVER: &str = r#"
import http.server, os, time
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("X-Die"): os._exit(3)
        time.sleep(SLOW)
        self.send_response(HEALTH if self.path == "/health" else 200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    do_POST = do_GET
    def log_message(self, *a): pass
class S(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 99
time.sleep(STARTS)
S(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
"#;

fn release(folder: &Path, slow: f64, starts: f64) {
    fs::write(folder.join("app.py"), format!("SLOW, STARTS, HEALTH = {slow}, {starts}, 200\n{SERVER}")).unwrap();
}

fn started(folder: &Path, workers: usize, more: &str) -> Balancer {
    let command = format!("[pool.app.workers]\ncommand = [\"python3\", \"app.py\"]\ndirectory = {folder:?}\n");
    let mut balancer = Balancer::start("", &format!("{command}count = {workers}\n{more}\n"));
    for index in 1..=workers {
        balancer.await_stderr_of(&format!("app.{index} (pid"), "is ready at");
    }
    balancer
}

fn app(slow: f64) -> PathBuf {
    let folder = directory();
    release(&folder, slow, 0.0);
    folder
}

/// The processes of the workers that were started.
fn pids(balancer: &Balancer) -> Vec<i32> {
    let said = balancer.said();
    let started = said.lines().filter(|line| line.contains(") started for "));
    started.map(|line| line.split("(pid ").nth(1).unwrap().split(')').next().unwrap().parse().unwrap()).collect()
}

/// Commands that go on while the test does.
fn begin(balancer: &Balancer, arguments: &[&str]) -> Child {
    let mut command: Command = balancer.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// How a command has ended, and what it has said.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let code = child.wait().unwrap().code();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (code, said)
}

#[test]
fn workers_that_are_killed_by_one_command_refuse_nothing_to_a_client_behind_one_address() {
    let folder = app(0.3);
    let balancer = started(&folder, 4, "");
    let (done, victims) = (AtomicBool::new(false), pids(&balancer));
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let answer = Client::of(&balancer).get("/");
                    assert!(!answer.text().contains("query_of_death"), "{}", answer.text());
                }
            });
        }
        // Twelve requests at a time are in flight, at every worker some.
        let in_flight = || {
            let (_, said) = balancer.run(&["status", "--json"]);
            let status: serde_json::Value = serde_json::from_str(&said).unwrap();
            let rows = status["pools"][0]["rows"].as_array().unwrap().clone();
            rows.iter().all(|row| row["in_flight"].as_u64() > Some(0)).then_some(())
        };
        eventually(|| "no worker without a request".to_owned(), in_flight);
        victims.iter().for_each(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap());
        balancer.await_stderr_count(" died: ", 4);
        balancer.await_stderr_count(") started for ", 8);
        balancer.await_stderr_count(" is ready at ", 8);
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(Client::of(&balancer).get("/").text(), "ok");
    assert!(!balancer.said().contains("was in flight when workers died"), "{}", balancer.said());
    drop(balancer);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn status_says_what_is_refused_and_a_restart_of_the_workers_forgets_it() {
    let folder = app(0.0);
    let balancer = started(&folder, 3, "query_of_death = 2");
    let die = || {
        let mut client = Client::of(&balancer);
        client.send("POST /save HTTP/1.1\r\nHost: a\r\nX-Die: 1\r\nContent-Length: 0\r\n\r\n");
        client.response()
    };
    assert_eq!([(); 2].map(|()| die().status()), [502; 2]);
    let refused = die();
    assert_eq!(refused.status(), 503);
    let left: u64 = refused.field("Retry-After").unwrap().parse().unwrap();
    assert!((40..=60).contains(&left), "{left}");
    let (code, said) = balancer.run(&["status"]);
    assert_eq!(code, 0);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("POST /save is refused to client 127.0.0.1 for "), "{said}");
    assert!(
        said.contains(" s more: 2 workers died of it (a restart of the workers ends that, query_of_death = 0"),
        "{said}"
    );
    let (code, said) = balancer.run(&["restart"]);
    assert_eq!(code, 0, "{said}");
    balancer.await_stderr_count("is allowed again", 1);
    assert_eq!(die().status(), 502, "it reaches a worker");
    drop(balancer);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_stop_ends_a_roll_at_once_and_says_how_far_it_came() {
    let folder = app(0.0);
    let mut balancer = started(&folder, 4, "[pool.app]\nbuffer_request = \"64KiB\"");
    release(&folder, 0.0, 0.5);
    let restart = begin(&balancer, &["restart"]);
    balancer.await_stderr("app.1 has pid ");
    // The stop has something to wait for, which no worker has yet.
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1");
    let stop = begin(&balancer, &["stop"]);
    balancer.await_stderr("asked to stop");
    let (code, said) = ended(restart);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("app: stopped in the middle of the roll: ") && said.contains(" of 4 replaced"), "{said}");
    // Longer than the next replacement would take.
    let later = std::time::Instant::now() + std::time::Duration::from_secs(3);
    eventually(|| "three seconds".to_owned(), || (std::time::Instant::now() > later).then_some(()));
    client.send("2");
    assert_eq!(client.response().status(), 200);
    drop(client);
    let (code, said) = ended(stop);
    assert_eq!(code, Some(0), "{said}");
    let log = balancer.said();
    let (_, after) = log.split_once("asked to stop").unwrap();
    assert!(!after.contains(") started for ") && !after.contains("has pid"), "{after}");
    assert!(after.contains("app: stopped in the middle of the roll"), "{after}");
    drop(balancer);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_release_that_says_it_is_not_ready_is_told_in_every_place_and_a_failed_roll_until_one_succeeds() {
    let folder = app(0.0);
    let balancer = started(&folder, 1, "ready = { path = \"/health\" }\nready_timeout = \"8s\"");
    let status = || {
        let (_, said) = balancer.run(&["status"]);
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    fs::write(folder.join("app.py"), format!("SLOW, STARTS, HEALTH = 0, 0, 503\n{SERVER}")).unwrap();
    let first = begin(&balancer, &["restart"]);
    let late = "app.1 is not ready after 3 s: GET /health was answered 503 (gives up in ";
    balancer.await_stderr_count(late, 1);
    let second = begin(&balancer, &["restart", "app"]);
    let shown = status();
    assert!(shown.contains("app (app.1 is not ready after ") && shown.contains("503 (gives up in "), "{shown}");
    let (_, events) = balancer.run(&["events"]);
    assert!(events.contains(late), "{events}");
    // Who leaves a command ends only that.
    kill(Pid::from_raw(first.id().cast_signed()), Signal::SIGINT).unwrap();
    let (code, said) = ended(first);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("the roll goes on; see balancer status"), "{said}");
    let (code, said) = ended(second);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("waiting: workers are being replaced (app.1 is not ready after "), "{said}");
    let shown = status();
    assert!(shown.contains("the last roll failed ") && shown.contains(" ago, 0 of 1 replaced: app.1 "), "{shown}");
    release(&folder, 0.0, 0.0);
    let (code, said) = balancer.run(&["restart"]);
    assert_eq!(code, 0, "{said}");
    assert!(!status().contains("the last roll failed"), "{}", status());
    drop(balancer);
    fs::remove_dir_all(folder).unwrap();
}
