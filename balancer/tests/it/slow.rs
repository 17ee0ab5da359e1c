//! Clients that are slow on purpose: they are ended in time, and good ones are served meanwhile.

use std::time::{Duration, Instant};

use super::harness::{Balancer, Client, Origin, eventually, ok, pool_of};

const EACH: usize = 200;

#[test]
fn slow_headers_are_ended_and_good_clients_served() {
    let (balancer, _origin) = attacked();
    let mut bad = clients(&balancer, |client, _| client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: 1"));
    serves_meanwhile(&balancer, |round| {
        // A byte now and then is no progress.
        bad.iter_mut().skip(round % 4).step_by(4).for_each(|client| _ = client.try_send("x"));
    });
    assert_all_late(bad);
    balancer.logged(&["\"reason\":\"slow_header\""]);
}

#[test]
fn slow_bodies_are_ended_and_good_clients_served() {
    let (balancer, _origin) = attacked();
    let bad = clients(&balancer, |client, _| {
        client.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx");
    });
    serves_meanwhile(&balancer, |_| {});
    assert_all_late(bad);
    balancer.logged(&["\"reason\":\"slow_body\""]);
}

#[test]
fn slow_readers_are_ended_and_good_clients_served() {
    let (balancer, origin) = attacked();
    let mut bad = clients(&balancer, |_, _| {});
    // Fewer: what the kernel holds for each is megabytes.
    bad.truncate(EACH / 8);
    bad.iter_mut().for_each(|client| client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n"));
    origin.await_requests(EACH / 8);
    serves_meanwhile(&balancer, |_| {});
    let log = || std::fs::read_to_string(balancer.directory().join("access.log")).unwrap_or_default();
    let stalled = || log().matches("\"reason\":\"client_stalled\"").count();
    eventually(|| format!("{} stalled", stalled()), || (stalled() == EACH / 8).then_some(()));
    for mut client in bad {
        let head = client.head();
        assert_eq!(head.status(), 200);
        assert!(client.body(head).body.len() < LARGE, "cut before its end");
    }
}

#[test]
fn clients_that_say_nothing_are_closed_and_good_ones_served() {
    let (balancer, _origin) = attacked();
    let bad = clients(&balancer, |_, _| {});
    serves_meanwhile(&balancer, |_| {});
    bad.into_iter().for_each(|mut client| client.assert_closed());
}

/// A balancer with short limits.
fn attacked() -> (Balancer, Origin) {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
            let sent = match request.target() {
                "/large" => exchange.send(head) && exchange.pour(LARGE),
                _ => exchange.send(ok("1")),
            };
            if !sent {
                break;
            }
        }
    });
    let limits = "header_timeout = \"4s\"\nkeep_alive_timeout = \"4s\"\nbody_timeout = \"4s\"";
    (Balancer::start(limits, &pool_of(&[&origin])), origin)
}

fn clients(balancer: &Balancer, begin: impl Fn(&mut Client, usize)) -> Vec<Client> {
    let client = |number| {
        let mut client = Client::of(balancer);
        begin(&mut client, number);
        client
    };
    (0..EACH).map(client).collect()
}

/// Until the bad ones are late, each good request is answered.
fn serves_meanwhile(balancer: &Balancer, mut attack: impl FnMut(usize)) {
    let begun = Instant::now();
    let mut round = 0;
    while begun.elapsed() < Duration::from_millis(4_500) {
        attack(round);
        let asked = Instant::now();
        assert_eq!(Client::of(balancer).get("/").status(), 200, "round {round}");
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?} in round {round}", asked.elapsed());
        round += 1;
    }
}

/// Each gets its 408, unless its last byte met a connection that was closed already.
fn assert_all_late(clients: Vec<Client>) {
    let answers: Vec<String> = clients.into_iter().map(|mut client| client.rest().0).collect();
    let late = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 408 ")).count();
    let other: Vec<&String> = answers.iter().filter(|answer| !answer.starts_with("HTTP/1.1 408 ")).collect();
    assert!(other.iter().all(|answer| answer.is_empty()) && late > EACH / 2, "{late} of {EACH}: {other:?}");
}

const LARGE: usize = 32 * 1024 * 1024;
