//! Connections of HTTP/2 that requests of many clients share: what one of them may do to the others, and to the endpoint.

use std::net::IpAddr;

use http::Response;

use super::harness::http2::Http2;
use super::harness::{Balancer, Client, Gate, eventually, pool_at};
use super::http2_upstream::{Endpoint, echo, say};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// An endpoint that ends a connection at a head over 8 KiB, as nginx does, or at `/poison`. What it answers to `/slow` goes on behind `gate`.
fn touchy(gate: &Gate) -> Endpoint {
    let gate = gate.clone();
    let ends = |request: &http::Request<h2::RecvStream>| {
        let path = request.uri().path();
        path == "/poison" || path.len() > 8_192 || request.headers().values().any(|value| value.len() > 8_192)
    };
    Endpoint::ending(100, ends, move |request, mut answer| {
        let gate = gate.clone();
        async move {
            if request.uri().path() != "/slow" {
                return say(answer, "hello");
            }
            let mut send = answer.send_response(Response::new(()), false).unwrap();
            send.send_data("one".into(), false).unwrap();
            let passed = tokio::task::spawn_blocking(move || gate.wait());
            assert!(passed.await.unwrap());
            let _ = send.send_data("two".into(), true);
        }
    })
}

/// A client of that address that waits for the rest of `/slow`.
fn downloading(balancer: &Balancer, last: u8) -> Client {
    let mut client = Client::from(IpAddr::from([127, 0, 0, last]), balancer.address());
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.until("one");
    client
}

fn is_whole(client: &mut Client) -> bool {
    client.rest().0.contains("two")
}

#[test]
fn a_head_that_ends_its_connection_ends_none_of_others() {
    for large in [
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(9_000)),
        format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "a=b; ".repeat(4_000)),
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9_000)),
    ] {
        let gate = Gate::default();
        let endpoint = touchy(&gate);
        let balancer = Balancer::start("threads = 1", &endpoint.pool());
        let mut innocents: Vec<Client> = (2..5).map(|last| downloading(&balancer, last)).collect();
        let mut stranger = Client::from(IpAddr::from([127, 0, 0, 9]), balancer.address());
        stranger.send(&large);
        let answer = stranger.response();
        assert_eq!((answer.status(), answer.text().contains("closed_early")), (502, true));
        gate.open();
        assert!(innocents.iter_mut().all(is_whole));
        assert_eq!(Client::of(&balancer).get("/").text(), "hello");
        assert!(!balancer.said().contains("is ejected"), "{}", balancer.said());
    }
}

#[test]
fn a_large_head_that_the_endpoint_takes_is_answered_and_its_connection_closed() {
    let endpoint = Endpoint::start(100, |_, answer| async { say(answer, "hello") });
    let balancer = Balancer::start("threads = 1", &endpoint.pool());
    let mut client = Client::of(&balancer);
    assert_eq!(client.get("/").text(), "hello");
    for count in 1..4 {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000)));
        assert_eq!(client.response().text(), "hello");
        assert_eq!(endpoint.connections(), 1 + count);
    }
    eventually(|| "only the shared one is left".into(), || (endpoint.open() == 1).then_some(()));
}

#[test]
fn a_request_that_ended_one_connection_is_repeated_on_one_of_its_own() {
    let gate = Gate::default();
    let endpoints = [touchy(&gate), touchy(&gate)];
    let addresses = endpoints.each_ref().map(|endpoint| endpoint.address.to_string());
    let balancer = Balancer::start("threads = 1", &format!("{}http2 = true\n", pool_at(&addresses)));
    let mut innocents: Vec<Client> = (2..6).map(|last| downloading(&balancer, last)).collect();
    assert!(endpoints.iter().all(|endpoint| endpoint.requests().len() == 2));
    let mut stranger = Client::from(IpAddr::from([127, 0, 0, 9]), balancer.address());
    stranger.send("GET /poison HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(stranger.response().status(), 502);
    let poisoned: usize = endpoints.iter().map(|endpoint| endpoint.requests().len() - 2).sum();
    assert!(poisoned > 1, "it was repeated");
    gate.open();
    let whole = innocents.iter_mut().filter_map(|client| is_whole(client).then_some(())).count();
    assert_eq!(whole, 2, "those on the other endpoint's connection");
}

#[test]
fn streams_that_end_with_one_connection_are_one_failure_of_their_endpoint() {
    let gate = Gate::default();
    let endpoint = touchy(&gate);
    let balancer = Balancer::start("threads = 1", &format!("{}eject_after = 3\n", endpoint.pool()));
    let mut innocents: Vec<Client> = (2..10).map(|last| downloading(&balancer, last)).collect();
    let mut stranger = Client::from(IpAddr::from([127, 0, 0, 10]), balancer.address());
    stranger.send("POST /poison HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(stranger.response().status(), 502);
    assert!(!innocents.iter_mut().any(is_whole));
    assert_eq!(Client::of(&balancer).get("/last").text(), "hello");
    balancer.logged(&["/last"]);
    assert!(!balancer.said().contains("is ejected"), "{}", balancer.said());
    gate.open();
}

#[test]
fn what_no_frame_can_say_is_the_client_s_fault_and_reaches_no_endpoint() {
    let endpoint = Endpoint::start(100, |_, answer| async { say(answer, "hello") });
    let balancer = Balancer::start("threads = 1", &endpoint.pool());
    for (target, host, reason) in [
        ("/a<b", "a", "bad_target"),
        ("/a>b", "a", "bad_target"),
        ("/a`b", "a", "bad_target"),
        ("/?a<b", "a", "bad_target"),
        ("/a#b", "a", "bad_target"),
        ("/", "a%41b", "bad_host"),
    ] {
        for last in 2..8 {
            let mut client = Client::from(IpAddr::from([127, 0, 0, last]), balancer.address());
            client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            let answer = client.response();
            assert_eq!(answer.status(), 400, "{target} {host}");
            let text = answer.text();
            assert!(text.contains(reason) || text.contains("bad_request"), "{target} {host}: {text}");
        }
    }
    assert_eq!(endpoint.requests().len(), 0);
    let mut client = Client::of(&balancer);
    client.send(GET);
    assert_eq!(client.response().text(), "hello");
    assert!(!balancer.said().contains("is ejected"), "{}", balancer.said());
}

#[test]
fn as_many_fields_as_a_client_may_send_go_into_frames() {
    let endpoint = Endpoint::start(100, |_, answer| async { say(answer, "hello") });
    let balancer = Balancer::start("threads = 1", &endpoint.pool());
    for count in [90, 99] {
        let fields: String = (0..count).map(|number| format!("x-{number}: y\r\n")).collect();
        let mut client = Client::of(&balancer);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(client.response().text(), "hello", "{count}");
    }
    assert!(endpoint.requests()[1].headers().len() > 100);
}

#[test]
fn an_upload_that_its_endpoint_does_not_read_stops_none_of_others() {
    let taken = Gate::default();
    let told = taken.clone();
    let endpoint = Endpoint::start(100, move |request, answer| {
        let told = told.clone();
        async move {
            if request.uri().path() != "/unread" {
                return echo(request, answer).await;
            }
            let mut body = request.into_body();
            // The window that RFC 9113 §6.9.2 gives all bodies of a connection, but what is in it.
            while body.flow_control().used_capacity() < 60_000 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            told.open();
            std::future::pending::<()>().await;
        }
    });
    let balancer = Balancer::start("h2c = true\nthreads = 1", &endpoint.pool());
    let mut stranger = Http2::at(balancer.address());
    let mut asked = stranger.ask("POST", "http://a/unread", &[], false);
    asked.body.send_data(vec![b'x'; 200_000].into(), false).unwrap();
    assert!(taken.wait());
    let mut innocent = Client::of(&balancer);
    for _ in 0..3 {
        innocent.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{}", "y".repeat(1_000)));
        assert_eq!(innocent.response().text(), "y".repeat(1_000));
    }
    assert_eq!(endpoint.connections(), 2);
}
