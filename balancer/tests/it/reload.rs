//! Reload: what is planned, what is done, and what nobody notices.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::admin::{HALF_A_POST, status, until_ready, workers};
use super::harness::{Balancer, Client, Origin, directory, eventually, ok, pool_of};

/// The configuration of `balancer`, changed.
pub(crate) fn rewrite(balancer: &Balancer, change: impl Fn(&str) -> String) {
    let path = balancer.directory().join("lb.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = change(&text);
    assert_ne!(text, changed);
    // As editors do: at no moment is there half a file.
    let beside = balancer.directory().join("lb.toml.new");
    std::fs::write(&beside, changed).unwrap();
    std::fs::rename(beside, path).unwrap();
}

pub(crate) fn reload(balancer: &Balancer) -> String {
    let (code, said) = balancer.run(&["reload"]);
    assert_eq!(code, 0, "{said}");
    said
}

#[test]
fn a_dry_run_only_shows_the_plan_and_a_reload_does_it() {
    let origins = [Origin::named("1"), Origin::named("2")];
    let balancer = Balancer::before(&[&origins[0]]);
    let get = |path: &str| Client::of(&balancer).get(path).text();
    rewrite(&balancer, |text| {
        let table = format!("[pool.web]\nendpoints = [{:?}]\n", origins[1].address());
        format!("{text}{table}[[route]]\npool = \"app\"\n[[route]]\npath = \"/web\"\npool = \"web\"\n")
    });
    let (code, said) = balancer.run(&["reload", "--dry-run"]);
    assert_eq!(code, 0);
    let plan = "pool web: added\nroute /web → web: added\nuntouched: pool app\n";
    assert_eq!(said, format!("{plan}dry run: nothing was changed\n"));
    assert_eq!(get("/web"), "1");
    let said = reload(&balancer);
    assert!(said.starts_with(&format!("{plan}reloaded in ")), "{said}");
    assert_eq!((get("/web"), get("/")), ("2".into(), "1".into()));
    assert_eq!(reload(&balancer), "untouched: pool app, web\nnothing to do\n");
}

#[test]
fn a_wrong_file_changes_nothing_and_is_answered_as_check_does() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::before(&[&origin]);
    rewrite(&balancer, |text| text.replace("endpoints", "endpoint"));
    let (code, said) = balancer.run(&["reload"]);
    assert_eq!(code, 78);
    let (check_code, checked) = balancer.run(&["check"]);
    assert_eq!(check_code, 78);
    assert_eq!(said, format!("{}\nnothing has changed\n", checked.trim_end()));
    assert_eq!(Client::of(&balancer).get("/").text(), "1");
    assert_eq!(status(&balancer)["reloads"]["last_ok"], false);
    balancer.signal(Signal::SIGHUP);
    balancer.await_stderr("HUP: reloading");
    balancer.await_stderr("nothing has changed");
    assert_eq!(Client::of(&balancer).get("/").text(), "1");
    // A file that is gone is no other matter.
    std::fs::remove_file(balancer.directory().join("lb.toml")).unwrap();
    let (code, said) = balancer.run(&["reload"]);
    assert!(code == 78 && said.contains("cannot read"), "{code} {said}");
}

#[test]
fn a_pipe_in_the_place_of_the_file_is_waited_for_by_nobody() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::before(&[&origin]);
    let file = balancer.directory().join("lb.toml");
    std::fs::remove_file(&file).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    balancer.signal(Signal::SIGHUP);
    let cause = format!("cannot read {}: it is a pipe or a device, not a regular file", file.display());
    balancer.await_stderr(&cause);
    balancer.await_stderr("nothing has changed");
    assert_eq!(balancer.run(&["reload"]), (78, format!("{cause}\nnothing has changed\n")));
    let (code, said) = balancer.run(&["check"]);
    assert!(code == 78 && said.contains(&cause), "{code} {said}");
    assert_eq!(Client::of(&balancer).get("/").text(), "1");
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
}

#[test]
fn what_needs_a_restart_is_said_and_the_rest_is_done() {
    let origins = [Origin::named("1"), Origin::named("2")];
    let balancer = Balancer::start("threads = 2\n", &pool_of(&[&origins[0]]));
    rewrite(&balancer, |text| {
        text.replace("threads = 2", "threads = 3").replace(&origins[0].address(), &origins[1].address())
    });
    let said = reload(&balancer);
    assert!(said.contains("requires restart: threads\n"), "{said}");
    assert_eq!(Client::of(&balancer).get("/").text(), "2");
}

#[test]
fn limits_of_clients_whom_to_believe_and_the_access_log_change_while_it_runs() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("header_bytes_max = \"8KiB\"\nbody_bytes_max = \"10B\"\n", &pool_of(&[&origin]));
    let mut kept = Client::of(&balancer);
    let upload = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n01234567890123456789";
    let long =
        format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\nX-Forwarded-For: 10.1.1.1\r\n\r\n", "x".repeat(9_000));
    let status = |client: &mut Client, request: &str| {
        client.send(request);
        client.response().status()
    };
    assert_eq!(status(&mut Client::of(&balancer), upload), 413);
    assert_eq!(status(&mut Client::of(&balancer), &long), 431);
    assert_eq!(kept.get("/").status(), 200);
    let other = balancer.directory().join("other.log");
    rewrite(&balancer, |text| {
        let text = text.replace("\"8KiB\"", "\"16KiB\"").replace("\"10B\"", "\"1KiB\"");
        let text = text.replace("listen =", "trusted_proxies = [\"127.0.0.0/8\"]\nlisten =");
        text.replace("access.log", "other.log").replace("format = \"json\"", "format = \"combined\"")
    });
    let spool = balancer.directory().join("spool");
    std::fs::create_dir(&spool).unwrap();
    rewrite(&balancer, |text| text.replace("listen =", &format!("spool_dir = {spool:?}\nlisten =")));
    let said = reload(&balancer);
    balancer.await_end_of_log(&format!("large request bodies wait in {}", spool.display()));
    for key in ["header_bytes_max", "body_bytes_max", "trusted_proxies", "spool_dir", "access_log"] {
        assert!(said.contains(&format!("{key}: changed\n")), "{said}");
    }
    assert!(!said.contains("requires restart"), "{said}");
    eventually(|| "the other limit".into(), || (status(&mut Client::of(&balancer), &long) == 200).then_some(()));
    // Whoever was connected already has it too.
    assert_eq!(status(&mut kept, upload), 200);
    let believed = || {
        origin
            .requests()
            .iter()
            .any(|one| one.field("x-forwarded-for").is_some_and(|value| value.starts_with("10.1.1.1")))
    };
    eventually(
        || "a believed proxy".into(),
        || {
            assert_eq!(status(&mut Client::of(&balancer), &long), 200);
            believed().then_some(())
        },
    );
    assert_eq!(Client::of(&balancer).get("/marked").status(), 200);
    eventually(
        || "a line".into(),
        || std::fs::read_to_string(&other).unwrap_or_default().contains("\"GET /marked HTTP/1.1\" 200").then_some(()),
    );
    assert_eq!(balancer.count_logged(&["/marked"]), 0);
    // One that cannot be opened changes nothing.
    rewrite(&balancer, |text| text.replace(other.to_str().unwrap(), "/proc/no.log").replace("\"1KiB\"", "\"2KiB\""));
    let (code, said) = balancer.run(&["reload"]);
    assert!(
        code == 1 && said.contains("cannot open the access log /proc/no.log: ") && said.contains("nothing has changed"),
        "{said}"
    );
}

#[test]
fn a_shorter_time_for_idle_clients_holds_for_those_that_are_connected() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("keep_alive_timeout = \"10m\"\n", &pool_of(&[&origin]));
    let mut parked = Client::of(&balancer);
    assert_eq!(parked.get("/").status(), 200);
    balancer.await_parked(1);
    rewrite(&balancer, |text| text.replace("\"10m\"", "\"100ms\""));
    reload(&balancer);
    balancer.await_parked(0);
}

#[test]
fn the_admin_service_moves_and_a_token_is_put_in_front_of_it() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::start("", &pool_of(&[&origin]));
    rewrite(&balancer, |text| format!("{text}[admin]\naddress = \"127.0.0.1:0\"\n"));
    assert!(reload(&balancer).contains("admin: changed\n"));
    let text = balancer.await_stderr("admin service on http://");
    let address: std::net::SocketAddr =
        text.split_once("admin service on http://").unwrap().1.split('/').next().unwrap().parse().unwrap();
    let ask = |fields: &str| {
        let mut client = Client::at(address);
        client.send(format!("GET /api/status HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\r\n"));
        client.response().status()
    };
    assert_eq!(ask(""), 200);
    let token = balancer.directory().join("token");
    std::fs::write(&token, "a-long-random-word-0\n").unwrap();
    rewrite(&balancer, |text| format!("{text}token_file = {token:?}\n"));
    assert!(reload(&balancer).contains("admin: changed\n"));
    eventually(|| "the other door".into(), || (ask("") == 401).then_some(()));
    assert_eq!(ask("Authorization: Bearer a-long-random-word-0\r\n"), 200);
    let socket = balancer.directory().join("moved.sock");
    rewrite(&balancer, |text| text.replace("[admin]\n", &format!("[admin]\nsocket = {socket:?}\n")));
    // Asked where the file says it is, it is not there yet.
    balancer.signal(Signal::SIGHUP);
    eventually(|| "the other socket".into(), || (balancer.run(&["status"]).0 == 0).then_some(()));
    eventually(|| "the end of the old one".into(), || (!balancer.admin_socket().exists()).then_some(()));
}

#[test]
fn sockets_that_are_removed_under_us_come_back() {
    let (directory, origin) = (directory(), Origin::named("1"));
    let listener = directory.join("lb.sock");
    let top = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]\n", listener.display());
    let mut balancer = Balancer::start_in(directory, &top, &pool_of(&[&origin]));
    let admin = balancer.admin_socket();
    std::fs::remove_file(&listener).unwrap();
    // Its directory too.
    std::fs::remove_dir_all(admin.parent().unwrap()).unwrap();
    balancer.await_stderr(&format!("the socket file of unix:{} was removed; it was made again", listener.display()));
    balancer.await_stderr(&format!("the admin socket {} was removed; it was made again", admin.display()));
    assert_eq!(balancer.run(&["status"]).0, 0);
    assert_eq!(Client::unix(&listener).get("/").text(), "1");
    // Once others may connect, it comes back as well, and is closed when it goes.
    let plain = format!("\"unix:{}\"", listener.display());
    rewrite(&balancer, |text| text.replace(&plain, &format!("{{ address = {plain}, mode = \"0666\" }}")));
    reload(&balancer);
    std::fs::remove_file(&listener).unwrap();
    let again = format!("the socket file of unix:{} was removed; it was made again", listener.display());
    balancer.await_stderr_count(&again, 2);
    assert_eq!(Client::unix(&listener).get("/").text(), "1");
    rewrite(&balancer, |text| text.replace(&format!(", {{ address = {plain}, mode = \"0666\" }}"), ""));
    reload(&balancer);
    let sockets = || std::fs::read_to_string("/proc/net/unix").unwrap();
    let is_open = || sockets().contains(listener.to_str().unwrap());
    eventually(|| format!("its end: {}", sockets()), || (!is_open() && !listener.exists()).then_some(()));
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
    assert!(!listener.exists() && !admin.exists());
}

#[test]
fn a_storm_of_hups_is_one_reload_and_says_where_scale_and_file_differ() {
    let balancer = Balancer::start("", &workers(1));
    until_ready(&balancer, 1);
    assert_eq!(balancer.run(&["scale", "app", "2"]).0, 0);
    for _ in 0..20 {
        balancer.signal(Signal::SIGHUP);
    }
    let reloads = || status(&balancer)["reloads"]["done"].as_u64().unwrap();
    eventually(|| "a reload".into(), || (reloads() > 0).then_some(()));
    // How many signals come during one reload is the machine's affair.
    assert!(reloads() < 20, "{} reloads", reloads());
    assert!(reload(&balancer).contains("pool app: 2 workers by scale, the file says 1\n"));
}

#[test]
fn a_listener_added_after_a_change_of_threads_is_served_by_those_that_run() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::start("threads = 2\n", &pool_of(&[&origin]));
    rewrite(&balancer, |text| {
        text.replace("threads = 2", "threads = 8").replace("[pool.app]", "[pool.app]\nattempts_max = 1")
    });
    let not_changed = "requires restart: threads\n";
    assert!(reload(&balancer).contains(not_changed));
    rewrite(&balancer, |text| text.replace("attempts_max = 1", "attempts_max = 2"));
    assert!(reload(&balancer).contains(not_changed), "it is told again");
    rewrite(&balancer, |text| text.replace("listen = \"127.0.0.1:0\"", "listen = [\"127.0.0.1:0\", \"127.0.0.2:0\"]"));
    let said = reload(&balancer);
    assert!(said.contains("listen: 127.0.0.2:0 added\n") && said.contains(not_changed), "{said}");
    let text = balancer.await_stderr("listening on 127.0.0.2:");
    let added = text.lines().find_map(|line| line.split_once("listening on ")?.1.strip_prefix("127.0.0.2:"));
    let added = format!("127.0.0.2:{}", added.unwrap()).parse().unwrap();
    // The kernel deals them out to all queues that listen.
    let mut clients: Vec<Client> = (0..32).map(|_| Client::at(added)).collect();
    assert!(clients.iter_mut().all(|client| client.get("/").status() == 200));
}

#[test]
fn listeners_come_and_go_and_those_that_stay_notice_nothing() {
    let (directory, origin) = (directory(), Origin::named("1"));
    let paths = [directory.join("a.sock"), directory.join("b.sock")];
    let top = |extra: &str| format!("listen = [\"127.0.0.1:0\"{extra}]\n");
    let unix = |index: usize| format!(", \"unix:{}\"", paths[index].display());
    let balancer = Balancer::start_in(directory, &top(&unix(0)), &pool_of(&[&origin]));
    let mut stays = Client::of(&balancer);
    let mut on_old = Client::unix(&paths[0]);
    assert_eq!((stays.get("/").status(), on_old.get("/").status()), (200, 200));
    rewrite(&balancer, |text| text.replace(&unix(0), &unix(1)));
    let said = reload(&balancer);
    assert!(
        said.contains("b.sock added\n") && said.contains("a.sock removed; its connections stay until they end\n"),
        "{said}"
    );
    assert_eq!(Client::unix(&paths[1]).get("/").status(), 200);
    // By the thread that accepted there.
    eventually(|| "the end of the old socket".into(), || (!paths[0].exists()).then_some(()));
    assert_eq!((stays.get("/").status(), on_old.get("/").status()), (200, 200), "connections stay");
    assert_eq!(Client::of(&balancer).get("/").status(), 200);
    // One that cannot be opened: nothing of the rest is done either.
    rewrite(&balancer, |text| {
        text.replace(&unix(1), ", \"unix:/nowhere/x.sock\"").replace("[pool.app]", "[pool.app]\nattempts_max = 1")
    });
    let (code, said) = balancer.run(&["reload"]);
    assert!(
        code == 1 && said.contains("cannot listen on unix:/nowhere/x.sock") && said.contains("; nothing has changed"),
        "{code} {said}"
    );
    assert_eq!(Client::unix(&paths[1]).get("/").status(), 200);
    let (_, again) = balancer.run(&["reload", "--dry-run"]);
    assert!(again.contains("attempts_max 3 → 1"), "it is still to be done: {again}");
}

#[test]
fn a_new_pool_whose_workers_never_get_ready_changes_nothing() {
    let balancer = Balancer::start("", &workers(1));
    until_ready(&balancer, 1);
    rewrite(&balancer, |text| {
        let bad = "[pool.bad.workers]\ncommand = [\"/bin/sh\", \"-c\", \"echo no luck; exit 3\"]\n";
        format!("{text}{bad}[[route]]\npool = \"app\"\n[[route]]\npath = \"/bad\"\npool = \"bad\"\n")
    });
    let (code, said) = balancer.run(&["reload"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("pool bad: no worker is ready: bad.1 (pid "), "{said}");
    assert!(said.trim_end().ends_with("; nothing has changed"), "{said}");
    assert_eq!(status(&balancer)["pools"].as_array().unwrap().len(), 1);
    assert_eq!(Client::of(&balancer).get("/bad").status(), 200, "it goes where it went");
}

#[test]
fn a_failed_reload_cuts_no_request_that_its_workers_have_taken() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let hopeless = balancer.directory().join("hopeless");
    rewrite(&balancer, |text| {
        let script = format!("while ! [ -e {} ]; do sleep 0.05; done; exit 3", hopeless.display());
        let bad = format!("[pool.bad.workers]\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\n");
        let routes = "[[route]]\npool = \"app\"\n[[route]]\npath = \"/bad\"\npool = \"bad\"\n";
        // A worker that is not drained is killed.
        let app = workers(1).replace("count = 1", "count = 1\nstop_timeout = \"0s\"");
        format!("{text}{app}{bad}{routes}")
    });
    let mut reload = balancer.command(&["reload"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let app_1 = || {
        let endpoints = status(&balancer)["pools"][0]["endpoints"].as_array().unwrap().clone();
        endpoints.into_iter().find(|endpoint| endpoint["name"] == "app.1")
    };
    eventually(|| "app.1".into(), || app_1().map(drop));
    let mut clients: Vec<Client> = (0..4).map(|_| Client::of(&balancer)).collect();
    clients.iter_mut().for_each(|client| client.send(HALF_A_POST));
    let has_some = || app_1().is_some_and(|endpoint| endpoint["in_flight"].as_u64().unwrap() > 0);
    eventually(|| "requests at app.1".into(), || has_some().then_some(()));
    std::fs::write(&hopeless, "").unwrap();
    let is_out = || app_1().is_none_or(|endpoint| endpoint["state"] != "up");
    eventually(|| "the end of the attempt".into(), || is_out().then_some(()));
    for client in &mut clients {
        client.send("more");
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(reload.wait().unwrap().code(), Some(1));
    assert!(app_1().is_none());
}

#[test]
fn a_changed_command_replaces_the_workers_and_a_broken_one_leaves_them() {
    let balancer = Balancer::start("", &workers(2));
    until_ready(&balancer, 2);
    rewrite(&balancer, |text| text.replace("count = 2", "count = 2\nenv = { COLOUR = \"red\" }"));
    let said = reload(&balancer);
    assert!(said.contains("pool app: every worker is replaced, for a changed env\n"), "{said}");
    let colour = || Client::of(&balancer).get("/info?env=COLOUR").text();
    assert!((0..4).all(|_| colour().contains("red")), "{}", colour());
    rewrite(&balancer, |text| text.replace("\"red\"", "\"blue\"").replace("\"backend\"", "\"no-such-command\""));
    let (code, said) = balancer.run(&["reload"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("reloaded, but workers of pool app are as they were: "), "{said}");
    assert!((0..4).all(|_| colour().contains("red")), "the old ones serve");
    let (_, again) = balancer.run(&["reload", "--dry-run"]);
    assert!(again.contains("for a changed command, env"), "it is still to be done: {again}");
}

#[test]
fn new_settings_that_hold_are_not_taken_back_for_one_more_worker_that_is_late() {
    let balancer = Balancer::start("", &workers(1));
    until_ready(&balancer, 1);
    let mark = balancer.directory().join("mark");
    let script =
        format!("if [ {{index}} = 2 ] && mkdir {}; then exit 3; fi; exec \"$0\" backend {{port}}", mark.display());
    let command = format!("command = [\"/bin/sh\", \"-c\", '{script}', {:?}]", env!("CARGO_BIN_EXE_balancer"));
    rewrite(&balancer, |text| {
        let old = text.lines().find(|line| line.starts_with("command")).unwrap();
        text.replace(old, &command).replace("count = 1", "count = 2")
    });
    let (code, said) = balancer.run(&["reload"]);
    let text = "reloaded, but workers of pool app have their new settings, but not all 2 are there yet: app.2 (pid ";
    assert!(code == 1 && said.contains(text), "{code} {said}");
    until_ready(&balancer, 2);
    assert!(reload(&balancer).contains("nothing to do"));
    rewrite(&balancer, |text| text.replace("count = 2", "count = 1"));
    assert!(reload(&balancer).contains("pool app: workers 2 → 1\n"));
    // A number that is had, though the rest is not, is had.
    rewrite(&balancer, |text| text.replace("count = 1", "count = 2"));
    reload(&balancer);
    rewrite(&balancer, |text| text.replace("count = 2", "count = 1").replace("/bin/sh", "/bin/no-such-shell"));
    let (code, said) = balancer.run(&["reload"]);
    assert!(code == 1 && said.contains("workers of pool app are as they were, but 1 now: "), "{code} {said}");
    rewrite(&balancer, |text| text.replace("count = 1", "count = 2").replace("/bin/no-such-shell", "/bin/sh"));
    assert!(reload(&balancer).contains("pool app: workers 1 → 2\n"));
}

#[test]
fn a_scaled_pool_keeps_its_number_until_the_file_says_another() {
    let balancer = Balancer::start("", &workers(1));
    until_ready(&balancer, 1);
    assert_eq!(balancer.run(&["scale", "app", "3"]).0, 0);
    rewrite(&balancer, |text| text.replace("[pool.app.workers]", "[pool.app]\nattempts_max = 2\n[pool.app.workers]"));
    assert!(!reload(&balancer).contains("workers 3"));
    until_ready(&balancer, 3);
    rewrite(&balancer, |text| text.replace("count = 1", "count = 2"));
    assert!(reload(&balancer).contains("pool app: workers 3 → 2\n"));
    until_ready(&balancer, 2);
}

#[test]
fn a_changed_drain_timeout_holds_for_the_next_roll() {
    let tables = workers(1).replace("count = 1", "count = 1\nstop_timeout = \"0s\"");
    let balancer = Balancer::start("drain_timeout = \"1s\"\n", &tables);
    until_ready(&balancer, 1);
    rewrite(&balancer, |text| text.replace("\"1s\"", "\"20s\""));
    assert!(reload(&balancer).contains("drain_timeout: changed\n"));
    let mut client = Client::of(&balancer);
    client.send(HALF_A_POST);
    let endpoint = || status(&balancer)["pools"][0]["endpoints"][0].clone();
    eventually(|| "a request in flight".into(), || (endpoint()["in_flight"] == 1).then_some(()));
    let mut restart = balancer.command(&["restart", "app"]).stderr(Stdio::piped()).spawn().unwrap();
    eventually(|| "a drain".into(), || (endpoint()["state"] == "draining").then_some(()));
    // Longer than it would have been.
    let begun = Instant::now();
    eventually(|| "time".into(), || (begun.elapsed() > Duration::from_millis(1_500)).then_some(()));
    client.send("more");
    assert_eq!(client.response().status(), 200);
    assert!(restart.wait().unwrap().success());
}

#[test]
fn a_scaled_pool_keeps_its_number_though_a_reload_fails() {
    let balancer = Balancer::start("", &workers(1));
    until_ready(&balancer, 1);
    assert_eq!(balancer.run(&["scale", "app", "3"]).0, 0);
    rewrite(&balancer, |text| text.replace("\"backend\"", "\"no-such-command\""));
    let (code, said) = balancer.run(&["reload"]);
    assert!(code == 1 && said.contains("workers of pool app are as they were"), "{said}");
    rewrite(&balancer, |text| text.replace("\"no-such-command\"", "\"backend\""));
    let differs = "pool app: 3 workers by scale, the file says 1\n";
    assert_eq!(reload(&balancer), format!("untouched: pool app\n{differs}nothing to do\n"));
    until_ready(&balancer, 3);
}

#[test]
fn pools_routes_weights_and_endpoints_change_under_traffic_without_one_failed_request() {
    let origins: Vec<Origin> = (1..=3).map(|number| Origin::named(&number.to_string())).collect();
    let address = |index: usize| origins[index].address();
    let balancer = Balancer::before(&[&origins[0], &origins[1]]);
    let plain = std::fs::read_to_string(balancer.directory().join("lb.toml")).unwrap();
    let over = AtomicBool::new(false);
    let variants = [
        plain.replace(&format!("\"{}\"", address(0)), &format!("{{ address = \"{}\", weight = 7 }}", address(0))),
        plain.replace(&address(0), &address(2)),
        format!("{plain}[pool.b]\nendpoints = [{:?}]\n[[route]]\npool = \"b\"\n", address(2)),
        format!(
            "{plain}[pool.b]\nendpoints = [{:?}]\n[[route]]\npool = \"app\"\n[[route]]\npath = \"/x\"\npool = \"b\"\n",
            address(0)
        ),
        plain.replace("[pool.app]", "[pool.app]\npolicy = \"least_connections\"\nresponse_timeout = \"5s\""),
        plain.replace(&address(0), &address(2)).replace(&address(1), &address(0)),
        plain.clone(),
    ];
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let (balancer, over) = (&balancer, &over);
        let traffic = (0..4).map(|number| {
            scope.spawn(move || {
                let (mut count, mut client) = (0, Client::of(balancer));
                while !over.load(Ordering::Relaxed) {
                    if number % 2 == 0 {
                        client = Client::of(balancer);
                    }
                    let path = ["/", "/x"][count % 2];
                    client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"));
                    let response = client.response();
                    assert_eq!(response.status(), 200, "{response:?}");
                    count += 1;
                }
                count
            })
        });
        let traffic: Vec<_> = traffic.collect();
        let changing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for variant in variants.iter().cycle().take(21) {
                rewrite(balancer, |_| variant.clone());
                reload(balancer);
            }
        }));
        over.store(true, Ordering::Relaxed);
        let counts = traffic.into_iter().map(|thread| thread.join().unwrap()).collect();
        changing.unwrap();
        counts
    });
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
}

#[test]
fn fifty_open_tunnels_survive_twenty_reloads_that_do_not_concern_them() {
    let tunnel = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        while let Some(line) = exchange.until("\n") {
            exchange.send(line.to_uppercase());
        }
    });
    let other = Origin::named("2");
    let tables = format!(
        "{}[pool.b]\nendpoints = [{:?}]\n[[route]]\npool = \"app\"\n[[route]]\npath = \"/b\"\npool = \"b\"\n",
        pool_of(&[&tunnel]),
        other.address()
    );
    let balancer = Balancer::start("", &tables);
    let mut clients: Vec<Client> = (0..50).map(|_| Client::of(&balancer)).collect();
    for client in &mut clients {
        client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(client.response().status(), 101);
    }
    let plain = std::fs::read_to_string(balancer.directory().join("lb.toml")).unwrap();
    for round in 0..20 {
        rewrite(&balancer, |_| plain.replace("[pool.b]", &format!("[pool.b]\nresponse_timeout = \"{}s\"", round + 1)));
        assert!(reload(&balancer).contains("untouched: pool app\n"));
    }
    let endpoint = &status(&balancer)["pools"][0]["endpoints"][0];
    assert_eq!((endpoint["in_flight"].as_u64(), endpoint["requests"].as_u64()), (Some(50), Some(50)));
    for client in &mut clients {
        client.send("still here\n");
        assert_eq!(client.until("\n"), "STILL HERE\n");
    }
    assert_eq!(tunnel.ends(), 0);
}

#[test]
fn a_removed_endpoint_may_finish_what_it_has() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
        exchange.until("never");
    });
    let slow = Origin::start(move |mut exchange| {
        while exchange.request().is_some() {
            exchange.send(ok("2"));
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    rewrite(&balancer, |text| text.replace(&origin.address(), &slow.address()));
    reload(&balancer);
    assert_eq!(Client::of(&balancer).get("/").text(), "2");
    assert_eq!(origin.ends(), 0, "its request is in flight still");
}

#[test]
fn a_storm_of_hups_is_one_reload_or_two_and_the_last_file_counts() {
    let origins = [Origin::named("1"), Origin::named("2")];
    let balancer = Balancer::before(&[&origins[0]]);
    rewrite(&balancer, |text| text.replace(&origins[0].address(), &origins[1].address()));
    for _ in 0..200 {
        balancer.signal(Signal::SIGHUP);
    }
    eventually(|| "the second".into(), || (Client::of(&balancer).get("/").text() == "2").then_some(()));
    let done = status(&balancer)["reloads"]["done"].as_u64().unwrap();
    assert!((1..100).contains(&done), "{done} reloads of 200 signals");
    assert_eq!(status(&balancer)["reloads"]["failed"], 0);
    // Behind whatever is left of the storm.
    assert_eq!(reload(&balancer), "untouched: pool app\nnothing to do\n");
}

#[test]
fn a_hup_is_heard_though_the_most_orders_wait() {
    let mut balancer = Balancer::start("", &workers(1));
    until_ready(&balancer, 1);
    let mut client = Client::of(&balancer);
    client.send(HALF_A_POST);
    let in_flight = || status(&balancer)["pools"][0]["in_flight"] == 1;
    eventually(|| "a request in flight".into(), || in_flight().then_some(()));
    let mut restart = balancer.command(&["restart", "app"]).stderr(Stdio::piped()).spawn().unwrap();
    let is_draining = || status(&balancer)["pools"][0]["endpoints"][0]["state"] == "draining";
    eventually(|| "a drain".into(), || is_draining().then_some(()));
    let path = balancer.admin_socket();
    let mut waiting: Vec<UnixStream> = (0..20).map(|_| UnixStream::connect(&path).unwrap()).collect();
    for stream in &mut waiting {
        stream.write_all(b"POST /api/scale?pool=app&count=1 HTTP/1.0\r\n\r\n").unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    let mut is_full = || waiting.iter_mut().any(|stream| stream.read(&mut [0; 1_024]).is_ok_and(|read| read > 0));
    eventually(|| "an order too many".into(), || is_full().then_some(()));
    rewrite(&balancer, |text| text.replace("[pool.app.workers]", "[pool.app]\nattempts_max = 2\n[pool.app.workers]"));
    balancer.signal(Signal::SIGHUP);
    balancer.await_stderr("HUP: reloading");
    client.send("more");
    assert_eq!(client.response().status(), 200);
    assert!(restart.wait().unwrap().success());
    eventually(|| "the reload".into(), || (status(&balancer)["reloads"]["done"] == 1).then_some(()));
}
