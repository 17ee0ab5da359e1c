//! Clients that leave, in whatever moment: nobody is told, nothing is left behind, the worker's request ends.

use std::time::{Duration, Instant};

use super::admin::status;
use super::harness::{Balancer, Client, Ended, Origin, PATIENCE, eventually, ok, pool_of};

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Leaves {
    /// It only says that nothing more comes, and can still read.
    HalfClosed,
    Closed,
    Reset,
}

#[test]
fn a_request_cut_in_its_body_is_499_in_the_log_and_nowhere_else() {
    const ROUNDS: usize = 40;
    let heads = ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"];
    for keys in ["", "slots = 1\nbuffer_request = \"0B\"\n", "slots = 1\n"] {
        let origin = Origin::start(|mut exchange| {
            exchange.request();
            exchange.read_to_end();
        });
        let balancer = Balancer::start("", &format!("{}{keys}", pool_of(&[&origin])));
        let mut cut = 0;
        for round in 0..ROUNDS {
            for leaves in [Leaves::HalfClosed, Leaves::Closed] {
                let mut client = Client::of(&balancer);
                let (head, body) = heads[round % 2].split_once("\r\n\r\n").unwrap();
                client.send(format!("POST /{round} HTTP/1.1\r\nHost: a\r\n{head}\r\n"));
                // From one packet to none at all that the worker has seen in peace.
                moment(round % 5);
                client.send(format!("\r\n{body}"));
                moment(round % 7);
                if leaves == Leaves::HalfClosed {
                    client.half_close();
                    let (text, ended) = client.rest();
                    assert_eq!(text, "", "round {round} with {keys:?}");
                    assert_ne!(ended, Ended::Silence, "round {round} with {keys:?}");
                }
                drop(client);
                cut += 1;
            }
        }
        let told = || balancer.count_logged(&["\"status\":499", "\"reason\":\"client_gone\""]);
        eventually(|| format!("{cut} lines, not {}", told()), || (told() == cut).then_some(()));
        assert_eq!(balancer.count_logged(&[]), cut, "one line each");
        let whole = origin.requests().iter().filter(|request| request.ended == Ended::Framed).count();
        assert_eq!(whole, 0, "no complete request");
    }
}

#[test]
fn a_request_cut_in_its_body_gets_no_499_whatever_the_worker_does_meanwhile() {
    let refusing = super::harness::Refusing::start();
    // Answers early, closes early, resets, sends half of an answer.
    let origins = [
        Origin::start(|mut exchange| {
            exchange.head();
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
            exchange.read_to_end();
        }),
        Origin::start(|mut exchange| {
            exchange.head();
        }),
        Origin::start(|mut exchange| {
            exchange.head();
            exchange.reset();
        }),
        Origin::start(|mut exchange| {
            exchange.head();
            exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
            exchange.read_to_end();
        }),
    ];
    let pools = origins.iter().map(|origin| pool_of(&[origin])).chain([super::harness::pool_at(&[refusing.address()])]);
    for (number, pool) in pools.enumerate() {
        let balancer = Balancer::start("", &format!("{pool}eject_after = 0\n"));
        for round in 0..40 {
            let mut client = Client::of(&balancer);
            client.send(format!("POST /{round} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"));
            moment(round % 5);
            client.half_close();
            let (text, ended) = client.rest();
            // As a status: an id may hold any digits.
            assert!(!text.contains("HTTP/1.1 499"), "round {round} of {number}: {text}");
            assert_ne!(ended, Ended::Silence, "round {round} of {number}: {text}");
        }
    }
}

#[test]
fn a_client_that_leaves_right_behind_its_request_leaks_nothing() {
    const ROUNDS: usize = 60;
    for keys in ["", "slots = 1\n"] {
        let origin = Origin::start(|mut exchange| {
            while let Some(request) = exchange.request() {
                if request.target() == "/silent" {
                    exchange.read_to_end();
                } else {
                    exchange.send(ok("fine"));
                }
            }
        });
        let balancer = Balancer::start("", &format!("{}{keys}idle_connections_max = 0\n", pool_of(&[&origin])));
        assert_eq!(Client::of(&balancer).get("/").text(), "fine");
        balancer.await_parked(0);
        let before = settled_descriptors(&balancer);
        for leaves in [Leaves::Closed, Leaves::Reset] {
            for round in 0..ROUNDS {
                let target = ["/", "/silent"][round % 2];
                let mut client = Client::of(&balancer);
                let _ = client.try_send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
                match leaves {
                    Leaves::Reset => client.reset(),
                    _ => drop(client),
                }
            }
            let begun = Instant::now();
            assert_eq!(Client::of(&balancer).get("/").text(), "fine", "the next is served, {leaves:?} with {keys:?}");
            assert!(begun.elapsed() < PATIENCE);
            let in_flight = || status(&balancer)["pools"][0]["in_flight"].as_u64().unwrap();
            eventually(|| format!("none in flight, not {}", in_flight()), || (in_flight() == 0).then_some(()));
        }
        let now = || balancer.descriptors();
        eventually(|| format!("{before} descriptors, not {}", now()), || (now() <= before).then_some(()));
        assert!(balancer.count_logged(&["\"reason\":\"client_gone\""]) > 0, "some left before their answer");
    }
}

#[test]
fn the_worker_is_told_within_two_seconds_that_the_client_has_left() {
    // Each waits for something else: an answer, an event, the rest of an answer, and the worker for a body.
    let origin = Origin::start(|mut exchange| {
        let Some(head) = exchange.head() else { return };
        match head.target() {
            "/events" => {
                let fields = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked";
                exchange.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n9\r\ndata: 1\n\n\r\n"));
            }
            "/close" => drop(exchange.send("HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n")),
            "/counted" => drop(exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ndata: 1\n\n")),
            _ => {}
        }
        exchange.read_to_end();
    });
    let balancer = Balancer::before(&[&origin]);
    let mut clients = Vec::new();
    for target in ["/silent", "/events", "/close", "/counted", "/upload"] {
        for _ in 0..3 {
            let mut client = Client::of(&balancer);
            let length = if target == "/upload" { "Content-Length: 9\r\n" } else { "" };
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{length}\r\n"));
            if !matches!(target, "/silent" | "/upload") {
                client.until("data: 1\n\n");
            }
            clients.push(client);
        }
    }
    let count = clients.len();
    origin.await_requests(count);
    let left = Instant::now();
    for (number, client) in clients.into_iter().enumerate() {
        if number % 2 == 0 { client.reset() } else { drop(client) }
    }
    origin.await_ends(count / 2);
    let median = left.elapsed();
    origin.await_ends(count);
    assert!(median < Duration::from_secs(2), "{median:?}, and all after {:?}", left.elapsed());
    let told = || balancer.count_logged(&["\"reason\":\"client_gone\""]);
    eventually(|| format!("{count} lines, not {}", told()), || (told() == count).then_some(()));
}

/// Some time, most often none.
fn moment(length: usize) {
    match length {
        0 | 1 => {}
        2 => std::thread::yield_now(),
        more => std::thread::park_timeout(Duration::from_micros(200 * more as u64)),
    }
}

/// Once connections that have been closed are gone.
fn settled_descriptors(balancer: &Balancer) -> usize {
    let mut last = (balancer.descriptors(), Instant::now());
    let settled = || {
        let now = balancer.descriptors();
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(300)).then_some(now)
    };
    eventually(|| "as many descriptors as before".into(), settled)
}
