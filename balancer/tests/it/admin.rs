//! The admin service and the commands that ask it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::harness::{Balancer, Client, Origin, directory, eventually, pool_of};

/// Some built-in workers.
pub(crate) fn workers(count: usize) -> String {
    format!("[pool.app.workers]\ncommand = [{BALANCER:?}, \"backend\", \"{{port}}\"]\ncount = {count}\n")
}

/// A request that a worker has in flight until its client sends four bytes more.
pub(crate) const HALF_A_POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nfour";

/// What `status --json` says.
pub(crate) fn status(balancer: &Balancer) -> Value {
    let output = balancer.command(&["status", "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Waits until so many workers are ready.
pub(crate) fn until_ready(balancer: &Balancer, count: usize) {
    let ready = || {
        let status = status(balancer);
        let workers = status["pools"][0]["workers"]["all"].as_array().unwrap().clone();
        workers.iter().filter(|worker| worker["state"] == "ready").count()
    };
    eventually(|| format!("{count} ready workers"), || (ready() == count).then_some(()));
}

/// The value of a metric, and all of them where it is missing.
fn metric(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("no {series} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

pub(crate) fn admin_address(balancer: &mut Balancer) -> String {
    let text = balancer.await_stderr("admin service on http://");
    text.split_once("admin service on http://").unwrap().1.split('/').next().unwrap().to_owned()
}

pub(crate) fn get(address: &str, path: &str, fields: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.0\r\n{fields}\r\n"))
}

pub(crate) fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn status_counts_requests_and_metrics_say_the_same() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::start("", &format!("{}[admin]\naddress = \"127.0.0.1:0\"\n", pool_of(&[&origin])));
    for _ in 0..3 {
        assert_eq!(Client::of(&balancer).get("/").status(), 200);
    }
    assert_eq!(Client::of(&balancer).get("/%zz").status(), 200);
    Client::of(&balancer).send("nonsense\r\n\r\n");
    let address = admin_address(&mut balancer);
    let text = eventually(
        || "the counters".into(),
        || {
            let text = get(&address, "/metrics", "");
            text.contains("code=\"400\"} 1").then_some(text)
        },
    );
    assert!(text.contains("content-type: text/plain; version=0.0.4"), "{text}");
    assert_eq!(metric(&text, "balancer_requests_total{pool=\"app\",method=\"GET\",code=\"200\"}"), 4.0);
    assert_eq!(metric(&text, "balancer_request_seconds_count{pool=\"app\"}"), 4.0);
    assert_eq!(metric(&text, "balancer_request_seconds_bucket{pool=\"app\",le=\"+Inf\"}"), 4.0);
    assert_eq!(metric(&text, "balancer_upstream_seconds_count{pool=\"app\",endpoint=\"127.0.0.1:"), 4.0);
    assert_eq!(metric(&text, "balancer_pool_ready{pool=\"app\"}"), 1.0);
    assert_eq!(metric(&text, "balancer_rejected_total{pool=\"\",reason=\"bad_request\"}"), 1.0);
    assert_eq!(metric(&text, "balancer_endpoint_up{pool=\"app\""), 1.0);
    assert_eq!(metric(&text, "balancer_config_last_reload_success"), 1.0);
    assert!(metric(&text, "process_resident_memory_bytes") > 1e6);
    let status = status(&balancer);
    assert_eq!((status["pools"][0]["requests"].as_u64(), status["ready"].as_bool()), (Some(4), Some(true)));
    let (code, table) = balancer.run(&["status"]);
    assert_eq!(code, 0);
    assert!(table.starts_with(&format!("lb (pid {}, ", balancer.pid())) && table.contains("pool app: "), "{table}");
    for (path, expected) in [("/healthz", "200 OK"), ("/readyz", "200 OK"), ("/", "<!DOCTYPE html>"), ("/x", "404")] {
        assert!(get(&address, path, "").contains(expected), "{path}");
    }
    assert!(ask(&address, "POST /api/reload HTTP/1.0\r\nHost: evil.test\r\n\r\n").contains(" 403 "));
    assert!(get(&address, "/api/reload", "").contains(" 405 "));
}

#[test]
fn the_manual_has_a_line_for_every_metric_and_no_other() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::start("", &format!("{}[admin]\naddress = \"127.0.0.1:0\"\n", pool_of(&[&origin])));
    let address = admin_address(&mut balancer);
    let text = get(&address, "/metrics", "");
    let served: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|rest| rest.split_once(' ').map_or(rest.to_owned(), |(name, kind)| format!("`{name}` | {kind}")))
        .collect();
    let page = std::fs::read_to_string(super::program::repository("docs/metrics.md")).unwrap();
    let shown: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|rest| format!("`{}", rest.split(" | ").take(2).collect::<Vec<_>>().join(" | ")))
        .collect();
    assert_eq!(shown, served);
}

#[test]
fn connections_are_told_by_what_they_do() {
    for slots in ["", "slots = 2\n"] {
        let origin = Origin::named("1");
        let admin = format!("{}{slots}[admin]\naddress = \"127.0.0.1:0\"\n", pool_of(&[&origin]));
        let mut balancer = Balancer::start("", &admin);
        let mut client = Client::of(&balancer);
        assert_eq!(client.get("/").status(), 200);
        let address = admin_address(&mut balancer);
        let told = |text: &str| {
            let of = |name: &str, state: &str| {
                let found = text.lines().find(|line| {
                    line.starts_with(&format!("balancer_{name}{{")) && line.contains(&format!("state=\"{state}\"}}"))
                });
                found.and_then(|line| line.rsplit(' ').next()?.parse::<u32>().ok())
            };
            ["connections", "upstream_connections"].map(|name| (of(name, "active"), of(name, "idle")))
        };
        let both_idle = [(Some(0), Some(1)); 2];
        eventually(|| "both at rest".into(), || (told(&get(&address, "/metrics", "")) == both_idle).then_some(()));
        drop(client);
        eventually(
            || "the client's end".into(),
            || (told(&get(&address, "/metrics", ""))[0] == (Some(0), Some(0))).then_some(()),
        );
        drop(origin);
        eventually(
            || "the worker's end".into(),
            || (told(&get(&address, "/metrics", ""))[1] == (Some(0), Some(0))).then_some(()),
        );
    }
}

#[test]
fn a_series_has_one_sample_while_a_worker_is_being_replaced() {
    let mut balancer = Balancer::start("", &format!("{}[admin]\naddress = \"127.0.0.1:0\"\n", workers(1)));
    until_ready(&balancer, 1);
    let mut client = Client::of(&balancer);
    client.send(HALF_A_POST);
    let names = || status(&balancer)["pools"][0]["endpoints"].as_array().unwrap().len();
    eventually(|| "a request".into(), || (status(&balancer)["pools"][0]["in_flight"] == 1).then_some(()));
    let mut restart = balancer.command(&["restart", "app"]).stderr(Stdio::piped()).spawn().unwrap();
    eventually(|| "two of one name".into(), || (names() == 2).then_some(()));
    assert_eq!(Client::of(&balancer).get("/").status(), 200);
    let text = get(&admin_address(&mut balancer), "/metrics", "");
    let series: Vec<&str> = text.lines().filter_map(|line| line.split_once("} ").map(|(series, _)| series)).collect();
    for (index, one) in series.iter().enumerate() {
        assert!(!series[..index].contains(one), "{one} twice in {text}");
    }
    let app_1 = "{pool=\"app\",endpoint=\"app.1\"";
    assert_eq!(metric(&text, &format!("balancer_in_flight{app_1}")), 1.0);
    assert_eq!(metric(&text, &format!("balancer_endpoint_up{app_1}")), 1.0);
    assert_eq!(metric(&text, &format!("balancer_endpoint_requests_total{app_1}")), 2.0);
    assert_eq!(metric(&text, &format!("balancer_upstream_connections{app_1},state=\"active\"")), 1.0);
    client.send("more");
    assert_eq!(client.response().status(), 200);
    assert!(restart.wait().unwrap().success());
}

#[test]
fn a_token_keeps_strangers_out() {
    let (directory, origin) = (directory(), Origin::named("1"));
    let token = directory.join("token");
    std::fs::write(&token, "a-long-random-word-0\n").unwrap();
    let admin = format!("{}[admin]\naddress = \"0.0.0.0:0\"\ntoken_file = {token:?}\n", pool_of(&[&origin]));
    let mut balancer = Balancer::start_in(directory, "", &admin);
    let address = admin_address(&mut balancer).replace("0.0.0.0", "127.0.0.1");
    assert!(get(&address, "/api/status", "").starts_with("HTTP/1.0 401 "));
    assert!(get(&address, "/metrics", "Authorization: Bearer a-long-random-word-1\r\n").contains(" 401 "));
    assert!(get(&address, "/metrics", "Authorization: Bearer a-long-random-word-0\r\n").contains(" 200 "));
    assert!(get(&address, "/readyz", "").contains(" 200 "));
}

#[test]
fn a_token_that_every_account_can_read_is_warned_of() {
    let (directory, origin) = (directory(), Origin::named("1"));
    let token = directory.join("token");
    std::fs::write(&token, "a-long-random-word-0\n").unwrap();
    let admin = format!("{}[admin]\naddress = \"127.0.0.1:0\"\ntoken_file = {token:?}\n", pool_of(&[&origin]));
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).unwrap();
    let mut balancer = Balancer::start_in(directory, "", &admin);
    let warning = "every account of this machine can read the token";
    assert!(balancer.await_stderr("listening on ").contains(warning));
    assert!(balancer.run(&["check"]).1.contains(warning));
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o640)).unwrap();
    assert!(!balancer.run(&["check"]).1.contains(warning));
}

#[test]
fn the_socket_is_ours_alone_and_only_a_dead_instances_is_replaced() {
    let (directory, origin) = (directory(), Origin::named("1"));
    let path = directory.join("admin.sock");
    let tables = format!("{}[admin]\nsocket = {path:?}\n", pool_of(&[&origin]));
    let mut first = Balancer::start_in(directory, "", &tables);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // A second instance with the same file cannot take it, and says why.
    let second = Command::new(BALANCER).arg("--config").arg(first.directory().join("lb.toml")).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains("cannot open the admin socket") && said.contains("a running instance answers there"),
        "{said}"
    );
    assert_eq!(first.run(&["status"]).0, 0, "the first has it still");
    first.signal(nix::sys::signal::Signal::SIGKILL);
    first.ended();
    assert!(path.exists());
    assert_eq!(first.run(&["status"]).0, 3, "nobody is there");
    let mut third = Command::new(BALANCER);
    third.arg("--config").arg(first.directory().join("lb.toml")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut third = third.spawn().unwrap();
    eventually(|| "the third".into(), || (first.run(&["status"]).0 == 0).then_some(()));
    assert!(first.run(&["stop"]).1.starts_with("stopped lb (pid "));
    assert!(third.wait().unwrap().success() && !path.exists());
}

#[test]
fn an_instance_without_a_place_for_its_socket_serves_all_the_same() {
    let origin = Origin::named("1");
    let directory = directory();
    let config = format!("listen = \"127.0.0.1:0\"\n{}", pool_of(&[&origin]));
    let file = directory.join("lb.toml");
    std::fs::write(&file, config).unwrap();
    // A copy that the account below may reach, wherever the program was built.
    let program = directory.join("program");
    std::fs::copy(BALANCER, &program).unwrap();
    std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(program);
    command.arg("--config").arg(&file).env("XDG_RUNTIME_DIR", "/proc").env("TMPDIR", "/proc");
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut uid = nix::unistd::geteuid();
    if uid.is_root() {
        // Who may make a directory in /run. Of an account that no other instance has run as, whose directory would do.
        uid = nix::unistd::Uid::from_raw(64_999);
        std::os::unix::process::CommandExt::uid(&mut command, uid.as_raw());
    }
    // Everybody may make a directory there, but not where something else is.
    let in_the_way = PathBuf::from(format!("/dev/shm/balancer-admin-{uid}"));
    std::fs::write(&in_the_way, "").unwrap();
    let mut child = command.spawn().unwrap();
    let mut said = Vec::new();
    let mut stderr = child.stderr.take().unwrap();
    let found = |said: &[u8], text: &str| String::from_utf8_lossy(said).contains(text);
    let mut byte = [0];
    while !found(&said, "listening on 127.0.0.1:") && stderr.read(&mut byte).unwrap() > 0 {
        said.push(byte[0]);
    }
    assert!(
        found(&said, "no admin socket, so commands cannot reach this instance"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    assert!(found(&said, "listening on 127.0.0.1:"), "{}", String::from_utf8_lossy(&said));
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(&in_the_way).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn restart_and_scale_do_what_they_say_and_refuse_what_makes_no_sense() {
    let balancer = Balancer::start("", &format!("{}[pool.web]\nendpoints = [\"127.0.0.1:1\"]\n{ROUTES}", workers(2)));
    until_ready(&balancer, 2);
    let pids = |balancer: &Balancer| -> Vec<i64> {
        let status = status(balancer);
        let all = status["pools"][0]["workers"]["all"].as_array().unwrap().clone();
        all.iter().map(|worker| worker["pid"].as_i64().unwrap()).collect()
    };
    let before = pids(&balancer);
    let (code, said) = balancer.run(&["restart", "app"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("app: app.1, app.2 replaced in "), "{said}");
    let after = pids(&balancer);
    assert!(after.len() == 2 && after.iter().all(|pid| !before.contains(pid)), "{before:?} {after:?}");
    assert!(balancer.run(&["scale", "app", "3"]).1.contains("app: 2 → 3 workers in "));
    assert_eq!(pids(&balancer).len(), 3);
    for (arguments, expected) in [
        (&["restart", "ap"][..], "no pool is called ap; did you mean app?"),
        (&["restart", "web"], "pool web has no workers"),
        (&["scale", "app", "0"], "app needs at least 1 worker"),
        (&["scale", "app", "5000"], "5000 workers are too many: 4096 is the limit"),
        (&["drain", "app.9"], "no endpoint is called app.9; did you mean app."),
        (&["drain", "127.0.0.1:1"], "127.0.0.1:1 is the last endpoint of pool web that takes requests: --yes to go on"),
        (&["undrain", "nobody"], "no endpoint is called nobody"),
        (&["logs", "web"], "no pool with workers is called web"),
    ] {
        let (code, said) = balancer.run(arguments);
        assert!(code == 2 && said.contains(expected), "{arguments:?}: {code} {said}");
    }
    let (code, said) = balancer.run(&["logs", "app.1"]);
    assert!(code == 0 && said.lines().count() == 2, "both runs of it: {said}");
    for line in said.lines() {
        let (time, text) = line.split_once(' ').unwrap();
        assert!(
            time.parse::<jiff::Timestamp>().is_ok() && text.starts_with("app.1 | server 1 listening on "),
            "{said}"
        );
    }
    assert_eq!(balancer.run(&["logs", "app.1", "-n", "1"]).1.lines().count(), 1);
    assert_eq!(balancer.run(&["logs", "app", "--since", "1h"]).1.lines().count(), 5);
    let (code, none) = balancer.run(&["logs", "app", "--since", "2099-01-01T00:00:00Z"]);
    assert!(code == 0 && none.starts_with("balancer: no line: ") && none.lines().count() == 1, "{none}");
    assert_eq!(balancer.run(&["events", "-n", "2"]).1.lines().count(), 2);
    assert_eq!(balancer.run(&["events", "--since", "soon"]).0, 2);
    let (code, table) = balancer.run(&["status", "app"]);
    assert!(code == 0 && table.contains("pool app: ") && !table.contains("pool web"), "{table}");
    assert_eq!(balancer.run(&["status", "ap"]), (2, "balancer: no pool is called ap; did you mean app?\n".into()));
    // Without a pool it is the only one with workers.
    let (code, said) = balancer.run(&["roll"]);
    assert!(code == 0 && said.contains("app: app.1, app.2, app.3 replaced in "), "{said}");
    let (_, events) = balancer.run(&["events"]);
    for part in ["app: replacing every worker", "app.2 (pid "] {
        assert!(events.contains(part), "{part}: {events}");
    }
}

#[test]
fn restart_asks_which_pool_or_takes_all_of_them() {
    let two = format!("{}{ROUTES}", workers(1).to_owned() + &workers(1).replace("pool.app", "pool.web"));
    let balancer = Balancer::start("", &two);
    let (code, said) = balancer.run(&["restart"]);
    assert!(code == 2 && said.contains("name the pool, or use --all: app, web"), "{said}");
    let (code, said) = balancer.run(&["restart", "--all"]);
    assert!(
        code == 0 && said.contains("app: app.1 replaced in ") && said.contains("web: web.1 replaced in "),
        "{said}"
    );
}

#[test]
fn a_workers_log_is_found_in_json_too_and_one_that_is_not_there_is_said() {
    let balancer = Balancer::start("", &format!("{}output = \"json\"\n", workers(2)));
    until_ready(&balancer, 2);
    let logs = |of: &str| balancer.run(&["logs", of]);
    let lines = eventually(
        || format!("both workers' lines: {:?}", logs("app")),
        || Some(logs("app").1).filter(|all| all.contains("\"app.1\"") && all.contains("\"app.2\"")),
    );
    let of_first: Vec<&str> = lines.lines().filter(|line| line.contains("\"worker\":\"app.1\"")).collect();
    let (code, said) = logs("app.1");
    assert_eq!((code, said.lines().collect::<Vec<_>>()), (0, of_first));
    // Following somebody who never comes would never end.
    let (code, said) = balancer.run(&["logs", "app.9", "--follow"]);
    assert_eq!((code, said.as_str()), (2, "balancer: no worker is called app.9; there is app.1, app.2\n"));
}

#[test]
fn a_drained_endpoint_gets_nothing_until_it_is_taken_back() {
    let origins = [Origin::named("1"), Origin::named("2")];
    let balancer = Balancer::before(&[&origins[0], &origins[1]]);
    let served = || -> Vec<String> { (0..4).map(|_| Client::of(&balancer).get("/").text()).collect() };
    assert_eq!(served(), ["1", "2", "1", "2"]);
    let name = format!("app/{}", origins[0].address());
    assert_eq!(balancer.run(&["drain", &name]), (0, format!("{name}: drained\n")));
    assert_eq!(served(), ["2"; 4]);
    assert_eq!(status(&balancer)["pools"][0]["endpoints"][0]["state"], "drained");
    // A reload does not bring it back by the way.
    assert_eq!(balancer.run(&["reload"]).0, 0);
    assert_eq!(served(), ["2"; 4]);
    assert_eq!(balancer.run(&["undrain", &name]), (0, format!("{name}: takes requests again\n")));
    let mut both = served();
    both.sort();
    assert_eq!(both, ["1", "1", "2", "2"]);
}

#[test]
fn drain_waits_for_the_requests_in_flight() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
        exchange.until("never");
    });
    let balancer = Balancer::start("drain_timeout = \"100ms\"", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    let (code, said) = balancer.run(&["drain", &origin.address(), "--yes"]);
    assert_eq!(
        (code, said),
        (1, format!("{}: takes no new request; still in flight after 100 ms: 1\n", origin.address()))
    );
    assert_eq!(balancer.run(&["status"]).0, 3, "nothing takes requests");
}

#[test]
fn a_drained_worker_stays_out_when_it_is_replaced_until_it_is_taken_back() {
    let balancer = Balancer::start("", &workers(2));
    until_ready(&balancer, 2);
    let endpoints = || -> Vec<(String, String)> {
        let status = status(&balancer);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let all = status["pools"][0]["endpoints"].as_array().unwrap().clone();
        all.iter().map(|endpoint| (text(&endpoint["name"]), text(&endpoint["state"]))).collect()
    };
    let expected = |second: &str| [("app.1".to_owned(), "up".to_owned()), ("app.2".to_owned(), second.to_owned())];
    assert_eq!(balancer.run(&["drain", "app.2"]), (0, "app.2: drained\n".into()));
    assert_eq!(endpoints(), expected("drained"));
    assert_eq!(balancer.run(&["restart", "app"]).0, 0);
    assert_eq!(endpoints(), expected("drained"));
    assert_eq!(balancer.run(&["undrain", "app.2"]), (0, "app.2: takes requests again\n".into()));
    assert_eq!(endpoints(), expected("up"));
    assert_eq!(balancer.run(&["undrain", "app/app.2"]), (0, "app/app.2: was not drained\n".into()));
}

#[test]
fn drain_ends_when_the_endpoint_is_taken_back_meanwhile() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
        exchange.until("never");
    });
    let mut balancer = Balancer::start("drain_timeout = \"60s\"", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    let name = origin.address();
    let drain = balancer.command(&["drain", &name, "--yes"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    balancer.await_stderr("is drained by an operator");
    assert_eq!(balancer.run(&["undrain", &name]), (0, format!("{name}: takes requests again\n")));
    let drained = drain.unwrap().wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&drained.stdout) + String::from_utf8_lossy(&drained.stderr);
    assert!(drained.status.code() == Some(1), "{said}");
    assert!(said.contains(&format!("{name}: was taken back before it was drained")), "{said}");
}

#[test]
fn stop_waits_for_the_end_and_now_cuts_what_is_in_flight() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
        exchange.until("never");
    });
    let mut balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    let mut polite = balancer.command(&["stop"]).stderr(Stdio::piped()).spawn().unwrap();
    balancer.await_stderr("asked to stop");
    assert!(polite.try_wait().unwrap().is_none() && !balancer.has_ended(), "the request is in flight");
    let (_, said) = balancer.run(&["reload"]);
    assert!(said.contains("it is stopping"), "{said}");
    assert_eq!(
        balancer.run(&["stop", "--now"]),
        (0, format!("stopped lb (pid {}, {})\n", balancer.pid(), balancer.address()))
    );
    assert!(polite.wait().unwrap().success());
    assert_eq!(balancer.ended().code(), Some(0));
    let (code, said) = balancer.run(&["stop"]);
    assert!(code == 3 && said.contains("no running instance serves "), "{code} {said}");
}

#[test]
fn a_command_never_reaches_an_instance_of_another_file() {
    let origin = Origin::named("1");
    let (one, other) = (Balancer::before(&[&origin]), Balancer::before(&[&origin]));
    // The usual place of the first, with the file of the second.
    let mut command = other.command(&["stop"]);
    let output = command.env("XDG_RUNTIME_DIR", one.directory()).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!((one.run(&["status"]).0, other.run(&["status"]).0), (0, 0));
}

#[test]
fn two_commands_at_once_are_both_done_one_after_the_other() {
    let balancer = Balancer::start("", &workers(2));
    until_ready(&balancer, 2);
    let mut restart = balancer.command(&["restart", "app"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut scale = balancer.command(&["scale", "app", "3"]).stderr(Stdio::piped()).spawn().unwrap();
    assert!(scale.wait().unwrap().success() && restart.wait().unwrap().success());
    until_ready(&balancer, 3);
}

#[test]
fn a_client_that_leaves_in_the_middle_ends_nothing() {
    let balancer = Balancer::start("", &workers(2));
    until_ready(&balancer, 2);
    let path = balancer.admin_socket();
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"POST /api/restart?pool=app HTTP/1.0\r\n\r\n").unwrap();
    let mut begun = [0; 15];
    stream.read_exact(&mut begun).unwrap();
    drop(stream);
    eventually(|| "both replaced".into(), || balancer.run(&["events"]).1.contains("app.2 (pid ").then_some(()));
    // It waits in the queue behind the one that was left alone.
    let (code, said) = balancer.run(&["scale", "app", "2"]);
    let own = said.lines().filter(|line| !line.starts_with("waiting: "));
    assert_eq!((code, own.collect::<Vec<_>>()), (0, vec!["app: has 2 workers already"]), "{said}");
    let (_, events) = balancer.run(&["events", "--json"]);
    let count = |kind: &str| events.lines().filter(|line| line.contains(&format!("\"kind\":\"{kind}\""))).count();
    assert_eq!((count("rolled"), count("replaced")), (1, 2), "{events}");
}

#[test]
fn clients_that_read_nothing_hold_up_nobody() {
    let balancer = Balancer::start("", &workers(1));
    until_ready(&balancer, 1);
    let path = balancer.admin_socket();
    let silent: Vec<UnixStream> = (0..32)
        .map(|_| {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.write_all(b"GET /api/events?follow=1 HTTP/1.0\r\n\r\n").unwrap();
            stream
        })
        .collect();
    assert_eq!(balancer.run(&["status"]).0, 0);
    assert_eq!(Client::of(&balancer).get("/").status(), 200);
    drop(silent);
}

const BALANCER: &str = env!("CARGO_BIN_EXE_balancer");
const ROUTES: &str = "[[route]]\npool = \"app\"\n[[route]]\npath = \"/web\"\npool = \"web\"\n";
