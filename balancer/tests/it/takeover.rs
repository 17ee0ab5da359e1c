//! The moment in which HTTP becomes another protocol, with bytes in every place.

use super::harness::{Balancer, Client, Ended, Gate, Origin, ok, pool_of};
use super::streaming::pattern;

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn much_that_stands_behind_both_heads_arrives_as_it_was_and_so_does_the_end() {
    const ALL: usize = 3 << 20;
    for keys in ["", "slots = 1\n"] {
        let gate = Gate::default();
        let go = gate.clone();
        let origin = Origin::start(move |mut exchange| {
            if exchange.request().is_some_and(|request| request.target() == "/") {
                exchange.send(ok("kept"));
                exchange.request();
            }
            go.wait();
            // Nobody reads yet what we say: it waits in every buffer on its way.
            let mut answer = SWITCH.as_bytes().to_vec();
            answer.extend_from_slice(&pattern(200_000));
            exchange.send(&answer);
            let got = exchange.take(ALL);
            let end = exchange.read_to_end();
            exchange.send(format!("{} {end}", got == pattern(ALL)));
        });
        let balancer = Balancer::start("threads = 1", &format!("{}{keys}", pool_of(&[&origin])));
        let mut client = Client::of(&balancer);
        // Over a connection that is kept, on both sides.
        assert_eq!(client.get("/").text(), "kept");
        client.send([ASK.as_bytes(), &pattern(200_000)].concat());
        origin.await_requests(2);
        assert!(origin.bytes(0).ends_with("\r\n\r\n"), "nothing goes on before the worker's 101");
        gate.open();
        let head = client.head();
        assert_eq!(
            (head.status(), head.field("upgrade"), head.field("connection")),
            (101, Some("websocket"), Some("upgrade"))
        );
        assert_eq!((head.length(), head.is_chunked()), (None, false));
        // Of the pattern of 64 KiB again and again the rest goes on where it was.
        let whole = pattern(ALL);
        client.send(&whole[200_000..]);
        client.send("last words");
        client.half_close();
        assert!(client.take(200_000) == pattern(200_000), "other bytes");
        assert_eq!(client.rest(), ("true last words".into(), Ended::Close), "{keys:?}");
        assert_eq!(origin.connections(), 1);
    }
}

#[test]
fn a_tunnel_carries_bytes_that_look_like_http_both_ways() {
    let looks = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokGET / HTTP/1.1\r\n\r\n0\r\n\r\n\0\u{1}";
    let origin = Origin::start(move |mut exchange| {
        exchange.request();
        exchange.send(format!("{SWITCH}{looks}"));
        let got = exchange.read_to_end();
        exchange.send(got);
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send(format!("{ASK}{looks}"));
    assert_eq!(client.head().status(), 101);
    client.half_close();
    assert_eq!(client.rest(), (looks.repeat(2), Ended::Close));
    assert!(origin.bytes(0).ends_with(&format!("\r\n\r\n{looks}")));
}

#[test]
fn an_end_right_behind_the_101_reaches_the_client_and_its_words_the_worker() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send(format!("{SWITCH}bye"));
        exchange.half_close();
        exchange.read_to_end();
    });
    let balancer = Balancer::before(&[&origin]);
    for round in 1..=20 {
        let mut client = Client::of(&balancer);
        client.send(format!("{ASK}early"));
        assert_eq!(client.head().status(), 101);
        assert_eq!(client.rest(), ("bye".into(), Ended::Close), "round {round}");
        client.send(" and late");
        client.half_close();
        assert_eq!(origin.await_ends(round), Ended::Close);
        assert!(origin.bytes(round - 1).ends_with("\r\n\r\nearly and late"), "round {round}");
    }
}

#[test]
fn a_client_that_ends_right_behind_its_request_is_passed_on_or_taken_for_gone() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send(SWITCH);
        exchange.read_to_end();
    });
    let balancer = Balancer::before(&[&origin]);
    for round in 1..=20 {
        let mut client = Client::of(&balancer);
        client.send(format!("{ASK}words"));
        client.half_close();
        // Before the 101 nothing tells a half-close from a client that has left.
        let (text, ended) = client.rest();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 101 "), "{text}");
        assert_ne!(ended, Ended::Silence);
        if !text.is_empty() {
            assert!(origin.bytes(round - 1).ends_with("words"), "round {round}");
        }
        assert_ne!(origin.await_ends(round), Ended::Silence, "round {round}");
    }
}

#[test]
fn a_101_that_nobody_asked_for_is_502_whatever_was_asked() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        // Named in one of the two fields only.
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n",
        // Not ours to pass on.
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let origin = Origin::start(|mut exchange| {
            exchange.request();
            exchange.send(format!("{SWITCH}smuggled"));
            exchange.read_to_end();
        });
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        client.send(request);
        let response = client.response();
        assert_eq!(response.status(), 502, "{request:?}: {response:?}");
        assert!(!response.text().contains("smuggled"));
        assert_ne!(origin.await_end(), Ended::Silence, "such a connection is closed");
        assert_eq!(origin.requests().len(), 1);
        balancer.logged(&["\"status\":502", "\"reason\":\"unasked_upgrade\""]);
    }
}

#[test]
fn a_101_that_chose_what_was_not_asked_for_is_502() {
    for chosen in ["h2c", "echo", "websocket, echo", "websocke", "websocket, h2c"] {
        let origin = Origin::start(move |mut exchange| {
            exchange.request();
            exchange.send(SWITCH.replace("websocket", chosen));
            exchange.read_to_end();
        });
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        client.send(ASK);
        assert_eq!(client.response().status(), 502, "{chosen}");
        assert_ne!(origin.await_end(), Ended::Silence);
    }
}
