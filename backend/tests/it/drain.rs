use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{LIMIT, Worker, command};

/// Until nobody listens any more.
fn await_refusal(worker: &Worker) {
    let deadline = Instant::now() + LIMIT;
    while TcpStream::connect(worker.socket_address()).is_ok() {
        assert!(Instant::now() < deadline, "still listening");
    }
}

#[test]
fn a_drain_finishes_what_is_in_flight_and_refuses_what_is_new() {
    let worker = Worker::start(&["--name", "n"]);
    let (mut busy, mut idle) = (worker.connect(), worker.connect());
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    idle.answer();
    busy.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    worker.await_info("in_flight", "1");
    worker.signal(Signal::SIGTERM);
    assert_eq!(idle.rest(), b"");
    await_refusal(&worker);
    busy.send("cd");
    let answer = busy.answer();
    assert!(answer.text().starts_with("4 bytes"));
    assert!(answer.has("connection: close"), "{}", answer.head);
    assert_eq!(worker.ended().code(), Some(0));
}

#[test]
fn who_connected_before_the_drain_is_served() {
    let worker = Worker::start(&[]);
    // The event loop is busy: everything below waits in the backlog when the signal comes.
    let mut first = worker.connect();
    first.send("GET /work?us=300000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut waiting: Vec<_> = (0..200).map(|_| worker.connect()).collect();
    for client in &mut waiting {
        client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    worker.signal(Signal::SIGTERM);
    for client in &mut waiting {
        assert_eq!(client.answer().text(), "hello world");
    }
    first.answer();
    assert_eq!(worker.ended().code(), Some(0));
}

#[test]
fn a_second_signal_ends_a_drain_that_would_take_longer() {
    let worker = Worker::start(&[]);
    let mut client = worker.connect();
    client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    worker.await_info("in_flight", "1");
    let begun = Instant::now();
    worker.signal(Signal::SIGTERM);
    await_refusal(&worker);
    worker.signal(Signal::SIGINT);
    assert_eq!(worker.ended().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_drain_is_over_after_ten_seconds() {
    let worker = Worker::start(&[]);
    let mut client = worker.connect();
    client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    worker.await_info("in_flight", "1");
    let begun = Instant::now();
    worker.signal(Signal::SIGINT);
    assert_eq!(worker.ended().code(), Some(0));
    assert!((9..19).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[test]
fn a_worker_told_to_ignores_term_but_not_int() {
    let worker = Worker::start(&["--ignore-term"]);
    for _ in 0..3 {
        worker.signal(Signal::SIGTERM);
        assert_eq!(worker.get("/hello").status(), 200);
    }
    worker.signal(Signal::SIGINT);
    assert_eq!(worker.ended().code(), Some(0));
}

#[test]
fn a_stop_before_it_listens_is_a_clean_end_too() {
    let mut child = command(&["--port", "0", "--start-delay", "10m"]).spawn().unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    // Until its handlers are in place; before, TERM would end it by signal.
    let deadline = Instant::now() + LIMIT;
    let status = format!("/proc/{pid}/status");
    while !catches_term(&std::fs::read_to_string(&status).unwrap()) {
        assert!(Instant::now() < deadline);
    }
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn catches_term(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
    let caught = |signal: Signal| mask >> (signal as i32 - 1) & 1 == 1;
    caught(Signal::SIGTERM) && caught(Signal::SIGINT)
}
