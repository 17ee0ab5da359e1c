//! Messages in many small pieces, and at the pace of who reads slowly.

use std::time::{Duration, Instant};

use super::harness::{Balancer, Client, Origin, ok, pool_of};
use super::streaming::pattern;

#[test]
fn a_worker_that_writes_head_and_body_apart_is_not_waited_for() {
    // A delayed acknowledgement against the algorithm of RFC 896 costs 40 ms each time.
    for pieces in [
        &["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", "hel", "lo\n"][..],
        &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nhel\r\n", "3\r\nlo\n\r\n", "0\r\n\r\n"],
        // And some the head itself.
        &["HTTP/1.1 200 OK\r\n", "Content-Length: 6\r\n", "\r\n", "hello\n"],
        &["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", "hello\n"],
    ] {
        let origin = Origin::with_nagle(move |mut exchange| {
            while exchange.request().is_some() && pieces.iter().all(|piece| exchange.send(piece)) {}
        });
        let balancer = Balancer::start("threads = 1", &pool_of(&[&origin]));
        let mut client = Client::of(&balancer);
        let mut times: Vec<Duration> = (0..20)
            .map(|_| {
                let begun = Instant::now();
                assert_eq!(client.get("/").text(), "hello\n");
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        assert!(times[10] < Duration::from_millis(20), "{pieces:?}: {times:?}");
        assert_eq!(origin.connections(), 1, "the delay comes with a kept connection alone: {pieces:?}");
    }
}

#[test]
fn thousands_of_chunks_of_one_byte_arrive_as_they_were_both_ways() {
    const CHUNKS: usize = 8_000;
    let body = pattern(CHUNKS);
    let mut chunked = Vec::new();
    for byte in &body {
        chunked.extend_from_slice(&[b'1', b'\r', b'\n', *byte, b'\r', b'\n']);
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let answer = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &chunked[..]].concat();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for keys in ["", "slots = 1\n", "slots = 1\nbuffer_request = \"1KiB\"\nbuffer_response = \"1KiB\"\n"] {
        let (body, answer) = (body.clone(), answer.clone());
        let sent = body.clone();
        let origin = Origin::start(move |mut exchange| {
            while let Some(request) = exchange.request() {
                assert!(request.body == sent, "{} bytes, or others", request.body.len());
                exchange.send(&answer);
            }
        });
        let balancer = Balancer::start("", &format!("{}{keys}", pool_of(&[&origin])));
        let mut client = Client::of(&balancer);
        // All at once, chunk by chunk, and in pieces that end anywhere.
        for piece in [chunked.len(), 6, 1_001] {
            client.send(head);
            for piece in chunked.chunks(piece) {
                client.send(piece);
            }
            let response = client.response();
            assert!(response.status() == 200 && response.body == body, "in pieces of {piece}, with {keys:?}");
        }
        assert!(origin.requests().iter().all(|request| request.body == body));
        assert_eq!(origin.requests().len(), 3);
    }
}

#[test]
fn an_upload_larger_than_all_buffers_arrives_as_it_was_at_a_worker_that_reads_slowly() {
    const ALL: usize = 24 << 20;
    for (framing, keys) in [("counted", ""), ("chunked", ""), ("counted", "slots = 1\nbuffer_request = \"64KiB\"\n")] {
        let origin = Origin::start(|mut exchange| {
            while let Some(head) = exchange.head() {
                let is_chunked = head.is_chunked();
                for _ in 0..100 {
                    if !is_chunked {
                        let piece = exchange.take(64 * 1024);
                        assert!(piece == pattern(64 * 1024), "other bytes");
                    }
                    std::thread::park_timeout(Duration::from_millis(3));
                }
                let rest = match is_chunked {
                    true => exchange.body(head).body,
                    false => exchange.take(ALL - 100 * 64 * 1024),
                };
                exchange.send(ok(&(rest == pattern(rest.len())).to_string()));
            }
        });
        let balancer = Balancer::start("", &format!("{}{keys}", pool_of(&[&origin])));
        let mut client = Client::of(&balancer);
        for _ in 0..2 {
            match framing {
                "counted" => {
                    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {ALL}\r\n\r\n"));
                    client.send(pattern(ALL));
                }
                _ => {
                    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
                    for piece in pattern(ALL).chunks(16 * 1024) {
                        client.send([b"4000\r\n", piece, b"\r\n"].concat());
                    }
                    client.send("0\r\n\r\n");
                }
            }
            assert_eq!(client.response().text(), "true", "{framing} with {keys:?}");
        }
    }
}
