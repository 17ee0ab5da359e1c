//! How long connections live, on both sides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::harness::{Balancer, Client, Ended, Gate, Origin, eventually, ok, pool_of};

#[test]
fn an_http_1_0_client_gets_a_close_by_default() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().text(), "1");
    client.assert_closed();
    assert_eq!(origin.request().line, "GET / HTTP/1.1", "forwarded as 1.1");
}

#[test]
fn an_http_1_0_client_may_keep_its_connection() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response();
        assert_eq!(response.text(), "1");
        assert_eq!(response.field("connection"), Some("keep-alive"));
    }
}

#[test]
fn nothing_is_chunked_for_an_http_1_0_client() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let balancer = Balancer::before(&[&origin]);
    for keep in ["", "Connection: keep-alive\r\n"] {
        let mut client = Client::of(&balancer);
        client.send(format!("GET / HTTP/1.0\r\nHost: a\r\n{keep}\r\n"));
        let response = client.response();
        assert_eq!((response.field("transfer-encoding"), response.text()), (None, "hello".into()));
        assert_eq!(response.ended, Ended::Close, "only the close can end it: {response:?}");
        assert_ne!(response.field("connection"), Some("keep-alive"));
    }
}

#[test]
fn a_client_that_says_close_is_closed_and_what_follows_is_not_run() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response();
    assert_eq!((response.text(), response.field("connection")), ("1".into(), Some("close")));
    assert!(client.rest().0.is_empty());
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn pipelined_requests_are_read_ahead_within_a_bound() {
    let gate = Gate::default();
    let go = gate.clone();
    let origin = Origin::start(move |mut exchange| {
        while let Some(request) = exchange.request()
            && go.wait()
            && exchange.send(ok(request.target()))
        {}
    });
    let balancer = Balancer::start("body_timeout = \"10m\"", &pool_of(&[&origin]));
    let before = balancer.memory("VmHWM");
    let mut client = Client::of(&balancer);
    client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.await_requests(1);
    // As much as anybody takes: the kernel's buffers, and a little.
    client.fill();
    let grown = balancer.memory("VmHWM") - before;
    assert!(grown < super::streaming::GROWTH, "{grown} KiB");
    gate.open();
    assert_eq!(client.response().text(), "/first");
    assert_eq!(client.response().status(), 414, "what followed is a request line without an end");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_worker_connection_is_used_again() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("threads = 1", &pool_of(&[&origin]));
    for _ in 0..5 {
        assert_eq!(Client::of(&balancer).get("/").text(), "1");
    }
    assert_eq!((origin.connections(), origin.requests().len()), (1, 5));
}

#[test]
fn a_worker_connection_is_not_used_again_when_the_configuration_says_so() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("", &format!("{}idle_connections_max = 0\n", pool_of(&[&origin])));
    let mut client = Client::of(&balancer);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "1");
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn a_worker_that_says_close_is_closed_and_the_client_is_not() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!((response.text(), response.field("connection")), ("hi".into(), None));
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn a_response_that_ends_by_close_is_chunked_for_the_client() {
    let origin = Origin::once("HTTP/1.1 200 OK\r\n\r\nhello");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    for _ in 0..2 {
        let response = client.get("/");
        assert!(response.is_chunked());
        assert_eq!((response.text(), response.ended), ("hello".into(), Ended::Framed));
    }
}

#[test]
fn an_http_1_0_worker_is_understood() {
    let by_close = Origin::once("HTTP/1.0 200 OK\r\n\r\nhello");
    let kept = Origin::answering("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello");
    for origin in [&by_close, &kept] {
        let balancer = Balancer::before(&[origin]);
        let mut client = Client::of(&balancer);
        for _ in 0..2 {
            let response = client.get("/");
            assert_eq!((response.line.as_str(), response.text()), ("HTTP/1.1 200 OK", "hello".into()));
        }
    }
    assert_eq!(by_close.connections(), 2);
}

#[test]
fn a_worker_that_closes_right_after_each_answer_costs_no_request() {
    for connection in ["keep-alive", "close"] {
        let origin =
            Origin::once(format!("HTTP/1.1 200 OK\r\nConnection: {connection}\r\nContent-Length: 2\r\n\r\nhi"));
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        for number in 0..200 {
            let response = client.get("/");
            assert_eq!((response.status(), response.text()), (200, "hi".into()), "request {number}");
        }
    }
}

#[test]
fn a_kept_connection_that_breaks_with_the_next_request_is_replaced() {
    // Answers once, then resets the connection when the next request is on it.
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send(ok("hi"));
        if exchange.number == 0 {
            exchange.request();
            exchange.reset();
        } else {
            exchange.read_to_end();
        }
    });
    let balancer = Balancer::start("threads = 1", &format!("{}attempts_max = 1\n", pool_of(&[&origin])));
    let mut client = Client::of(&balancer);
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(client.get("/").status(), 200, "no attempt is counted for it");
    assert_eq!(origin.connections(), 2);
    balancer.logged(&["\"attempts\":1"]);
}

#[test]
fn bytes_after_a_response_reach_nobody() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        while exchange.request().is_some() && exchange.send(ok("again")) {}
    });
    let balancer = Balancer::start("threads = 1", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "hi");
    }
    assert_eq!(origin.connections(), 3, "such a connection is not used again");
}

#[test]
fn a_worker_that_closes_while_idle_does_not_hold_up_the_next_request() {
    let closed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closed);
    let origin = Origin::start(move |mut exchange| {
        exchange.request();
        exchange.send(ok("hi"));
        exchange.half_close();
        count.fetch_add(1, Ordering::SeqCst);
        exchange.read_to_end();
    });
    let balancer = Balancer::start("threads = 1", &format!("{}keep_alive_timeout = \"30s\"\n", pool_of(&[&origin])));
    let mut client = Client::of(&balancer);
    for number in 1..=20 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(client.response().text(), "hi", "request {number}");
        // The worker's close has arrived before the next request is sent.
        eventually(|| format!("{number} closes"), || (closed.load(Ordering::SeqCst) == number).then_some(()));
    }
    assert_eq!(origin.requests().len(), 20, "each reached a worker once");
}

#[test]
fn a_worker_that_speaks_http_1_0_gets_every_request_whole() {
    let answer = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi";
    let origin = Origin::answering(answer);
    let balancer = Balancer::start("threads = 1", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    assert_eq!(client.get("/").text(), "hi");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n");
    assert_eq!(client.response().text(), "hi");
    origin.await_requests(2);
    let post = &origin.requests()[1];
    assert_eq!((post.line.as_str(), post.text()), ("POST / HTTP/1.1", "body".into()));
}
