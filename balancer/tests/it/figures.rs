//! Figures of each endpoint: what counts, what does not, and what an operator is told of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::admin::{admin_address, ask, status, until_ready, workers};
use super::harness::{Balancer, Client, Origin, directory, eventually, ok, pool_at, pool_of};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";
/// What a database that is away makes of an app.
const DIES: &str = "[pool.api.workers]\ncommand = [\"sh\", \"-c\", \"echo psycopg2.OperationalError: refused >&2; exit 3\"]\n\
    count = 2\nbackoff = { min = \"20s\", max = \"20s\" }\n";

fn row(balancer: &Balancer, name: &str) -> Option<Value> {
    let rows = status(balancer)["pools"][0]["rows"].as_array().unwrap().clone();
    rows.into_iter().find(|row| row["name"] == name)
}

fn only_row(balancer: &Balancer) -> Value {
    status(balancer)["pools"][0]["rows"][0].clone()
}

/// Waits until the only row is as wanted.
fn row_until(balancer: &Balancer, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = eventually(
        || format!("{what}: {}", only_row(balancer)),
        || {
            last = only_row(balancer);
            is_so(&last).then(|| last.clone())
        },
    );
    assert!(is_so(&found));
    found
}

fn page(address: &str, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.0\r\n\r\n"))
}

fn pid_of(row: &Value) -> Pid {
    Pid::from_raw(row["worker"]["pid"].as_i64().unwrap().try_into().unwrap())
}

#[test]
fn counters_go_on_when_a_worker_dies_and_when_it_is_replaced() {
    let mut balancer = Balancer::start("", &format!("{}{ADMIN}", workers(1)));
    until_ready(&balancer, 1);
    let address = admin_address(&mut balancer);
    let given = || row(&balancer, "app.1").map_or(0, |row| row["figures"]["requests"].as_u64().unwrap_or_default());
    let get = || assert_eq!(Client::of(&balancer).get("/").status(), 200);
    (0..3).for_each(|_| get());
    assert_eq!(given(), 3);
    kill(pid_of(&row(&balancer, "app.1").unwrap()), Signal::SIGKILL).unwrap();
    let restarted = |row: &Value| row["worker"]["restarts"] == 1 && row["state"] == "up";
    let back = row_until(&balancer, "the next one", restarted);
    assert_eq!(back["worker"]["last_end"]["how"], "SIGKILL");
    (0..2).for_each(|_| get());
    assert_eq!(given(), 5);
    assert_eq!(balancer.run(&["restart", "app"]).0, 0);
    get();
    assert_eq!(given(), 6);
    let text = page(&address, "/metrics");
    for series in [
        "balancer_endpoint_requests_total{pool=\"app\",endpoint=\"app.1\"} 6\n",
        "balancer_upstream_seconds_count{pool=\"app\",endpoint=\"app.1\"} 6\n",
        "balancer_worker_restarts_total{pool=\"app\",worker=\"app.1\",reason=\"died\"} 1\n",
        "balancer_worker_restarts_total{pool=\"app\",worker=\"app.1\",reason=\"rolled\"} 1\n",
    ] {
        assert!(text.contains(series), "{series} in {text}");
    }
    let (code, table) = balancer.run(&["status"]);
    assert!(code == 0 && table.contains("replaced, rolled, "), "{table}");
}

#[test]
fn an_endpoint_that_fails_says_so_at_once_by_reason_and_is_not_fast() {
    let keys = "attempts_max = 1\neject_after = 0\n";
    let mut balancer = Balancer::start("", &format!("{}{keys}{ADMIN}", pool_at(&["127.0.0.1:1".to_owned()])));
    let address = admin_address(&mut balancer);
    for _ in 0..3 {
        assert_eq!(Client::of(&balancer).get("/").status(), 502);
    }
    let row = row_until(&balancer, "three failures", |row| row["figures"]["errors"] == 3);
    assert_eq!((&row["state"], &row["level"]), (&"failing".into(), &"bad".into()), "{row}");
    assert_eq!(row["figures"]["errors_by_reason"]["connect_failed"], 3, "{row}");
    let status = status(&balancer);
    let pool = &status["pools"][0];
    assert_eq!(pool["errors_by_reason"]["connect_failed"], 3, "{pool}");
    let times = [&pool["seconds_p50"], &row["figures"]["seconds_p50"]];
    assert!(times.iter().all(|time| time.is_null()), "an answer of ours is no time of theirs: {pool}");
    let problem = pool["problem"].as_str().unwrap();
    assert!(problem.contains("127.0.0.1:1 is failing"), "{problem}");
    let series = "balancer_endpoint_errors_total{pool=\"app\",endpoint=\"127.0.0.1:1\",reason=\"connect_failed\"} 3\n";
    let text = page(&address, "/metrics");
    assert!(text.contains(series) && !text.contains("balancer_request_seconds_count{pool=\"app\"}"), "{text}");
}

#[test]
fn an_answer_above_499_is_a_failure_of_its_endpoint_and_another_is_not() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            let status = request.target().trim_start_matches('/').to_owned();
            exchange.send(ok("").replace("200 OK", &format!("{status} X")));
        }
    });
    let balancer = Balancer::start("", &pool_of(&[&origin]));
    for status in ["200", "404", "501"] {
        assert_eq!(Client::of(&balancer).get(&format!("/{status}")).status().to_string(), status);
    }
    let row = row_until(&balancer, "a failure", |row| row["figures"]["errors"] == 1);
    assert_eq!(row["figures"]["errors_by_reason"], serde_json::json!({ "status_5xx": 1 }), "{row}");
    assert_eq!(row["figures"]["requests"], 3);
    assert_eq!(row["state"], "up");
}

#[test]
fn tunnels_and_event_streams_are_counted_apart_and_in_no_time() {
    let origin = Origin::start(|mut exchange| {
        let Some(request) = exchange.request() else { return };
        exchange.send(match request.target() {
            "/ws" => "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
        });
        while exchange.until("\n").is_some() {}
    });
    let balancer = Balancer::start("", &pool_of(&[&origin]));
    let mut tunnel = Client::of(&balancer);
    tunnel.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(tunnel.response().status(), 101);
    let mut events = Client::of(&balancer);
    events.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    events.until("a\r\n");
    let counted = |row: &Value, open: u64| {
        ["tunnels", "event_streams"].iter().all(|kind| {
            let figures = &row["figures"][*kind];
            figures["open"] == open && figures["opened"] == 1
        })
    };
    row_until(&balancer, "both open", |row| counted(row, 1));
    assert!(balancer.run(&["status"]).1.contains("open: 1 tunnels (WebSockets), 1 event streams"));
    drop((tunnel, events));
    let row = row_until(&balancer, "both over", |row| counted(row, 0));
    assert!(row["figures"]["seconds_p50"].is_null() && status(&balancer)["pools"][0]["seconds_p99"].is_null(), "{row}");
}

#[test]
fn a_pool_whose_workers_die_says_what_they_die_of() {
    let mut balancer = Balancer::start("", &format!("{DIES}{ADMIN}"));
    let address = admin_address(&mut balancer);
    let backs_off = |row: &Value| row["state"] == "backoff" && !row["worker"]["last_line"].is_null();
    let row = row_until(&balancer, "a back-off", backs_off);
    assert!(row["state_text"].as_str().unwrap().starts_with("back-off, next try in "), "{row}");
    assert_eq!(row["worker"]["last_line"], "psycopg2.OperationalError: refused");
    assert_eq!(row["worker"]["last_end"]["how"], "exit code 3");
    let why = "api (2 in back-off: psycopg2.OperationalError: refused)";
    eventually(
        || page(&address, "/readyz"),
        || page(&address, "/readyz").contains(&format!("not ready: {why}\n")).then_some(()),
    );
    let (code, table) = balancer.run(&["status"]);
    assert!(code == 3 && table.contains(&format!("\nNOT READY: {why}\n")), "{table}");
    assert!(
        table.contains("exit code 3, ") && table.contains("it printed: psycopg2.OperationalError: refused"),
        "{table}"
    );
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    assert!(page(&address, "/metrics").contains("balancer_pool_ready{pool=\"api\"} 0\n"));
}

#[test]
fn what_a_worker_printed_is_not_told_to_who_has_no_token() {
    let directory = directory();
    let token = directory.join("token");
    std::fs::write(&token, "a-long-random-word-0\n").unwrap();
    let admin = format!("{DIES}[admin]\naddress = \"127.0.0.1:0\"\ntoken_file = {token:?}\n");
    let mut balancer = Balancer::start_in(directory, "", &admin);
    let address = admin_address(&mut balancer);
    let known = || ask(&address, "GET /readyz HTTP/1.0\r\nAuthorization: Bearer a-long-random-word-0\r\n\r\n");
    eventually(known, || known().contains("psycopg2").then_some(()));
    let stranger = page(&address, "/readyz");
    assert!(stranger.contains("not ready: a pool has no endpoint that takes requests\n"), "{stranger}");
    assert!(!stranger.contains("api") && !stranger.contains("psycopg2"), "{stranger}");
    assert!(page(&address, "/api/live").contains(" 401 "));
    let parts = ["/", "/page.js", "/page.css", "/icon.svg"].map(|path| page(&address, path));
    let is_strict = |answer: &String| answer.contains("content-security-policy: default-src 'none'; script-src 'self'");
    assert!(parts.iter().all(|part| part.starts_with("HTTP/1.0 200 ") && is_strict(part)), "{parts:?}");
    assert!(parts.iter().all(|part| !part.contains("psycopg2")), "{parts:?}");
}

#[test]
fn one_worker_is_replaced_by_its_name_and_the_others_stay() {
    let balancer = Balancer::start("", &workers(2));
    until_ready(&balancer, 2);
    let pids = || ["app.1", "app.2"].map(|name| row(&balancer, name).unwrap()["worker"]["pid"].clone());
    let before = pids();
    let (code, said) = balancer.run(&["restart", "app.2"]);
    assert!(code == 0 && said.contains("app: app.2 replaced in "), "{said}");
    until_ready(&balancer, 2);
    let after = pids();
    assert!(before[0] == after[0] && before[1] != after[1], "{before:?} {after:?}");
    assert!(status(&balancer)["pools"][0]["workers"]["mixed"].is_null(), "of one release all the same");
    for (name, expected) in [
        ("app.3", "no worker is called app.3; there is app.1 to app.2"),
        ("app.x", "no worker is called app.x; there is app.1 to app.2"),
        ("ap.1", "no pool is called ap; did you mean app?"),
    ] {
        let (code, said) = balancer.run(&["restart", name]);
        assert!(code == 2 && said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn logs_without_a_line_say_so() {
    let quiet = "[pool.app.workers]\ncommand = [\"sleep\", \"1000\"]\nready = { alive = \"10ms\" }\n[pool.web]\nendpoints = [\"127.0.0.1:1\"]\n\
        [[route]]\npool = \"web\"\n";
    let balancer = Balancer::start("", quiet);
    let (code, said) = balancer.run(&["logs", "app"]);
    assert!(code == 0 && said.contains("no line: the workers have printed nothing"), "{said}");
}

#[test]
fn who_watches_is_told_the_status_at_once_and_every_second_and_what_happens() {
    let mut balancer = Balancer::start("", &format!("{}{ADMIN}", workers(1)));
    until_ready(&balancer, 1);
    let stream = TcpStream::connect(admin_address(&mut balancer)).unwrap();
    stream.set_read_timeout(Some(super::harness::PATIENCE)).unwrap();
    (&stream).write_all(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(|line| line.unwrap());
    let mut data = |kind: &str, is_it: &dyn Fn(&Value) -> bool| {
        let mut at = String::new();
        lines.find_map(|line| {
            if let Some(name) = line.strip_prefix("event: ") {
                at = name.to_owned();
            }
            let data: Value = serde_json::from_str(line.strip_prefix("data: ").filter(|_| at == kind)?).unwrap();
            is_it(&data).then_some(data)
        })
    };
    let first = data("status", &|_| true).unwrap();
    assert_eq!(first["pools"][0]["rows"][0]["state"], "up", "{first}");
    assert!(first["pools"][0]["endpoints"].is_null(), "the rows say it");
    let started = data("happened", &|list| list[0]["kind"] == "started").unwrap();
    assert!(started.as_array().unwrap().iter().any(|event| event["kind"] == "ready"), "{started}");
    kill(pid_of(&first["pools"][0]["rows"][0]), Signal::SIGKILL).unwrap();
    assert!(data("happened", &|list| list.as_array().unwrap().iter().any(|event| event["kind"] == "died")).is_some());
    assert!(data("status", &|status| status["pools"][0]["rows"][0]["worker"]["restarts"] == 1).is_some());
    assert!(data("points", &|points| points["number"].as_u64().is_some()).is_some());
}
