//! The way down.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::harness::{Balancer, Client, Ended, Gate, Origin, SOON, eventually, ok, pool_of};

#[test]
fn a_stop_finishes_what_is_in_flight_and_refuses_what_is_new() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let (mut balancer, gate, origin) = gated("");
        let mut idle = Client::of(&balancer);
        assert_eq!(idle.get("/quick").status(), 200);
        let mut client = Client::of(&balancer);
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        origin.await_requests(2);
        balancer.signal(signal);
        // An idle connection ends at once, and nobody gets in any more.
        idle.assert_closed();
        eventually(|| "refused connections".into(), || TcpStream::connect(balancer.address()).is_err().then_some(()));
        assert!(!balancer.has_ended());
        gate.open();
        let response = client.response();
        assert_eq!((response.status(), response.text()), (200, "done".into()));
        client.assert_closed();
        assert!(balancer.ended().success());
        balancer.logged(&["\"target\":\"/slow\"", "\"status\":200"]);
    }
}

#[test]
fn a_stop_finishes_uploads_and_downloads_in_flight() {
    let gate = Gate::default();
    let go = gate.clone();
    let origin = Origin::start(move |mut exchange| {
        if let Some(head) = exchange.head() {
            if head.line.starts_with("POST") {
                let length = exchange.body(head).body.len();
                exchange.send(ok(&length.to_string()));
            } else {
                exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfour");
                go.wait();
                exchange.send("more");
            }
        }
    });
    let mut balancer = Balancer::before(&[&origin]);
    let mut upload = Client::of(&balancer);
    upload.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nfour");
    let mut download = Client::of(&balancer);
    download.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = download.head();
    origin.await_requests(2);
    balancer.signal(Signal::SIGTERM);
    balancer.await_stderr("stopping");
    upload.send("more");
    assert_eq!(upload.response().text(), "8");
    gate.open();
    let response = download.body(head);
    assert_eq!((response.text(), response.ended), ("fourmore".into(), Ended::Framed));
    assert!(balancer.ended().success());
}

#[test]
fn a_second_signal_stops_now() {
    let (mut balancer, _gate, origin) = gated("drain_timeout = \"10m\"");
    let mut client = Client::of(&balancer);
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.await_requests(1);
    balancer.signal(Signal::SIGTERM);
    balancer.await_stderr("stopping");
    assert!(!balancer.has_ended());
    balancer.signal(Signal::SIGTERM);
    let (text, ended) = client.rest();
    assert_eq!(text, "");
    assert!(matches!(ended, Ended::Close | Ended::Reset));
    balancer.ended();
    balancer.await_end_of_log("asked to stop a second time");
}

#[test]
fn a_request_longer_than_the_drain_is_cut() {
    let (mut balancer, _gate, origin) = gated("drain_timeout = \"300ms\"");
    let mut client = Client::of(&balancer);
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.await_requests(1);
    let begun = Instant::now();
    balancer.signal(Signal::SIGTERM);
    assert_eq!(client.rest().0, "");
    assert!(begun.elapsed() >= Duration::from_millis(270), "{:?}", begun.elapsed());
    assert!(balancer.ended().success());
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    balancer.await_end_of_log("requests still in flight after 300 ms are cut");
}

#[test]
fn a_tunnel_is_bounded_by_the_drain() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        exchange.read_to_end();
    });
    let mut balancer = Balancer::start("drain_timeout = \"300ms\"", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.response().status(), 101);
    let begun = Instant::now();
    balancer.signal(Signal::SIGTERM);
    client.send("still there");
    client.rest();
    assert!(begun.elapsed() >= Duration::from_millis(270), "{:?}", begun.elapsed());
    origin.await_end();
    assert!(origin.bytes(0).ends_with("still there"));
    assert!(balancer.ended().success());
}

#[test]
fn a_stop_does_not_wait_for_a_client_that_has_sent_half_a_head() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::start("header_timeout = \"300ms\"\ndrain_timeout = \"10m\"", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send("GET / HT");
    let mut other = Client::of(&balancer);
    assert_eq!(other.get("/").status(), 200);
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
    client.rest();
}

/// A balancer in front of an origin that answers `/slow` only when the gate is open.
fn gated(top: &str) -> (Balancer, Gate, Origin) {
    let gate = Gate::default();
    let go = gate.clone();
    let origin = Origin::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            if request.target() == "/slow" && !go.wait() {
                return;
            }
            exchange.send(ok("done"));
        }
    });
    let balancer = Balancer::start(top, &pool_of(&[&origin]));
    (balancer, gate, origin)
}

#[test]
fn whoever_has_connected_before_a_stop_is_served_on_whatever_thread() {
    let origin = Origin::named("1");
    let path = super::harness::directory().join("lb.sock");
    let top = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]\nthreads = 2", path.display());
    let mut balancer = Balancer::start(&top, &pool_of(&[&origin]));
    balancer.signal(Signal::SIGSTOP);
    let mut clients: Vec<Client> = (0..1_000).map(|_| Client::unix(&path)).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    balancer.signal(Signal::SIGTERM);
    balancer.signal(Signal::SIGCONT);
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.response().status(), 200, "client {number}");
    }
    assert!(balancer.ended().success());
}

#[test]
fn a_response_that_only_the_close_ends_is_reset_when_the_drain_cuts_it() {
    let origin = Origin::start(|mut exchange| {
        exchange.head();
        exchange.send("HTTP/1.1 200 OK\r\n\r\nhalf");
        exchange.read_to_end();
    });
    let whole = Origin::once("HTTP/1.1 200 OK\r\n\r\nwhole");
    let mut balancer = Balancer::start("drain_timeout = \"300ms\"", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    client.until("half");
    balancer.signal(Signal::SIGTERM);
    assert_eq!(client.rest().1, Ended::Reset);
    assert!(balancer.ended().success());

    let balancer = Balancer::before(&[&whole]);
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let (text, ended) = client.rest();
    assert!(text.ends_with("whole") && ended == Ended::Close, "{text} {ended:?}");
}
