//! Servers that serve one connection at a time, and keep everybody else waiting while it is open.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::harness::{Balancer, Client, Gate, Origin, directory, eventually, ok};
use crate::program::{Program, balancer, needs};

/// As Python's `http.server` is when it keeps connections.
const SERVER: &str = r#"
import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
"#;

#[test]
fn a_server_that_answers_only_when_its_idle_connection_is_closed_is_named_and_none_is_kept() {
    // A gate for each request that is held, while another comes on a connection of its own.
    let gates: Vec<Gate> = (0..3).map(|_| Gate::default()).collect();
    let (turn, opened) = (Mutex::new(()), gates.clone());
    let origin = Origin::start(move |mut exchange| {
        let _turn = turn.lock().unwrap();
        while let Some(request) = exchange.request() {
            let held = request.target().split('/').nth(1).and_then(|rest| rest.chars().next()?.to_digit(10));
            if let Some(held) = held {
                opened[held as usize].wait();
            }
            if !exchange.send(ok("done")) {
                return;
            }
        }
    });
    // So that only its being closed for others closes a connection.
    let pool = format!("[pool.app]\nkeep_alive_timeout = \"1h\"\nendpoints = [{:?}]\n", origin.address());
    let mut balancer = Balancer::start("threads = 1", &pool);
    let (mut first, mut second) = (Client::of(&balancer), Client::of(&balancer));
    for (round, gate) in gates.iter().enumerate() {
        first.send(format!("GET /{round} HTTP/1.1\r\nHost: a\r\n\r\n"));
        origin.await_requests(2 * round + 1);
        let connections = origin.connections();
        second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        eventually(|| "a second connection".into(), || (origin.connections() > connections).then_some(()));
        gate.open();
        assert_eq!([first.response().status(), second.response().status()], [200, 200]);
    }
    let log = balancer.await_stderr("seems to serve one connection at a time");
    let said = format!("pool app: {} seems to serve one connection at a time", origin.address());
    assert!(log.contains(&said) && log.contains("`slots = 1`"), "{log}");
    let connections = origin.connections();
    for asked in 1..4 {
        assert_eq!(first.get("/").status(), 200);
        assert_eq!(origin.connections(), connections + asked, "each has a connection of its own");
    }
    assert_eq!(log.matches("seems to serve one connection at a time").count(), 1);
}

#[test]
fn one_whose_slow_answers_come_one_after_another_keeps_its_connections_and_is_not_suspected() {
    // Two for each round: a machine that pauses between two answers may have the second look as if it had waited for the first.
    let gates: Vec<[Gate; 2]> = (0..3).map(|_| Default::default()).collect();
    let opened = gates.clone();
    let origin = Origin::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            let mut held = request.target().split('/').filter_map(|part| part.parse::<usize>().ok());
            if let (Some(round), Some(which)) = (held.next(), held.next()) {
                opened[round][which].wait();
            }
            if !exchange.send(ok("done")) {
                return;
            }
        }
    });
    let pool = format!("[pool.app]\nkeep_alive_timeout = \"1h\"\nendpoints = [{:?}]\n", origin.address());
    let mut verbose = Command::new(env!("CARGO_BIN_EXE_balancer"));
    verbose.args(["--log-level", "debug"]);
    let balancer = Balancer::start_by(verbose, directory(), "threads = 1", &pool);
    let (mut first, mut second) = (Client::of(&balancer), Client::of(&balancer));
    assert_eq!(first.get("/").status(), 200);
    for (round, [one, other]) in gates.iter().enumerate() {
        let connections = origin.connections();
        first.send(format!("GET /{round}/0 HTTP/1.1\r\nHost: a\r\n\r\n"));
        origin.await_requests(2 * round + 2);
        second.send(format!("GET /{round}/1 HTTP/1.1\r\nHost: a\r\n\r\n"));
        origin.await_requests(2 * round + 3);
        let all_kept = origin.connections() == connections;
        if !all_kept {
            balancer.await_stderr_count("a request waits on a new one", round + 1);
        }
        one.open();
        assert_eq!(first.response().status(), 200);
        other.open();
        assert_eq!(second.response().status(), 200);
        if all_kept {
            return;
        }
    }
    panic!("no round has left two connections: {}", balancer.said());
}

#[test]
#[cfg_attr(not(has = "python3"), ignore = "needs python3")]
fn a_run_of_servers_of_one_connection_gives_each_one_request_at_a_time() {
    needs("python3");
    let arguments = ["run", "-n", "1", "--listen", "127.0.0.1:0", "--name", "serial", "--", "python3", "-c", SERVER];
    let program = Program::start(&mut balancer(&arguments));
    program.until_ready(1);
    let address = program.address();
    let done = Arc::new(AtomicBool::new(false));
    // Fewer than the five that wait for Python to accept them.
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let done = Arc::clone(&done);
            std::thread::spawn(move || {
                let mut client = Client::at(address);
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/").status(), 200);
                }
                // Now that it is known, everybody has a turn.
                (0..50).for_each(|_| assert_eq!(client.get("/").status(), 200));
            })
        })
        .collect();
    let log = program.stderr.until("each worker gets one request at a time now, as with --slots 1");
    done.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(log.matches("seems to serve one connection at a time").count(), 1, "{log}");
}
