//! Tunnels after a 101, and what is none.

use super::harness::{Balancer, Client, Ended, Exchange, Gate, Origin, ok, pool_of};

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn bytes_flow_both_ways_after_the_workers_101() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send(SWITCH);
        while let Some(line) = exchange.until("\n") {
            exchange.send(line.to_uppercase());
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send(ASK);
    let response = client.response();
    assert_eq!((response.status(), response.field("upgrade")), (101, Some("websocket")));
    assert!(response.field("connection").unwrap().eq_ignore_ascii_case("upgrade"));
    let request = origin.request();
    assert_eq!((request.field("upgrade"), request.field("connection")), (Some("websocket"), Some("upgrade")));
    for line in ["one\n", "two\n"] {
        client.send(line);
        assert_eq!(client.until("\n"), line.to_uppercase());
    }
    drop(client);
    balancer.logged(&["\"status\":101", "\"bytes\":8"]);
}

#[test]
fn a_client_s_half_close_is_passed_on_and_the_answer_still_comes() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send(SWITCH);
        let sent = exchange.read_to_end();
        exchange.send(format!("after the end: {sent}"));
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = tunnel(&balancer);
    client.send("last words");
    client.half_close();
    assert_eq!(origin.await_end(), Ended::Close);
    assert_eq!(client.rest(), ("after the end: last words".into(), Ended::Close));
}

#[test]
fn a_worker_s_half_close_is_passed_on_and_the_client_can_still_send() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send(SWITCH);
        exchange.send("goodbye");
        exchange.half_close();
        exchange.read_to_end();
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = tunnel(&balancer);
    assert_eq!(client.rest(), ("goodbye".into(), Ended::Close));
    client.send("one thing more");
    client.half_close();
    assert_eq!(origin.await_end(), Ended::Close);
    assert!(origin.bytes(0).ends_with("one thing more"));
}

#[test]
fn bytes_right_behind_the_101_are_not_lost() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send(format!("{SWITCH}first words"));
        exchange.read_to_end();
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = tunnel(&balancer);
    assert_eq!(client.take(11), b"first words");
}

#[test]
fn nothing_behind_the_request_reaches_the_worker_before_its_101() {
    let gate = Gate::default();
    let switch = gate.clone();
    let origin = Origin::start(move |mut exchange: Exchange| {
        exchange.request();
        if switch.wait() {
            exchange.send(SWITCH);
        }
        exchange.until("early");
        exchange.send("got it");
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send(format!("{ASK}early"));
    origin.await_requests(1);
    assert!(origin.bytes(0).ends_with("\r\n\r\n"));
    gate.open();
    assert_eq!(client.response().status(), 101);
    assert_eq!(client.take(6), b"got it");
    assert!(origin.bytes(0).ends_with("\r\n\r\nearly"));
}

#[test]
fn a_refused_upgrade_leaves_ordinary_http() {
    let origin = Origin::answering("HTTP/1.1 426 Upgrade Required\r\nUpgrade: other\r\nContent-Length: 2\r\n\r\nno");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send(ASK);
    let response = client.response();
    assert_eq!((response.status(), response.text()), (426, "no".into()));
    assert_eq!(client.get("/").status(), 426);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_101_nobody_asked_for_is_a_bad_gateway() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send(SWITCH);
        exchange.read_to_end();
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    assert_eq!(client.get("/").status(), 502);
    origin.await_end();
    assert_eq!(origin.requests().len(), 1);
    balancer.logged(&["\"status\":502", "\"reason\":\"unasked_upgrade\""]);
}

#[test]
fn h2c_is_never_asked_of_a_worker() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n",
    );
    assert_eq!(client.response().status(), 200);
    let request = origin.request();
    assert_eq!((request.field("upgrade"), request.field("http2-settings")), (None, None));
}

#[test]
fn of_the_protocols_a_client_lists_only_those_we_tunnel_are_asked_of_a_worker_and_chosen() {
    for (top, listed, asked, chosen, status) in [
        ("", "h2c, WebSocket,foo", Some("websocket"), "websocket", 101),
        ("", "h2c, websocket", Some("websocket"), "h2c", 502),
        ("", "foo,h2c", None, "h2c", 502),
        ("upgrades = [\"Echo\", \"websocket\"]", "websocket, echo, x", Some("echo, websocket"), "echo", 101),
        ("upgrades = []", "websocket", None, "websocket", 502),
    ] {
        let origin = Origin::start(move |mut exchange| {
            exchange.request();
            exchange.send(SWITCH.replace("websocket", chosen));
            exchange.read_to_end();
        });
        let balancer = Balancer::start(top, &pool_of(&[&origin]));
        let mut client = Client::of(&balancer);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {listed}\r\n\r\n"));
        assert_eq!(client.response().status(), status, "{top} {listed}");
        assert_eq!(origin.request().field("upgrade"), asked, "{top} {listed}");
    }
}

#[test]
fn a_tunnel_whose_client_leaves_is_closed_at_the_worker() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send(SWITCH);
        exchange.read_to_end();
    });
    let balancer = Balancer::before(&[&origin]);
    let client = tunnel(&balancer);
    client.reset();
    assert_ne!(origin.await_end(), Ended::Silence);
}

#[test]
fn a_client_that_asks_for_an_upgrade_with_a_body_gets_ordinary_http() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(ok(&request.text()));
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client.response().text(), "hi");
    assert_eq!(origin.request().field("upgrade"), None);
}

fn tunnel(balancer: &Balancer) -> Client {
    let mut client = Client::of(balancer);
    client.send(ASK);
    assert_eq!(client.response().status(), 101);
    client
}
