use nix::sys::signal::Signal;

use crate::support::Worker;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn every_model_answers_with_its_name_and_drains() {
    for model in ["event-loop", "sequential", "thread-per-connection", "thread-pool"] {
        let worker = Worker::start(&["--model", model, "--instance", "2"]);
        for _ in 0..3 {
            let answer = worker.get("/any");
            assert_eq!((answer.status(), answer.text().as_str()), (200, "server 2\n"), "{model}");
        }
        worker.stop();
    }
}

#[test]
fn the_sequential_model_closes_after_one_answer() {
    let (_worker, mut client) = Worker::start(&["--model", "sequential"]).connect_held();
    client.send(GET);
    assert!(client.answer().has("connection: close"));
    assert_eq!(client.rest(), b"");
}

#[test]
fn the_sequential_model_serves_one_connection_at_a_time() {
    let worker = Worker::start(&["--model", "sequential"]);
    let (mut first, mut second) = (worker.connect(), worker.connect());
    second.send(GET);
    first.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(first.head(), "HTTP/1.1 100 Continue");
    // The first connection is being served, so the second was not looked at.
    second.stream.get_ref().set_nonblocking(true).unwrap();
    assert_eq!(second.stream.get_ref().peek(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    second.stream.get_ref().set_nonblocking(false).unwrap();
    first.send("x");
    assert_eq!(first.answer().status(), 200);
    assert_eq!(second.answer().status(), 200);
}

#[test]
fn the_thread_models_keep_connections_alive_and_serve_several() {
    for arguments in [&["--model", "thread-per-connection"][..], &["--model", "thread-pool", "--threads", "2"]] {
        let worker = Worker::start(arguments);
        let (mut first, mut second) = (worker.connect(), worker.connect());
        for client in [&mut first, &mut second] {
            client.send(GET);
            assert!(client.answer().has("connection: keep-alive"));
        }
        first.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        first.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(first.answer().status(), 200);
        assert!(first.head().contains("Content-Length: "));
        first.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(first.answer().has("connection: close"));
        assert_eq!(first.rest(), b"");
        worker.signal(Signal::SIGTERM);
        // Idle connections do not hold up a drain.
        assert_eq!(second.rest(), b"");
        assert_eq!(worker.ended().code(), Some(0));
    }
}

#[test]
fn a_pool_serves_as_many_connections_as_it_has_threads() {
    let worker = Worker::start(&["--model", "thread-pool", "--threads", "1"]);
    let (mut first, mut second) = (worker.connect(), worker.connect());
    first.send(GET);
    first.answer();
    second.send(GET);
    drop(first);
    assert_eq!(second.answer().status(), 200);
}

#[test]
fn a_drain_answers_what_a_thread_is_serving() {
    for model in ["sequential", "thread-per-connection", "thread-pool"] {
        let worker = Worker::start(&["--model", model, "--delay-ms", "100"]);
        let mut client = worker.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
        client.head();
        client.send("x");
        worker.signal(Signal::SIGTERM);
        assert_eq!(client.answer().status(), 200, "{model}");
        assert_eq!(worker.ended().code(), Some(0));
    }
}

#[test]
fn what_a_model_cannot_read_is_refused_and_harms_nobody() {
    for model in ["sequential", "thread-per-connection", "thread-pool"] {
        let worker = Worker::start(&["--model", model]);
        for (request, status) in [
            ("rubbish\r\n\r\n", "HTTP/1.1 400 "),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 411 "),
        ] {
            let mut client = worker.connect();
            client.send(request);
            assert!(client.rest().starts_with(status.as_bytes()), "{model} {request}");
        }
        let mut leaves = worker.connect();
        leaves.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx");
        drop(leaves);
        assert_eq!(worker.get("/").status(), 200);
        worker.stop();
    }
}

#[test]
fn the_classic_models_wait_where_they_are_told_and_tell_what_they_counted() {
    for model in ["sequential", "thread-per-connection", "thread-pool"] {
        let worker = Worker::start(&["--model", model]);
        let started = std::time::Instant::now();
        assert_eq!(worker.get("/delay?ms=60").status(), 200);
        assert!(started.elapsed() >= std::time::Duration::from_millis(60), "{model}");
        assert_eq!(worker.get("/delay?ms=x").status(), 400, "{model}");
        worker.await_info("served", "2");
        assert_eq!(worker.info("overlaps"), "0", "{model}");
        assert_eq!(worker.get("/seen?id=none").text(), "0\n");
    }
}

#[test]
fn the_sequential_model_counts_answers_before_which_another_connection_waited() {
    let worker = Worker::start(&["--model", "sequential"]);
    let mut first = worker.connect();
    first.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(first.head(), "HTTP/1.1 100 Continue");
    // Connected while the first is served: it waits in the kernel's backlog.
    let mut second = worker.connect();
    second.send(GET);
    first.send("x");
    assert_eq!((first.answer().status(), second.answer().status()), (200, 200));
    assert_eq!(worker.info("overlaps"), "1");
    assert_eq!(worker.get("/").status(), 200);
    assert_eq!(worker.info("overlaps"), "1");
}
