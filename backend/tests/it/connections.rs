use std::time::{Duration, Instant};

use crate::support::Worker;

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    for model in ["event-loop", "thread-per-connection"] {
        let worker = Worker::start(&["--model", model, "--keep-alive-timeout", "300ms"]);
        let mut client = worker.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.answer();
        let begun = Instant::now();
        assert_eq!(client.rest(), b"", "{model}");
        assert!(begun.elapsed() >= Duration::from_millis(250), "{model} {:?}", begun.elapsed());
        // One that never said anything is idle, too.
        assert_eq!(worker.connect().rest(), b"", "{model}");
        worker.stop();
    }
}

#[test]
fn a_connection_with_a_request_in_flight_is_not_idle() {
    let worker = Worker::start(&["--keep-alive-timeout", "200"]);
    for (target, length) in [("/delay?ms=500", worker.name.len() + 1), ("/sse?n=3&interval_ms=150", 27)] {
        assert_eq!(worker.get(target).body.len(), length, "{target}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    let targets: Vec<_> = (0..50).map(|n| format!("/bytes?n={n}")).collect();
    let requests: String = targets.iter().map(|target| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(requests);
    for length in 0..50 {
        assert_eq!(client.answer().body.len(), length);
    }
}

#[test]
fn many_connections_are_open_at_once() {
    let worker = Worker::start(&[]);
    let mut clients: Vec<_> = (0..400).map(|_| worker.connect()).collect();
    for client in &mut clients {
        client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.answer().text(), "hello world");
    }
    assert_eq!(worker.info("connections_max"), "401");
    drop(clients);
    worker.await_info("connections", "1");
    worker.stop();
}
