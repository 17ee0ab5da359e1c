//! Large bodies flow, at the pace of the slower side, and end when one side leaves.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::harness::{Balancer, Client, Ended, Exchange, Gate, Origin, SOON, eventually, ok, pool_of};

const MIB: usize = 1 << 20;
const LARGE: usize = 32 * MIB;
/// Resident memory that streaming may take, in KiB; pages of the program itself count where the peak is asked for.
pub(crate) const GROWTH: u64 = 12 * 1024;

#[test]
fn a_large_download_arrives_as_it_was_and_is_never_held() {
    for head in ["Content-Length: 33554432", "Connection: close"] {
        let origin = Origin::start(move |mut exchange| {
            exchange.request();
            exchange.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"));
            exchange.pour(LARGE);
        });
        let balancer = Balancer::before(&[&origin]);
        let before = balancer.memory("VmHWM");
        let response = Client::of(&balancer).get("/");
        assert_eq!(response.ended, Ended::Framed);
        assert!(response.body == pattern(LARGE), "the bytes are others");
        let grown = balancer.memory("VmHWM") - before;
        assert!(grown < GROWTH, "{grown} KiB");
    }
}

#[test]
fn a_large_upload_arrives_as_it_was_and_is_never_held() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(ok(&(request.body == pattern(LARGE)).to_string()));
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let before = balancer.memory("VmHWM");
    let mut client = Client::of(&balancer);
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"));
    client.send(pattern(LARGE));
    assert_eq!(client.response().text(), "true");
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut chunked = Vec::with_capacity(LARGE + LARGE / 100);
    for chunk in pattern(LARGE).chunks(50_000) {
        write!(chunked, "{:x}\r\n", chunk.len()).unwrap();
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    client.send(chunked);
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), "true");
    let grown = balancer.memory("VmHWM") - before;
    assert!(grown < GROWTH, "{grown} KiB");
}

#[test]
fn a_client_that_does_not_read_makes_the_worker_wait() {
    const ALL: usize = 64 * MIB;
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {ALL}\r\n\r\n"));
        exchange.pour(ALL);
    });
    let balancer = Balancer::start("body_timeout = \"10m\"", &pool_of(&[&origin]));
    let before = balancer.memory("RssAnon");
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let sent = settled(|| origin.sent());
    assert!(sent < ALL as u64 / 2, "{sent} bytes went into nowhere");
    let grown = balancer.memory("RssAnon").saturating_sub(before);
    assert!(grown < GROWTH, "{grown} KiB");
    // And it goes on as soon as the client reads.
    client.head();
    assert_eq!(client.take(ALL).len(), ALL);
    assert_eq!(origin.sent(), ALL as u64);
}

#[test]
fn a_worker_that_does_not_read_makes_the_client_wait() {
    const ALL: usize = 64 * MIB;
    let read = Gate::default();
    let go = read.clone();
    let origin = Origin::start(move |mut exchange| {
        let head = exchange.head().unwrap();
        if go.wait() {
            let length = exchange.body(head).body.len();
            exchange.send(ok(&length.to_string()));
        }
    });
    let balancer = Balancer::start("body_bytes_max = \"1GB\"", &pool_of(&[&origin]));
    let before = balancer.memory("RssAnon");
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let mut client = Client::of(&balancer);
    let uploading = std::thread::spawn(move || {
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {ALL}\r\n\r\n"));
        let piece = pattern(64 * 1024);
        for _ in 0..ALL / piece.len() {
            client.send(&piece);
            counted.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
        client.response()
    });
    let taken = settled(|| sent.load(Ordering::SeqCst));
    assert!(taken < ALL as u64 / 2, "{taken} bytes went into nowhere");
    let grown = balancer.memory("RssAnon").saturating_sub(before);
    assert!(grown < GROWTH, "{grown} KiB");
    read.open();
    assert_eq!(uploading.join().unwrap().text(), ALL.to_string());
}

#[test]
fn a_client_that_leaves_while_it_waits_cancels_the_upstream_request() {
    let origin = Origin::silent();
    cancelled_soon(&origin, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 499);
}

#[test]
fn a_client_that_leaves_in_its_upload_cancels_the_upstream_request() {
    let origin = Origin::start(|mut exchange| {
        exchange.head();
        exchange.read_to_end();
    });
    cancelled_soon(&origin, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf", 499);
}

#[test]
fn a_client_that_leaves_with_its_next_request_sent_cancels_the_upstream_request() {
    let origin = Origin::silent();
    let pipelined = "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
    cancelled_soon(&origin, pipelined, 499);
}

#[test]
fn a_client_that_leaves_while_the_worker_takes_nothing_cancels_the_upstream_request() {
    for by_reset in [false, true] {
        let gate = Gate::default();
        let release = gate.clone();
        let origin = Origin::start(move |mut exchange| {
            exchange.head();
            gate.wait();
        });
        let path = super::harness::directory().join("lb.sock");
        let top = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]", path.display());
        let balancer = Balancer::start(&top, &super::harness::pool_of(&[&origin]));
        // A TCP client's kernel would keep the end behind bytes that nobody takes; a reset it sends at once.
        let mut client = if by_reset { Client::of(&balancer) } else { Client::unix(&path) };
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99000000\r\n\r\n");
        client.fill();
        let left = Instant::now();
        if by_reset {
            client.reset()
        } else {
            drop(client)
        }
        balancer.logged(&["\"reason\":\"client_gone\"", "\"status\":499"]);
        assert!(left.elapsed() < SOON, "{:?}", left.elapsed());
        release.open();
    }
}

#[test]
fn a_client_that_leaves_before_its_100_cancels_the_upstream_request() {
    let origin = Origin::start(|mut exchange| {
        exchange.head();
        exchange.read_to_end();
    });
    let request = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    cancelled_soon(&origin, request, 499);
}

#[test]
fn a_client_that_leaves_in_a_download_cancels_the_upstream_request() {
    let origin = Origin::start(|mut exchange: Exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n");
        exchange.pour(999_999_999);
        exchange.read_to_end();
    });
    cancelled_soon(&origin, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200);
}

#[test]
fn a_client_that_leaves_in_a_silent_stream_cancels_the_upstream_request() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n");
        exchange.read_to_end();
    });
    cancelled_soon(&origin, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200);
}

#[test]
fn an_early_answer_reaches_a_client_that_uploads() {
    // Whether the worker goes on reading or closes at once.
    for reads_on in [true, false] {
        let origin = Origin::start(move |mut exchange| {
            exchange.head();
            exchange.send("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno!");
            if reads_on {
                exchange.half_close();
                exchange.read_to_end();
            }
        });
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
        client.send("first of it");
        let response = client.response();
        assert_eq!((response.status(), response.text()), (413, "no!".into()), "reads on: {reads_on}");
        // A client that is in the middle of sending must be able to.
        let _ = client.try_send(pattern(400_000));
        assert_eq!(client.rest(), (String::new(), Ended::Close));
        assert_eq!(origin.connections(), 1);
    }
}

#[test]
fn an_early_answer_is_not_lost_to_the_reset_behind_it() {
    // Closes with most of the request unread, so that its kernel sends a reset after the answer.
    let origin = Origin::start(|mut exchange| {
        exchange.head();
        exchange.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
    });
    let balancer = Balancer::before(&[&origin]);
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        for round in 0..25 {
            let mut client = Client::of(&balancer);
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
            let chunk = [b"8000\r\n", &pattern(32_768)[..], b"\r\n"].concat();
            let piece = if framing.contains("chunked") { chunk } else { pattern(32_768) };
            let _ = (0..30).take_while(|_| client.try_send(&piece).is_ok()).count();
            let response = client.response();
            assert_eq!((response.status(), response.text()), (413, "no!".into()), "{framing}, round {round}");
        }
    }
}

#[test]
fn a_response_may_be_complete_before_the_request_is() {
    let origin = Origin::start(|mut exchange| {
        let head = exchange.head().unwrap();
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        let length = exchange.body(head).body.len();
        exchange.send(format!("4\r\n{length:04}\r\n0\r\n\r\n"));
        exchange.read_to_end();
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nfour");
    client.until("hello\r\n");
    client.send("more");
    assert!(client.until("0\r\n\r\n").contains("0008"));
}

/// Bytes that tell a shifted or repeated piece from the right one, the same in every 64 KiB.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at & 0xFFFF) % 251) as u8).collect()
}

/// Leaves in two ways after the origin got the request's head, and after what it answers has begun to arrive.
fn cancelled_soon(origin: &Origin, request: &str, status: u16) {
    for (round, by_reset) in [false, true].into_iter().enumerate() {
        let balancer = Balancer::before(&[origin]);
        let mut client = Client::of(&balancer);
        client.send(request);
        origin.await_requests(round + 1);
        if status == 200 {
            client.head();
        }
        let left = Instant::now();
        if by_reset {
            client.reset()
        } else {
            drop(client)
        }
        let ended = origin.await_ends(round + 1);
        assert!(left.elapsed() < SOON, "{:?}", left.elapsed());
        assert_ne!(ended, Ended::Silence);
        balancer.logged(&["\"reason\":\"client_gone\"", &format!("\"status\":{status}")]);
    }
}

/// A count once it has stopped growing for a while.
fn settled(count: impl Fn() -> u64) -> u64 {
    let mut last = (count(), Instant::now());
    eventually(
        || "a standstill".into(),
        || {
            let now = count();
            if now != last.0 {
                last = (now, Instant::now());
            }
            (now > 0 && last.1.elapsed() > Duration::from_millis(400)).then_some(now)
        },
    )
}
