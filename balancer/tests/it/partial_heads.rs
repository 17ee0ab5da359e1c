//! Heads and bodies that are not complete: what can never become a request is refused at once, the others wait and take little.

use std::time::Instant;

use super::harness::{Balancer, Client, Origin, SOON, pool_of};

#[test]
fn what_can_never_become_a_request_is_refused_long_before_the_header_timeout() {
    let origin = Origin::named("1");
    let top = "header_timeout = \"10m\"\nkeep_alive_timeout = \"10m\"\nheader_bytes_max = \"8KiB\"";
    let balancer = Balancer::start(top, &pool_of(&[&origin]));
    let long = "a".repeat(9_000);
    let cases: [(&[u8], u16, &str); 16] = [
        (b"GET / HTTP/1.1\n", 400, "bad_request"),
        (b"\n", 400, "bad_request"),
        (b"\r\n\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bad_request"),
        (b"\rG", 400, "bad_request"),
        (b"GET / HTTP/1.1\rHost: a", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\rX", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\rX", 400, "bad_request"),
        // A TLS hello.
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "tls_on_plain_port"),
        (b"\x16", 400, "tls_on_plain_port"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", 400, "bad_request"),
        (b"GET /\r\n", 400, "bad_request"),
        (b"PRI * HTTP/2.0\r\n", 505, "bad_version"),
        (long.as_bytes(), 414, "target_too_long"),
        (b" GET / HTTP/1.1", 400, "bad_request"),
    ];
    for (bytes, status, reason) in cases {
        let start = bytes[..bytes.len().min(40)].escape_ascii();
        // As the first of a connection, behind another request, in one piece with it, and byte by byte.
        for way in ["first", "second", "pipelined", "bytes"] {
            let mut client = Client::of(&balancer);
            let begun = Instant::now();
            match way {
                "first" => client.send(bytes),
                "second" => {
                    assert_eq!(client.get("/").status(), 200);
                    client.send(bytes);
                }
                "pipelined" => {
                    client.send([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", bytes].concat());
                    assert_eq!(client.response().status(), 200);
                }
                _ => bytes.iter().take_while(|&&byte| client.try_send([byte]).is_ok()).for_each(drop),
            }
            let response = client.response();
            assert!(response.status() == status && response.text().contains(reason), "{start}, {way}: {response:?}");
            client.assert_closed();
            assert!(begun.elapsed() < SOON, "{start}, {way}: {:?}", begun.elapsed());
        }
    }
    assert!(origin.requests().iter().all(|request| request.line == "GET / HTTP/1.1"));
}

#[test]
fn a_parked_connection_refuses_at_once_too() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("header_timeout = \"10m\"\nkeep_alive_timeout = \"10m\"", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    assert_eq!(client.get("/").status(), 200);
    balancer.await_parked(1);
    let begun = Instant::now();
    client.send("\u{16}\u{3}\u{1}");
    assert_eq!(client.response().status(), 400);
    client.assert_closed();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn two_thousand_clients_with_half_a_head_take_little_memory_and_are_all_served() {
    const CLIENTS: usize = 2_000;
    let origin = Origin::named("1");
    let balancer = Balancer::start_by_small_pages("header_timeout = \"10m\"", &pool_of(&[&origin]));
    let (half, rest) = (format!("GET / HTTP/1.1\r\nHost: a\r\nX-Half: {}", "h".repeat(980)), "h\r\n\r\n");
    // What the first ones need stays for those that follow.
    let mut clients: Vec<Client> = (0..100).map(|_| Client::of(&balancer)).collect();
    for client in &mut clients {
        client.send(&half);
    }
    serve_others(&balancer);
    let before = balancer.memory("VmRSS");
    for _ in 0..CLIENTS {
        let mut client = Client::of(&balancer);
        client.send(&half);
        clients.push(client);
    }
    // Who came later is served, so all that came before has been read.
    serve_others(&balancer);
    let each = balancer.memory("VmRSS").saturating_sub(before) as f64 / CLIENTS as f64;
    assert!(each <= 3.5, "{each} KiB a client");
    assert!(each >= 1.0, "they are read: {each} KiB a client");
    for client in &mut clients {
        client.send(rest);
    }
    let bad: Vec<_> = clients.iter_mut().map(Client::response).filter(|response| response.status() != 200).collect();
    assert!(bad.is_empty(), "{} bad ones, such as {:?}", bad.len(), bad[0]);
}

#[test]
fn a_thousand_clients_with_half_a_body_take_little_memory_and_are_all_served() {
    const CLIENTS: usize = 1_000;
    let origin = Origin::named("1");
    let pool = format!("{}slots = 1\nqueue_max = 10000\nqueue_timeout = \"60s\"\n", pool_of(&[&origin]));
    let balancer = Balancer::start_by_small_pages("body_timeout = \"10m\"", &pool);
    let half = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nha";
    let wait = |count: usize| -> Vec<Client> {
        let begun = |_| {
            let mut client = Client::of(&balancer);
            client.send(half);
            client
        };
        let clients = (0..count).map(begun).collect();
        serve_others(&balancer);
        clients
    };
    // What the first ones need stays for those that follow.
    let mut clients = wait(100);
    let before = balancer.memory("VmRSS");
    clients.extend(wait(CLIENTS));
    let each = balancer.memory("VmRSS").saturating_sub(before) as f64 / CLIENTS as f64;
    assert!((1.0..=10.0).contains(&each), "{each} KiB a client");
    clients.iter_mut().for_each(|client| client.send("lf"));
    let bad: Vec<_> = clients.iter_mut().map(Client::response).filter(|response| response.status() != 200).collect();
    assert!(bad.is_empty(), "{} bad ones, such as {:?}", bad.len(), bad[0]);
}

#[test]
fn a_head_of_30_kib_that_comes_byte_by_byte_is_served_as_it_was() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    let mut head = "GET /drop HTTP/1.1\r\nHost: a\r\n".to_owned();
    for number in 0..60 {
        let value = char::from(b'a' + number % 26).to_string().repeat(490);
        head.push_str(&format!("X-{number:02}: {value}\r\n"));
    }
    head.push_str("\r\n");
    assert!(head.len() > 29_000);
    for byte in head.bytes() {
        client.send([byte]);
    }
    assert_eq!(client.response().text(), "1");
    let own = head.split_once("Host: a\r\n").unwrap().1.trim_end();
    assert!(origin.bytes(0).contains(own), "the worker got other fields");
    assert_eq!(client.get("/").status(), 200);
}

fn serve_others(balancer: &Balancer) {
    for _ in 0..50 {
        assert_eq!(Client::of(balancer).get("/").status(), 200);
    }
}
