//! Workers that take connections without us in between: a shared listener, one port for all, connections handed over.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::harness::{Balancer, Client, Ended, directory, eventually};
use super::program::{PROGRAM, Traffic, balancer, file, get, printed, said};

/// A balancer whose only pool has workers with an address of their own.
pub(crate) struct Site {
    pub(crate) balancer: Balancer,
    pub(crate) address: SocketAddr,
}

impl Site {
    /// `count` built-in workers, in `mode`; `pool` and `workers` are more keys.
    pub(crate) fn start(mode: &str, count: usize, pool: &str, workers: &str) -> Self {
        let command = format!("command = [{PROGRAM:?}, \"backend\"]\n");
        Self::with(mode, count, pool, &(command + workers))
    }

    pub(crate) fn with(mode: &str, count: usize, pool: &str, workers: &str) -> Self {
        let port = if mode == "reuse_port" { free_port() } else { 0 };
        let tables = format!(
            "[pool.app]\n{pool}\n[pool.app.workers]\ncount = {count}\nmode = \"{mode}\"\naddress = \"127.0.0.1:{port}\"\n{workers}"
        );
        let mut balancer = Balancer::start("", &tables);
        let text = balancer.await_stderr("its workers take connections at ");
        let address = text.split_once("its workers take connections at ").unwrap().1.split(',').next().unwrap();
        Self { address: address.parse().unwrap(), balancer }
    }

    pub(crate) fn until_ready(&self, count: usize) {
        self.balancer.await_stderr_count(" takes connections of ", count);
    }

    /// Pids of all workers that were ever ready, in their order.
    pub(crate) fn pids(&self) -> Vec<(String, Pid)> {
        let said = self.balancer.said();
        let lines = said.lines().filter_map(|line| line.split_once(" takes connections of ")).map(|(before, _)| before);
        let pid = |line: &str| {
            let (before, rest) = line.rsplit_once(" (pid ")?;
            Some((before.rsplit(' ').next()?.to_owned(), Pid::from_raw(rest.trim_end_matches(')').parse().ok()?)))
        };
        lines.filter_map(pid).collect()
    }

    pub(crate) fn pid(&self, worker: &str) -> Pid {
        self.pids().into_iter().rfind(|(name, _)| name == worker).unwrap().1
    }

    /// Who answers on a new connection.
    pub(crate) fn who(&self) -> String {
        let (status, body) = get(self.address, "/").unwrap();
        assert_eq!(status, 200);
        body
    }

    /// Waits until every one of `count` workers has answered.
    pub(crate) fn until_all_answer(&self, count: usize) {
        let mut seen = BTreeSet::new();
        eventually(
            || format!("{count} workers at {}", self.address),
            || {
                // Several at once: an idle kernel may give all to one.
                let mut clients: Vec<Client> = (0..8).map(|_| Client::at(self.address)).collect();
                for client in &mut clients {
                    client.send("GET /delay?ms=5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                }
                seen.extend(clients.iter_mut().map(|client| client.response().text()));
                (seen.len() == count).then_some(())
            },
        );
    }
}

/// One that nobody had a moment ago: all workers have to bind the same, so it has to be written.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) const READY_BY_LINE: &str = "ready = { line = \"listening on\" }\n";

#[test]
fn workers_share_the_listener_they_are_passed_as_descriptor_3() {
    let site = Site::start("shared", 2, "", READY_BY_LINE);
    site.until_ready(2);
    site.until_all_answer(2);
    let (_, info) = get(site.address, "/info?env=LISTEN_FDS&env=LISTEN_FDNAMES&env=LISTEN_PID").unwrap();
    let pid = info.lines().find_map(|line| line.strip_prefix("pid: ")).unwrap();
    assert!(info.contains("env: LISTEN_FDS=1\n") && info.contains("env: LISTEN_FDNAMES=listener\n"), "{info}");
    assert!(info.contains(&format!("env: LISTEN_PID={pid}\n")), "{info}");
    // One dies: what connects meanwhile waits or goes to the other.
    kill(site.pid("app.1"), Signal::SIGKILL).unwrap();
    (0..20).for_each(|_| drop(site.who()));
    site.until_ready(3);
    site.until_all_answer(2);
}

#[test]
fn a_roll_and_a_change_of_number_lose_no_request_on_a_shared_listener() {
    let site = Site::start("shared", 2, "", READY_BY_LINE);
    site.until_ready(2);
    let traffic = Traffic::start(site.address, "/", 4);
    traffic.await_more();
    for command in [&["restart"][..], &["scale", "app", "3"], &["scale", "app", "1"], &["restart", "app"]] {
        let (code, text) = site.balancer.run(command);
        assert_eq!(code, 0, "{command:?}: {text}\n{}", site.balancer.said());
        traffic.await_more();
    }
    traffic.assert_all_served();
}

#[test]
fn a_program_that_ignores_its_descriptor_3_is_not_taken_as_ready() {
    for (mode, ready, why) in [
        ("shared", READY_BY_LINE, "does the program accept from the socket that is its descriptor 3?"),
        ("handoff", "", "does the program read its descriptor 3?"),
        ("reuse_port", "", "does the program set SO_REUSEPORT and listen where $HOST and $PORT say?"),
    ] {
        let script =
            "command = [\"sh\", \"-c\", \"echo listening on nothing; exec sleep 1000\"]\nready_timeout = \"1s\"\n";
        let mut site = Site::with(mode, 1, "", &format!("{script}{ready}"));
        let text = site.balancer.await_stderr(why);
        assert!(!text.contains(" takes connections of "), "{mode}: {text}");
    }
}

#[test]
fn workers_listen_on_one_port_each_with_a_listener_of_its_own() {
    let command = format!("command = [{PROGRAM:?}, \"backend\", \"--reuse-port\"]\n");
    let site = Site::with("reuse_port", 2, "", &command);
    site.until_ready(2);
    site.until_all_answer(2);
    let (code, text) = site.balancer.run(&["restart"]);
    assert_eq!(code, 0, "{text}\n{}", site.balancer.said());
    site.until_all_answer(2);
}

#[test]
fn a_second_worker_without_so_reuseport_is_told_that_the_port_is_taken() {
    let mut site = Site::start("reuse_port", 2, "", "");
    site.balancer.await_stderr_of("app.", "cannot listen on 127.0.0.1:");
    let text = site.balancer.await_stderr("Address already in use");
    assert!(text.contains(" | backend") || text.contains("balancer backend: cannot listen"), "{text}");
}

#[test]
fn connections_are_handed_to_workers_in_turn() {
    let site = Site::start("handoff", 2, "", "");
    site.until_ready(2);
    site.until_all_answer(2);
    let got: Vec<String> = (0..6).map(|_| site.who()).collect();
    let (one, other) = (&got[0], &got[1]);
    assert_ne!(one, other);
    assert_eq!(got, [one, other, one, other, one, other].map(String::clone));
    // A connection stays where it is.
    let mut client = Client::at(site.address);
    let all: BTreeSet<String> = (0..5).map(|_| client.get("/").text()).collect();
    assert_eq!(all.len(), 1);
    let (_, info) = get(site.address, "/info?env=LISTEN_FDNAMES").unwrap();
    assert!(info.contains("env: LISTEN_FDNAMES=handoff\n"), "{info}");
}

#[test]
fn a_connection_is_handed_to_the_worker_with_the_fewest_or_to_that_of_its_client() {
    let site = Site::start("handoff", 2, "policy = \"least_connections\"", "");
    site.until_ready(2);
    // Workers tell when they close: one has to, before connections are counted.
    site.who();
    let mut held = Client::at(site.address);
    let holder = held.get("/").text();
    // What was closed is told of soon, and then all others go to the other worker.
    eventually(
        || "three in a row at the other worker".to_owned(),
        || (0..3).all(|_| site.who() != holder).then_some(()),
    );
    drop(held);
    let site = Site::start("handoff", 3, "policy = \"hash\"", "");
    site.until_ready(3);
    let of = |last: u8| {
        let mut client = Client::from([127, 0, 0, last].into(), site.address);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.response().text()
    };
    let all = || (1..30).map(of).collect::<BTreeSet<_>>().len();
    eventually(|| "three workers that take connections".to_owned(), || (all() == 3).then_some(()));
    let first: Vec<String> = (1..30).map(of).collect();
    let again: Vec<String> = (1..30).map(of).collect();
    assert_eq!(first, again);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3, "{first:?}");
}

#[test]
fn a_roll_and_a_change_of_number_lose_no_handed_request() {
    for model in ["event-loop", "threads", "pool", "multi"] {
        let command = format!("command = [{PROGRAM:?}, \"backend\", \"--model\", \"{model}\"]\n");
        let site = Site::with("handoff", 2, "", &command);
        site.until_ready(2);
        let traffic = Traffic::start(site.address, "/", 4);
        traffic.await_more();
        for command in [&["restart"][..], &["scale", "app", "3"], &["scale", "app", "1"]] {
            let (code, text) = site.balancer.run(command);
            assert_eq!(code, 0, "{model} {command:?}: {text}\n{}", site.balancer.said());
            traffic.await_more();
        }
        traffic.assert_all_served();
    }
}

#[test]
fn who_was_being_handed_to_a_worker_that_dies_is_closed_and_never_hangs() {
    let site = Site::start("handoff", 2, "", "");
    site.until_ready(2);
    let doomed = site.pid("app.1");
    site.until_all_answer(2);
    // Whose turn it is first.
    let other_first = !site.who().contains('1');
    kill(doomed, Signal::SIGSTOP).unwrap();
    // In turn: every other one waits in the channel of the worker that stands still.
    let mut clients: Vec<Client> = (0..8).map(|_| Client::at(site.address)).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    // The other worker's are answered meanwhile, the last of them after all before it were handed over.
    let last = if other_first { 7 } else { 6 };
    clients[last].head();
    kill(doomed, Signal::SIGKILL).unwrap();
    let begun = Instant::now();
    let ends: Vec<(String, Ended)> = clients.iter_mut().map(Client::rest).collect();
    assert!(begun.elapsed() < Duration::from_secs(10), "{ends:?}");
    let answered = ends.iter().filter(|(text, _)| text.starts_with("HTTP/1.1 200 ")).count();
    assert!(ends.iter().all(|(_, ended)| *ended != Ended::Silence), "{ends:?}");
    assert!((3..7).contains(&answered), "{answered} of {ends:?}");
    site.until_ready(3);
    (0..4).for_each(|_| drop(site.who()));
}

#[test]
fn who_finds_every_channel_full_waits_and_is_answered_or_refused() {
    let site = Site::start("handoff", 1, "ready_wait = \"1s\"\nqueue_max = 5", "");
    site.until_ready(1);
    let worker = site.pid("app.1");
    kill(worker, Signal::SIGSTOP).unwrap();
    let ask = || {
        let mut client = Client::at(site.address);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client
    };
    // More than there is room for in its channel and among those who wait.
    let mut clients: Vec<Client> = (0..120).map(|_| ask()).collect();
    let mut last = clients.pop().unwrap();
    let (text, _) = last.rest();
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nRetry-After: 1\r\n"), "{text:?}");
    kill(worker, Signal::SIGCONT).unwrap();
    let ends: Vec<(String, Ended)> = clients.iter_mut().map(Client::rest).collect();
    let count = |status: &str| ends.iter().filter(|(text, _)| text.starts_with(status)).count();
    let (served, refused) = (count("HTTP/1.1 200 "), count("HTTP/1.1 503 "));
    assert!(
        served + refused == ends.len() && served >= 20 && refused >= 20,
        "{served} served, {refused} refused: {ends:?}"
    );
    site.who();
}

#[test]
fn a_stop_answers_whoever_was_accepted() {
    let mut site = Site::start("handoff", 2, "", "");
    site.until_ready(2);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::at(site.address)).collect();
    for client in &mut clients {
        client.send("GET /delay?ms=300 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    // They were accepted before this one.
    site.who();
    site.balancer.signal(Signal::SIGTERM);
    assert!(clients.iter_mut().all(|client| client.response().status() == 200));
    assert!(site.balancer.ended().success());
}

#[test]
fn a_file_whose_pools_have_addresses_needs_no_listen_and_a_reload_changes_none() {
    let folder = directory();
    let path = folder.join("lb.toml");
    let write = |mode: &str, extra: &str| {
        let text = format!(
            "[pool.app.workers]\ncommand = [{PROGRAM:?}, \"backend\"]\nmode = \"{mode}\"\naddress = \"127.0.0.1:0\"\n\
             ready = {{ line = \"listening on\" }}\n{extra}"
        );
        std::fs::write(&path, text).unwrap();
    };
    write("shared", "");
    let mut command = balancer(&["--config", path.to_str().unwrap()]);
    let mut program = super::program::Program::start(command.env("XDG_RUNTIME_DIR", &folder));
    program.stderr.until(" takes connections of ");
    let reload = || {
        let output = balancer(&["reload", "--config", path.to_str().unwrap()]).env("XDG_RUNTIME_DIR", &folder).output();
        let output = output.unwrap();
        (output.status.code(), printed(&output) + &said(&output))
    };
    write("handoff", "");
    let (code, text) = reload();
    assert!(
        code == Some(1) && text.contains("`mode` and `address` of its workers cannot change while it runs"),
        "{text}"
    );
    write("shared", "stop_timeout = \"3s\"\n");
    let (code, text) = reload();
    assert!(code == Some(0), "{text}");
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn check_says_what_a_mode_cannot_do_and_refuses_what_would_have_no_effect() {
    let head = "[pool.app.workers]\ncommand = [\"true\"]\n";
    let check = |name: &str, config: &str| {
        let output = balancer(&["check", "--config", file(name, config).to_str().unwrap()]).output().unwrap();
        (output.status.code(), printed(&output) + &said(&output))
    };
    let handoff = format!("{head}mode = \"handoff\"\naddress = \"127.0.0.1:0\"\n");
    let (code, text) = check("sharing-right", &handoff);
    let note = "note: pool app, mode = \"handoff\": balancer picks a worker for each connection and sees no request";
    assert!(code == Some(0) && text.contains(note), "{text}");
    for (number, (config, message)) in [
        (format!("{head}mode = \"handoff\"\n"), "with mode = \"handoff\" the workers need an `address`"),
        (format!("{head}address = \"127.0.0.1:0\"\n"), "`address` has no effect without `mode`"),
        (format!("{head}mode = \"fork\"\n"), "`mode` cannot be `fork`"),
        (format!("{head}mode = \"shared\"\naddress = \"127.0.0.1:0\"\n"), "mode = \"shared\" needs `ready`"),
        (
            format!("{head}mode = \"reuse_port\"\naddress = \"127.0.0.1:0\"\n"),
            "every worker has to listen on the same port",
        ),
        (format!("{head}mode = \"handoff\"\naddress = \"unix:/run/a\"\n"), "this must be an address and a port"),
        (format!("{handoff}first_port = 8000\n"), "`first_port` has no effect with mode = \"handoff\""),
        (
            format!("{handoff}requests_max = 8000\n"),
            "`requests_max` has no effect with mode = \"handoff\": balancer sees no request",
        ),
        (format!("{handoff}ready = {{ connect = true }}\n"), "a connection is no sign of a worker"),
        (format!("{handoff}[pool.app]\nslots = 1\n"), "`slots` has no effect with mode = \"handoff\""),
        (format!("{handoff}[pool.app]\npolicy = \"hash\"\nhash_key = \"uri\"\n"), "only the client's address is known"),
        (format!("{handoff}[[route]]\npool = \"app\"\n"), "takes no requests from balancer"),
        (
            format!("listen = \"127.0.0.1:81\"\n{handoff}").replace("127.0.0.1:0", "127.0.0.1:81"),
            "balancer itself listens on `127.0.0.1:81`",
        ),
        (
            format!(
                "{head}mode = \"reuse_port\"\naddress = \"127.0.0.1:82\"\n[pool.app]\npolicy = \"random\"\n\
                 [pool.b.workers]\ncommand = [\"true\"]\nmode = \"handoff\"\naddress = \"0.0.0.0:82\"\n"
            ),
            "`policy` has no effect with mode = \"reuse_port\"",
        ),
        (
            format!("{handoff}[pool.b.workers]\ncommand = [\"true\"]\nmode = \"handoff\"\naddress = \"0.0.0.0:83\"\n")
                .replace("127.0.0.1:0", "127.0.0.1:83"),
            "pool `app` has that address already",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (code, text) = check(&format!("sharing-wrong-{number}"), &config);
        assert!(code == Some(78) && text.contains(message), "{config}\n{text}");
    }
}
