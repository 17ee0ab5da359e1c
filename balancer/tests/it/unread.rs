//! Request bodies that a worker does not read: none is taken for the next request, whose answer another client would get.

#[cfg(feature = "http2")]
use super::harness::http2::Http2;
use super::harness::{Balancer, Client, Exchange, Origin, ok, pool_of};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n";
/// Without slots, and with them.
const POOLS: [&str; 2] = ["", "slots = 1\n"];

/// A worker that never reads a body, as Python's `http.server` does behind a GET. It keeps the connection unless it is told not to.
fn unread(mut exchange: Exchange, status: &str) {
    while let Some(head) = exchange.head() {
        let text = format!("{status} {}", head.target());
        exchange.send(ok(&text).replacen("200 OK", status, 1));
        if head.field("connection") == Some("close") {
            return;
        }
    }
}

/// A request with a body that is a request itself.
fn carrier(method: &str, is_chunked: bool) -> String {
    let framed = match is_chunked {
        true => format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len()),
        false => format!("Content-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()),
    };
    format!("{method} /first HTTP/1.1\r\nHost: a\r\n{framed}")
}

/// Eight times a stranger with such a body and then a victim, who gets the answer to its own request.
fn assert_each_gets_its_own(balancer: &Balancer, carrier: &str, status: &str) {
    for _ in 0..8 {
        let mut stranger = Client::of(balancer);
        stranger.send(carrier);
        assert_eq!(stranger.response().text(), format!("{status} /first"), "{carrier}");
        assert_eq!(Client::of(balancer).get("/victim").text(), format!("{status} /victim"), "{carrier}");
    }
}

#[test]
fn a_body_behind_a_method_of_which_none_is_expected_is_no_other_client_s_request() {
    for keys in POOLS {
        for (method, is_chunked) in
            [("GET", false), ("GET", true), ("DELETE", false), ("OPTIONS", true), ("BREW", false)]
        {
            let origin = Origin::start(|exchange| unread(exchange, "200 OK"));
            let balancer = Balancer::start("threads = 1", &format!("{}{keys}", pool_of(&[&origin])));
            assert_each_gets_its_own(&balancer, &carrier(method, is_chunked), "200 OK");
            let requests = origin.requests();
            assert!(requests.iter().all(|request| request.target() != "/smuggled"), "{requests:?}");
            let told = requests.iter().filter(|request| request.field("connection") == Some("close"));
            assert!(told.count() == 8 && requests.len() == 16, "{requests:?}");
        }
    }
}

#[test]
#[cfg(feature = "http2")]
fn a_body_that_came_in_frames_is_no_other_client_s_request_either() {
    let origin = Origin::start(|exchange| unread(exchange, "200 OK"));
    let balancer = Balancer::start("threads = 1\nh2c = true", &pool_of(&[&origin]));
    for _ in 0..8 {
        let mut stranger = Http2::at(balancer.address());
        let length = SMUGGLED.len().to_string();
        let mut asked = stranger.ask("GET", "http://a/first", &[("content-length", &length)], false);
        // The worker may have answered by now, which ends the stream.
        let _ = asked.body.send_data(SMUGGLED.into(), true);
        assert_eq!(stranger.answer(asked).text(), "200 OK /first");
        assert_eq!(Client::of(&balancer).get("/victim").text(), "200 OK /victim");
    }
    assert!(origin.requests().iter().all(|request| request.target() != "/smuggled"));
}

#[test]
fn a_body_behind_a_head_request_is_no_other_client_s_request() {
    // A worker does not end at an answer to HEAD, which has no body.
    let origin = Origin::start(|mut exchange| {
        while let Some(head) = exchange.head() {
            match head.line.starts_with("HEAD") {
                true => exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
                false => exchange.send(ok(head.target())),
            };
            if head.field("connection") == Some("close") {
                return;
            }
        }
    });
    let balancer = Balancer::start("threads = 1", &pool_of(&[&origin]));
    let mut stranger = Client::of(&balancer);
    stranger.send(carrier("HEAD", false));
    assert_eq!(stranger.head().status(), 200);
    assert_eq!(Client::of(&balancer).get("/victim").text(), "/victim");
    let targets: Vec<String> = origin.requests().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!((targets.join(" "), origin.connections()), ("/first /victim".into(), 2));
}

#[test]
fn a_body_that_a_worker_has_refused_is_no_other_client_s_request() {
    for keys in POOLS {
        for status in ["401 Unauthorized", "404 Not Found", "501 Not Implemented"] {
            let origin = Origin::start(move |exchange| unread(exchange, status));
            let balancer = Balancer::start("threads = 1", &format!("{}{keys}", pool_of(&[&origin])));
            assert_each_gets_its_own(&balancer, &carrier("POST", false), status);
        }
    }
}

#[test]
fn connections_are_kept_behind_bodies_that_workers_read() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            let status = if request.target() == "/moved" { "302 Found" } else { "200 OK" };
            exchange.send(ok(&request.text()).replacen("200 OK", status, 1));
        }
    });
    for keys in POOLS {
        let before = origin.connections();
        let balancer = Balancer::start("threads = 1", &format!("{}{keys}", pool_of(&[&origin])));
        let mut client = Client::of(&balancer);
        for method in ["POST", "PUT", "PATCH"] {
            for path in ["/", "/moved"] {
                client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"));
                assert_eq!(client.response().text(), "abc");
                client.send("DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
                assert_eq!(client.response().status(), 200);
            }
        }
        // A POST may want a new connection. What is safe to repeat takes the one that was used last.
        assert!(origin.connections() - before <= 6, "{} with {keys:?}", origin.connections() - before);
        assert!(origin.requests().iter().all(|request| request.field("connection").is_none()));
    }
}
