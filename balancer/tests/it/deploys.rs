//! Deploys that go wrong, orders of start and stop, and programs without HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use balancer::config;
use balancer::supervise::{State, Status};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{Balancer, Client, directory, eventually};
use crate::supervise::{Room, python, scratch, shell};

/// Answers what its file says; `serve` is called once it may.
const SERVER: &str = r#"
import fcntl, http.server, os, signal, socket, sys, threading, time
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        host = self.headers.get("Host", "").split(":")[0]
        status = 400 if os.environ.get("ONLY", host) != host else 200
        body = os.environ.get("SAY", "hello").encode()
        self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
class S(http.server.ThreadingHTTPServer):
    daemon_threads = True
def serve(): S(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
def die_after(seconds, code):
    def die():
        time.sleep(seconds); print("the reason why", flush=True); os._exit(code)
    threading.Thread(target=die, daemon=True).start()
"#;

fn app(text: &str) -> PathBuf {
    let folder = directory();
    release(&folder, text);
    folder
}

fn release(folder: &Path, text: &str) {
    fs::write(folder.join("app.py"), format!("{SERVER}{text}\n")).unwrap();
}

fn pool(folder: &Path, more: &str) -> String {
    format!("[pool.app.workers]\ncommand = [\"python3\", \"app.py\"]\ndirectory = {folder:?}\n{more}\n")
}

fn status(balancer: &Balancer) -> Value {
    let (_, said) = balancer.run(&["status", "--json"]);
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"))
}

#[test]
fn a_release_that_dies_when_it_seems_to_run_is_no_success_and_the_old_one_stays() {
    let folder = app("serve()");
    let mut balancer = Balancer::start("", &pool(&folder, "count = 2"));
    balancer.await_stderr_of("app.1 (pid", "is ready at");
    balancer.await_stderr_of("app.2 (pid", "is ready at");
    for broken in [
        // It accepts before it is imported, as gunicorn does, and dies of that.
        "s = socket.create_server((\"127.0.0.1\", int(os.environ[\"PORT\"])))\ntime.sleep(1)\nprint(\"the reason why\", flush=True)\nos._exit(3)",
        // It answers, and dies of what it does a little later.
        "die_after(1, 3)\nserve()",
    ] {
        release(&folder, broken);
        let (code, said) = balancer.run(&["restart", "app"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("app.1: the new one died after ") && said.contains("the reason why"), "{said}");
        assert!(said.contains(" s (exit code 3); the old one stays, 0 of 2 replaced"), "{said}");
        assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    }
    release(&folder, "os.environ['SAY'] = 'mended'\nserve()");
    let (code, said) = balancer.run(&["restart", "app"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(Client::of(&balancer).get("/").text(), "mended");
    drop(balancer);
    fs::remove_dir_all(folder).unwrap();
}

const SERVES: &str = "echo Listening; exec sleep 1000";

#[tokio::test]
async fn a_replacement_that_dies_once_is_tried_once_more_and_no_oftener() {
    let folder = scratch("dies-once");
    let [mark, file, count] = ["mark", "script", "count"].map(|name| folder.join(name));
    fs::write(&file, SERVES).unwrap();
    let room = Room::start(shell(&format!(". {}", file.display())));
    room.until_ready().await;
    fs::write(&file, format!("if mkdir {}; then kill -9 $$; fi; {SERVES}", mark.display())).unwrap();
    assert_eq!(room.supervisor.roll().await.unwrap().replaced.len(), 1);
    room.log.until("app.1: the new one died; one more is tried").await;
    fs::write(&file, format!("echo x >> {}; exit 3", count.display())).unwrap();
    let error = room.supervisor.roll().await.unwrap_err().to_string();
    assert!(error.contains("the old one stays, 0 of 1 replaced"), "{error}");
    assert_eq!(fs::read_to_string(count).unwrap(), "x\nx\n");
}

#[tokio::test]
async fn a_release_that_dies_once_it_has_taken_over_ends_the_roll_and_whoever_is_left_stays() {
    let folder = scratch("dies-later");
    let [file, go] = ["script", "go"].map(|name| folder.join(name));
    fs::write(&file, SERVES).unwrap();
    let room = Room::start(config::Workers { count: 3, ..shell(&format!(". {}", file.display())) });
    room.until_ready().await;
    // The third is being made ready when the first two die of what they are.
    let dies = format!("while [ ! -e {} ]; do sleep 0.05; done; exit 3", go.display());
    fs::write(&file, format!("[ $INSTANCE_ID = 3 ] && exec sleep 1000; echo Listening; {dies}")).unwrap();
    let told = async {
        room.log.until("app.2 has pid ").await;
        fs::write(&go, "").unwrap();
    };
    let (rolled, ()) = tokio::join!(room.supervisor.roll(), told);
    let error = rolled.unwrap_err().to_string();
    assert!(error.contains("the new one died after ") && error.contains("(exit code 3)"), "{error}");
    assert!(error.contains("2 of 3 replaced"), "{error}");
    room.log.until("app: roll stopped: app.").await;
}

#[tokio::test]
async fn a_pool_that_a_roll_has_left_mixed_says_so_until_another_is_done() {
    let file = scratch("mixed").join("script");
    fs::write(&file, SERVES).unwrap();
    let room = Room::start(config::Workers { count: 3, ..shell(&format!(". {}", file.display())) });
    assert_eq!(room.until_ready().await.mixed, None);
    fs::write(&file, format!("[ $INSTANCE_ID = 2 ] && exit 3; {SERVES}")).unwrap();
    let error = room.supervisor.roll().await.unwrap_err().to_string();
    assert!(error.starts_with("app.2: the new one died") && error.contains("1 of 3 replaced"), "{error}");
    let status = room.until("settled", |status| status.mixed.is_some() && status.workers.len() == 3).await;
    assert_eq!(status.mixed.as_deref(), Some("mixed since a roll was given up: app.1 new, app.2, app.3 old"));
    fs::write(&file, SERVES).unwrap();
    room.supervisor.roll().await.unwrap();
    assert_eq!(room.supervisor.status().mixed, None);
}

/// It ends with 9 while another one runs.
const ALONE: &str = "lock = open(\"lock\", \"w\")\ntry: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\nexcept OSError: os._exit(9)\n";

#[test]
fn what_may_not_run_twice_is_stopped_before_it_is_started_again() {
    let folder = app(&format!("{ALONE}serve()"));
    let mut balancer = Balancer::start("", &pool(&folder, "roll = \"stop_first\"\nhang_timeout = \"5s\""));
    balancer.await_stderr("is ready at");
    let before = status(&balancer)["pools"][0]["workers"]["all"][0]["pid"].clone();
    release(&folder, &format!("{ALONE}os.environ['SAY'] = 'new'\nserve()"));
    let (code, said) = balancer.run(&["restart", "app"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(Client::of(&balancer).get("/").text(), "new");
    let after = status(&balancer)["pools"][0]["workers"]["all"][0].clone();
    assert!(after["pid"] != before && after["restart_reasons"]["rolled"] == 1, "{after}");
    release(&folder, "os._exit(4)");
    let (code, said) = balancer.run(&["restart", "app"]);
    assert!(code == 1 && said.contains("(exit code 4); no old one is left, 0 of 1 replaced"), "{said}");
    release(&folder, &format!("{ALONE}serve()"));
    balancer.await_stderr_count("is ready at", 3);
    assert!(!balancer.await_stderr("is ready at").contains("exit code 9"));
    drop(balancer);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn programs_without_http_are_kept_alive_and_are_no_endpoints() {
    let folder = app("serve()");
    let jobs = "[pool.jobs.workers]\ncommand = [\"sleep\", \"1000\"]\ncount = 2\nready = { alive = \"100ms\" }\n";
    let mut balancer = Balancer::start("", &format!("{jobs}{}", pool(&folder, "")));
    balancer.await_stderr_of("jobs.2 (pid", "it is taken as ready");
    balancer.await_stderr_of("app.1 (pid", "is ready at");
    // There is one pool that takes requests, so there need be no route.
    assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    let told = status(&balancer);
    assert_eq!(told["ready"], true, "{told}");
    let jobs = told["pools"].as_array().unwrap().iter().find(|pool| pool["name"] == "jobs").unwrap().clone();
    assert!(jobs["endpoints"].as_array().unwrap().is_empty(), "{jobs}");
    let pid = jobs["workers"]["all"][1]["pid"].as_i64().unwrap();
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
    balancer.await_stderr_of("jobs.2 (pid", "died: killed by signal 9");
    let (code, said) = balancer.run(&["restart", "jobs"]);
    assert_eq!(code, 0, "{said}");
    fs::write(balancer.directory().join("lb.toml"), "listen = \"127.0.0.1:0\"\n[pool.jobs.workers]\ncommand = [\"sleep\", \"1\"]\nready = { alive = \"1s\" }\n[[route]]\npool = \"jobs\"\n").unwrap();
    let (code, said) = balancer.run(&["check"]);
    assert!(code == 78 && said.contains("takes no requests"), "{said}");
    drop(balancer);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_pool_is_started_when_those_before_it_are_ready_or_have_done_their_work() {
    let folder = app("open('web', 'w').close()\nserve()");
    let gate = folder.join("gate");
    let db = format!(
        "[pool.db.workers]\ncommand = [\"sh\", \"-c\", \"until [ -e {0} ]; do sleep 0.05; done; echo up; exec sleep 1000\"]\n\
         ready = {{ line = \"up\" }}\n[[route]]\npool = \"app\"\n\
         [pool.migrate.workers]\ncommand = [\"sh\", \"-c\", \"test -e {0}\"]\nready = {{ alive = \"10s\" }}\nrestart = \"on_failure\"\nafter = [\"db\"]\n",
        gate.display()
    );
    let mut balancer = Balancer::start("", &format!("{}{db}", pool(&folder, "after = [\"db\", \"migrate\"]")));
    balancer.await_stderr("app: its workers are started when those of db, migrate are ready");
    balancer.await_stderr_of("db.1 (pid", "started");
    assert!(!folder.join("web").exists());
    fs::write(&gate, "").unwrap();
    let log = balancer.await_stderr_of("app.1 (pid", "is ready at");
    let at = |part: &str| log.find(part).unwrap_or_else(|| panic!("{part} in {log}"));
    assert!(at("db.1 (pid") < at("migrate.1 (pid") && at("has finished: exit code 0") < at("app.1 (pid"), "{log}");
    drop(balancer);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_pool_that_waits_for_others_is_started_all_the_same_after_its_time() {
    let folder = app("serve()");
    let db =
        "[pool.db.workers]\ncommand = [\"sleep\", \"1000\"]\nready = { line = \"never\" }\n[[route]]\npool = \"app\"\n";
    let keys = "after = [\"db\"]\nafter_timeout = \"300ms\"";
    let mut balancer = Balancer::start("", &format!("{}{db}", pool(&folder, keys)));
    let said = "app: those of db are not ready within 300 ms (after_timeout): its workers are started all the same";
    balancer.await_stderr(said);
    balancer.await_stderr_of("app.1 (pid", "is ready at");
    assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    assert!(balancer.run(&["events"]).1.contains("those of db are not ready within 300 ms"));
    drop(balancer);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_worker_is_started_again_as_its_pool_says() {
    for (restart, code, again) in [
        (config::Restart::Always, 0, true),
        (config::Restart::OnFailure, 0, false),
        (config::Restart::OnFailure, 3, true),
        (config::Restart::Never, 3, false),
    ] {
        let room = Room::start(config::Workers { restart, ..shell(&format!("echo Listening; exit {code}")) });
        let status = room.until("an end", |status| status.workers[0].reason.is_some()).await;
        let worker = &status.workers[0];
        assert_eq!((worker.state == State::Exited, worker.finished), (!again, !again), "{restart:?} {code} {worker:?}");
        if again {
            room.until("another start", |status| status.workers[0].restarts > 0).await;
        }
    }
}

#[test]
fn an_app_that_answers_only_its_own_host_is_asked_for_it_and_told_otherwise() {
    let folder = app("os.environ['ONLY'] = 'app.example'\nserve()");
    let mut balancer = Balancer::start("", &pool(&folder, "ready = { path = \"/up\" }\nready_timeout = \"1s\""));
    balancer.await_stderr_of("is not ready after", "GET /up was answered 400 (an app that answers only its own host");
    let named = "ready = { path = \"/up\", host = \"app.example\" }\nwarm_up = { requests = 2, host = \"app.example\" }\n\
                 [pool.app.probe]\npath = \"/\"\nhost = \"app.example\"\ninterval = \"50ms\"\nfall = 1";
    let mut balancer = Balancer::start("", &pool(&folder, named));
    balancer.await_stderr("is ready at");
    // Whatever it says to another host, it answers.
    drop(balancer);
    let mut balancer = Balancer::start("", &pool(&folder, ""));
    balancer.await_stderr("is ready at");
    drop(balancer);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn requests_wait_for_the_first_worker_where_none_is_ready() {
    let folder = app("time.sleep(0.5)\nserve()");
    let tables = |keys: &str| format!("[pool.app]\n{keys}{}", pool(&folder, "roll = \"stop_first\""));
    let mut balancer = Balancer::start("", &tables(""));
    assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    balancer.await_stderr("is ready at");
    // Nor does one fail while the only one is stopped before it is started again.
    let restart = balancer.command(&["restart", "app"]).spawn().unwrap();
    let mut client = Client::of(&balancer);
    let told = |count: usize| balancer.count_logged(&["\"status\":200"]) >= count;
    balancer.await_stderr_count("is drained", 1);
    assert_eq!(client.get("/").text(), "hello");
    eventually(|| "its line".to_owned(), || told(2).then_some(()));
    assert!(restart.wait_with_output().unwrap().status.success());

    let impatient = Balancer::start("", &tables("ready_wait = \"0s\"\n"));
    assert_eq!(Client::of(&impatient).get("/").status(), 503);
    // Half a second is not enough for one that is never ready.
    let never = "[pool.app]\nready_wait = \"300ms\"\n[pool.app.workers]\ncommand = [\"sleep\", \"1000\"]\n";
    let never = Balancer::start("", never);
    assert_eq!(Client::of(&never).get("/").status(), 503);
    never.logged(&["\"reason\":\"no_endpoint\""]);
    drop((balancer, impatient));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn one_client_has_half_of_the_places_in_which_requests_wait_for_a_worker() {
    let never =
        "[pool.app]\nready_wait = \"20s\"\nqueue_max = 8\n[pool.app.workers]\ncommand = [\"sleep\", \"1000\"]\n";
    let balancer = Balancer::start("", never);
    let ask = |address: &str, count: usize| {
        let ask = |_| {
            let mut client = super::slots::from(&balancer, address);
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        };
        (0..count).map(ask).collect::<Vec<Client>>()
    };
    let mut waiting = Vec::new();
    for address in ["127.0.0.2", "127.0.0.3"] {
        waiting.extend(ask(address, 5));
        let refused = || balancer.count_logged(&["\"status\":503", &format!("\"client\":\"{address}\"")]);
        eventually(|| format!("one refused of {address}"), || (refused() == 1).then_some(()));
    }
    assert_eq!(ask("127.0.0.4", 1)[0].response().status(), 503, "both halves are taken");
}

const WEB_SOCKET: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn a_web_socket_keeps_no_worker_for_long_and_its_worker_says_good_bye() {
    let command = format!("[{:?}, \"backend\", \"{{port}}\"]", env!("CARGO_BIN_EXE_balancer"));
    let tables = format!("[pool.app]\ntunnel_drain_timeout = \"3s\"\n[pool.app.workers]\ncommand = {command}\n");
    // What is left of `drain_timeout` is not waited for.
    let mut balancer = Balancer::start("drain_timeout = \"1h\"", &tables);
    balancer.await_stderr("is ready at");
    let mut client = Client::of(&balancer);
    client.send(WEB_SOCKET);
    assert_eq!(client.head().status(), 101);
    let (code, said) = balancer.run(&["restart", "app"]);
    assert_eq!(code, 0, "{said}");
    // A close frame of two bytes: 1001, going away.
    assert_eq!(client.take(4), [0x88, 0x02, 0x03, 0xe9]);
    balancer.await_stderr("is drained, requests in flight: 1, 1 WebSocket of them, which may go on for 3 s");
    balancer.await_stderr("is told to stop with 1 WebSocket open");
}

/// Has 60 MB, and four children that share them.
const SHARES: &str = "import os, time\nmemory = bytearray(60_000_000)\nchildren = [os.fork() for _ in range(4) if os.getpid() == os.getpgrp()]\n\
                      print('Listening', flush=True) if os.getpid() == os.getpgrp() else None\ntime.sleep(1000)";

#[tokio::test]
async fn memory_that_processes_share_is_counted_once() {
    let recycle = config::Recycle { memory_max: Some(200_000_000), ..config::Recycle::default() };
    let room = Room::start(config::Workers { recycle, ..python(SHARES) });
    // The sum that counts it for each is 300 MB and more.
    let counted = |status: &Status| (60_000_000..150_000_000).contains(&status.workers[0].usage.rss_bytes);
    room.until("its memory", counted).await;
    let begun = tokio::time::Instant::now();
    let mut watch = room.supervisor.watch();
    while begun.elapsed() < Duration::from_secs(7) {
        let _ = tokio::time::timeout(Duration::from_secs(1), watch.changed()).await;
        let status = watch.borrow_and_update().clone();
        assert!(!status.workers[0].stale && status.workers[0].usage.rss_bytes < 180_000_000, "{status:#?}");
    }
}
