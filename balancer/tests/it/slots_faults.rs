//! What goes wrong around slots: workers that die, clients that leave or are slow.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::harness::{Balancer, Client, Ended, Gate, Origin, SOON, eventually, ok};
use super::slots::{GET, ONE_SLOT, count, held_by, slots_of};

const MIB: usize = 1 << 20;

#[test]
fn a_client_that_leaves_the_queue_costs_nobody_anything() {
    for request in
        ["GET /left HTTP/1.1\r\nHost: a\r\n\r\n", "POST /left HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"]
    {
        leaves_the_queue(request);
    }
}

fn leaves_the_queue(request: &str) {
    let gate = Gate::default();
    let origin = held_by(&gate);
    let balancer =
        Balancer::start("threads = 2", &slots_of(&[&origin], "slots = 1\nqueue_max = 10\nqueue_timeout = \"60s\"\n"));
    let mut serving = Client::of(&balancer);
    serving.send(GET);
    origin.await_requests(1);
    let leaving: Vec<Client> = (0..8)
        .map(|_| {
            let mut client = Client::of(&balancer);
            client.send(request);
            client
        })
        .collect();
    // Half of the queue is one address's: five wait when three have been refused.
    let full = || (count(&balancer, "\"reason\":\"queue_full\"") == 3).then_some(());
    eventually(|| "a share of the queue that is used up".into(), full);
    let mut staying = super::slots::from(&balancer, "127.0.0.2");
    staying.send(GET);
    drop(leaving);
    let left = || (count(&balancer, "\"reason\":\"client_gone\"") == 5).then_some(());
    eventually(|| "five that left".into(), left);
    gate.open();
    assert_eq!(serving.response().status(), 200);
    assert_eq!(staying.response().status(), 200);
    assert!(origin.requests().iter().all(|request| request.target() == "/"), "{:?}", origin.requests());
}

#[test]
fn a_client_that_leaves_in_flight_gives_its_slot_to_the_next() {
    let gate = Gate::default();
    let origin = held_by(&gate);
    let balancer = Balancer::start("", &slots_of(&[&origin], ONE_SLOT));
    let mut leaving = Client::of(&balancer);
    leaving.send("GET /left HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.await_requests(1);
    let mut next = Client::of(&balancer);
    next.send(GET);
    drop(leaving);
    origin.await_requests(2);
    gate.open();
    assert_eq!(next.response().status(), 200);
    balancer.logged(&["\"target\":\"/left\"", "\"reason\":\"client_gone\""]);
}

#[test]
fn a_slow_upload_takes_no_slot_before_it_is_there_and_leaves_none_behind() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("", &slots_of(&[&origin], ONE_SLOT));
    let mut slow = Client::of(&balancer);
    slow.send("POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n");
    let mut leaving = Client::of(&balancer);
    leaving.send("POST /left HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(leaving.head().status(), 100, "our buffer wants the body");
    assert_eq!(Client::of(&balancer).get("/").status(), 200, "the worker is free");
    assert_eq!(origin.requests().len(), 1);
    drop(leaving);
    balancer.logged(&["\"target\":\"/left\"", "\"reason\":\"client_gone\"", "\"attempts\":0"]);
    slow.send("3\r\nllo\r\n0\r\n\r\n");
    assert_eq!(slow.response().status(), 200);
    let request = origin.requests().remove(1);
    assert_eq!((request.text().as_str(), request.field("content-length")), ("hello", Some("5")));
    assert_eq!(request.field("expect"), None);
}

#[test]
fn a_large_upload_streams_through_a_small_buffer() {
    let piece = super::streaming::pattern(MIB);
    let (listener, sent) = (TcpListener::bind("127.0.0.1:0").unwrap(), piece.clone());
    let address = listener.local_addr().unwrap().to_string();
    // Not one of the scripted origins, which keep every byte.
    let worker = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
        let mut got = vec![0; MIB];
        (0..100).for_each(|_| {
            stream.read_exact(&mut got).unwrap();
            assert!(got == sent, "the bytes are others");
        });
        stream.get_mut().write_all(ok("whole").as_bytes()).unwrap();
    });
    let pool = format!("{}{ONE_SLOT}buffer_request = \"64KiB\"\n", super::harness::pool_at(&[address]));
    let balancer = Balancer::start("", &pool);
    let before = balancer.memory("VmHWM");
    let mut client = Client::of(&balancer);
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 100 * MIB));
    (0..100).for_each(|_| client.send(&piece));
    assert_eq!(client.response().text(), "whole");
    worker.join().unwrap();
    let grown = balancer.memory("VmHWM") - before;
    assert!(grown < 12 * 1024, "{grown} KiB");
}

#[test]
fn a_client_that_reads_slowly_does_not_hold_the_worker() {
    // More than the kernel holds between us and the client.
    let body = 12 * MIB;
    let origin = Origin::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            if request.target() == "/large" {
                exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n"));
                exchange.pour(body);
            } else {
                exchange.send(ok("small"));
            }
        }
    });
    let balancer = Balancer::start("", &slots_of(&[&origin], "slots = 1\nbuffer_response = \"16MiB\"\n"));
    let mut slow = Client::slow_reader(&balancer);
    slow.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = slow.head();
    // A byte, and then none for a long time.
    assert_eq!(slow.take(1).len(), 1);
    let begun = Instant::now();
    assert_eq!(Client::of(&balancer).get("/").text(), "small");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(origin.connections(), 1, "the connection is free with the slot");
    let rest = slow.take(body - 1);
    assert!(rest == super::streaming::pattern(64 * 1024).repeat(12 * 16)[1..], "the bytes are others");
    assert_eq!(head.status(), 200);
    let line = balancer.logged(&["\"target\":\"/large\"", "\"status\":200"]);
    assert!(line.contains(&format!("\"bytes\":{body}")) && !line.contains("reason"), "{line}");
}

#[test]
fn a_response_larger_than_the_buffer_waits_for_its_client_and_arrives_whole() {
    let body = 8 * MIB;
    let origin = Origin::start(move |mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800000\r\n");
        exchange.pour(body);
        exchange.send("\r\n0\r\nX-Sum: 1\r\n\r\n");
    });
    let balancer = Balancer::start("", &slots_of(&[&origin], "slots = 1\nbuffer_response = \"256KiB\"\n"));
    let before = balancer.memory("VmHWM");
    let mut client = Client::slow_reader(&balancer);
    client.send(GET);
    let head = client.head();
    let more = || (origin.sent() < body as u64).then_some(());
    eventually(|| "a worker that is held up".into(), more);
    let response = client.body(head);
    assert_eq!((response.ended, response.body.len()), (Ended::Framed, body));
    let grown = balancer.memory("VmHWM") - before;
    assert!(grown < 12 * 1024, "{grown} KiB");
}

#[test]
fn a_response_that_breaks_off_breaks_off_for_the_client_too() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it");
    });
    let balancer = Balancer::start("", &slots_of(&[&origin], ONE_SLOT));
    let mut client = Client::of(&balancer);
    client.send(GET);
    let head = client.head();
    let response = client.body(head);
    assert_eq!((response.text().as_str(), response.ended), ("half of it", Ended::Close));
    balancer.logged(&["\"reason\":\"truncated\""]);
    assert_eq!(Client::of(&balancer).get("/").status(), 200, "the slot is free");
}

#[test]
fn an_endpoint_that_refuses_gives_its_slots_requests_to_another() {
    let refusing = super::harness::Refusing::start();
    let origin = Origin::named("1");
    let pool = format!("{}{ONE_SLOT}", super::harness::pool_at(&[refusing.address(), origin.address()]));
    let balancer = Balancer::start("threads = 2", &pool);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let address = balancer.address();
            std::thread::spawn(move || {
                let mut client = Client::at(address);
                for _ in 0..10 {
                    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
                    assert_eq!(client.response().status(), 200);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(origin.requests().len(), 80);
}

#[test]
fn a_worker_killed_with_the_queue_full_loses_no_safe_request() {
    let mut balancer = Balancer::start("threads = 2", &workers(2, "", "queue_timeout = \"15s\"\n"));
    let said = await_ready(&mut balancer, 2);
    let mut clients: Vec<Client> = (0..10).map(|_| Client::of(&balancer)).collect();
    clients.iter_mut().for_each(|client| client.send("GET /delay?ms=400 HTTP/1.1\r\nHost: a\r\n\r\n"));
    kill(pid_of(&said, "app.2"), Signal::SIGKILL).unwrap();
    for client in &mut clients {
        let response = client.response();
        assert_eq!(response.status(), 200, "{response:?}");
    }
}

#[test]
fn while_all_workers_are_down_the_queue_holds_and_says_503_when_it_takes_too_long() {
    let keys = "queue_timeout = \"10s\"\n";
    let balancer = Balancer::start("", &workers(1, "\"--start-delay\", \"1s\"", keys));
    // Nobody is ready yet.
    assert_eq!(Client::of(&balancer).get("/").status(), 200);
    let line = balancer.logged(&["\"status\":200"]);
    assert!(!line.contains("\"qt\":0,"), "{line}");

    let balancer = Balancer::start("", &workers(1, "\"--start-delay\", \"60s\"", "queue_timeout = \"300ms\"\n"));
    let begun = Instant::now();
    let response = Client::of(&balancer).get("/");
    assert_eq!(response.status(), 503);
    assert!(response.field("retry-after").is_some() && begun.elapsed() < SOON);
    balancer.logged(&["\"reason\":\"queue_timeout\""]);
}

#[test]
fn a_sequential_worker_never_has_a_connection_waiting_while_it_serves() {
    let mut balancer =
        Balancer::start("threads = 4", &workers(2, "\"--model\", \"sequential\"", "slow_lane = false\n"));
    let said = await_ready(&mut balancer, 2);
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let address = balancer.address();
            std::thread::spawn(move || {
                let mut client = Client::at(address);
                for _ in 0..40 {
                    let response = client.get("/");
                    assert_eq!(response.status(), 200);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    // The workers themselves have watched, and each is asked itself.
    for index in 1..=2 {
        let address =
            said.split(&format!("app.{index} ")).find_map(|rest| rest.split_once("is ready at ")?.1.split(' ').next());
        let counts = Client::at(address.unwrap().parse().unwrap()).get("/info").text();
        assert!(counts.lines().any(|line| line.split_whitespace().eq(["overlaps:", "0"])), "{counts}");
    }
}

#[test]
fn the_only_worker_killed_with_the_queue_full_loses_no_safe_request() {
    let mut balancer = Balancer::start("threads = 2", &workers(1, "", "queue_timeout = \"15s\"\n"));
    let said = await_ready(&mut balancer, 1);
    let mut clients: Vec<Client> = (0..30).map(|_| Client::of(&balancer)).collect();
    clients.iter_mut().for_each(|client| client.send("GET /delay?ms=20 HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(clients[0].response().status(), 200);
    kill(pid_of(&said, "app.1"), Signal::SIGKILL).unwrap();
    for client in &mut clients[1..] {
        assert_eq!(client.response().status(), 200);
    }
}

#[test]
fn requests_that_find_the_only_worker_dead_wait_for_the_next_without_slots_too() {
    let mut balancer = Balancer::start("threads = 2", &workers(1, "", "").replace("slots = 1\n", ""));
    let mut pid = pid_of(&await_ready(&mut balancer, 1), "app.1");
    for round in 2..6 {
        kill(pid, Signal::SIGKILL).unwrap();
        for _ in 0..8 {
            assert_eq!(Client::of(&balancer).get("/").status(), 200, "{round}");
        }
        balancer.await_stderr_count(" is ready", round);
        let said = balancer.said();
        pid = pid_of(said.lines().rfind(|line| line.contains(" is ready")).unwrap(), "app.1");
    }
}

/// Waits for so many workers; returns what was said of them.
fn await_ready(balancer: &mut Balancer, count: usize) -> String {
    (1..=count).map(|index| balancer.await_stderr_of(&format!("app.{index} "), "is ready")).last().unwrap()
}

#[test]
fn bodies_of_one_byte_a_chunk_take_no_more_memory_than_is_set_aside_for_them() {
    let gate = Gate::default();
    let wait = gate.clone();
    let origin = Origin::start(move |mut exchange| {
        exchange.head();
        wait.wait();
    });
    let balancer = Balancer::start("", &slots_of(&[&origin], "slots = 1\n"));
    let before = balancer.memory("VmHWM");
    let mut clients: Vec<Client> = (0..4).map(|_| Client::of(&balancer)).collect();
    for client in &mut clients {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.fill_with("1\r\nx\r\n".repeat(10_000).as_bytes());
    }
    // A MiB is held of each, and their connections' buffers besides.
    let grown = balancer.memory("VmHWM") - before;
    assert!(grown < 32 * 1024, "{grown} KiB");
    gate.open();
}

#[test]
fn an_empty_body_in_chunks_is_an_empty_body() {
    let silent = Origin::silent();
    let balancer = Balancer::start("", &slots_of(&[&silent], "slots = 1\nresponse_timeout = \"300ms\"\n"));
    let empty = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let mut client = Client::of(&balancer);
    client.send(empty);
    assert_eq!(client.response().status(), 504);
    balancer.logged(&["\"reason\":\"response_timeout\""]);

    let origin = Origin::named("1");
    let balancer = Balancer::start("threads = 1", &slots_of(&[&origin], "slots = 1\n"));
    let mut client = Client::of(&balancer);
    for request in [empty, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        client.send(request);
        let response = client.response();
        assert_eq!((response.status(), response.field("connection")), (200, None), "{response:?}");
    }
    assert_eq!(origin.connections(), 1);
    assert_eq!(origin.requests()[0].field("content-length"), Some("0"));
}

/// Built-in workers with one slot each.
fn workers(count: usize, arguments: &str, keys: &str) -> String {
    let program = env!("CARGO_BIN_EXE_balancer");
    let arguments = if arguments.is_empty() { String::new() } else { format!(", {arguments}") };
    format!(
        "[pool.app]\nslots = 1\n{keys}[pool.app.workers]\ncount = {count}\n\
         command = [{program:?}, \"backend\", \"{{port}}\"{arguments}]\n"
    )
}

fn pid_of(log: &str, worker: &str) -> Pid {
    let rest = log.split_once(&format!("{worker} (pid ")).unwrap().1;
    Pid::from_raw(rest.split(')').next().unwrap().parse().unwrap())
}

#[test]
fn probes_disturb_no_worker_that_serves_one_connection_at_a_time() {
    // It reads the next connection only when the one before has ended, as a plain socket loop does that keeps alive.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let probed = Arc::new(AtomicUsize::new(0));
    let questions = Arc::clone(&probed);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                if line.ends_with("\r\n\r\n") {
                    questions.fetch_add(usize::from(line.starts_with("GET /health")), Ordering::SeqCst);
                    let _ = reader.get_mut().write_all(ok("1").as_bytes());
                    line.clear();
                }
            }
        }
    });
    let tables = format!(
        "[pool.app]\nendpoints = [{address:?}]\nslots = 1\nkeep_alive_timeout = \"10m\"\n\
         [pool.app.probe]\npath = \"/health\"\ninterval = \"20ms\"\ntimeout = \"5s\"\n"
    );
    let balancer = Balancer::start("threads = 2", &tables);
    let mut client = Client::of(&balancer);
    // With an idle connection of ours between requests, and a question between those.
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "1");
        let before = probed.load(Ordering::SeqCst);
        eventually(|| "another question".into(), || (probed.load(Ordering::SeqCst) > before).then_some(()));
    }
}
