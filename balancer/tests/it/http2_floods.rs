//! Clients that use HTTP/2 against us: memory stays bounded, and others are served meanwhile.

use std::time::Instant;

use super::harness::http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, get,
};
use super::harness::{Balancer, Client, Origin, SOON, eventually, ok, pool_of};

const H2C: &str = "h2c = true";
/// KiB that an attack may cost at most.
const MEMORY: u64 = 32 * 1024;
const ENHANCE_YOUR_CALM: u32 = 11;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// An initial window of nothing.
const NO_WINDOW: &[(u16, u32)] = &[(4, 0)];

/// An origin that answers `/quick` and leaves everything else waiting.
fn slow() -> Origin {
    Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            if request.target() != "/quick" {
                exchange.read_to_end();
                return;
            }
            exchange.send(ok("quick"));
        }
    })
}

/// Somebody else is served soon, and the memory that is touched has a bound.
fn assert_others_are_served(balancer: &Balancer, before: u64) {
    let begun = Instant::now();
    assert_eq!(Client::of(balancer).get("/quick").text(), "quick");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let most = balancer.memory("VmHWM");
    assert!(most < before + MEMORY, "{before} KiB before, {most} KiB at most");
}

/// Starts, and serves one request.
fn running(top: &str, origin: &Origin) -> (Balancer, u64) {
    let balancer = Balancer::start(&format!("{H2C}\nthreads = 1\n{top}"), &pool_of(&[origin]));
    assert_eq!(Client::of(&balancer).get("/quick").text(), "quick");
    let memory = balancer.memory("VmHWM");
    (balancer, memory)
}

/// The number of the `number`th stream of a client.
fn id(number: u32) -> u32 {
    2 * number + 1
}

#[test]
fn requests_that_are_reset_at_once_end_the_connection_and_few_reach_a_worker() {
    let origin = slow();
    let (balancer, memory) = running("", &origin);
    let mut frames = Frames::at(balancer.address(), &[]);
    let flood: Vec<u8> = (0..5_000)
        .flat_map(|number| {
            [frame(HEADERS, END_STREAM | END_HEADERS, id(number), &get("/")), frame(RST_STREAM, 0, id(number), &CANCEL)]
                .concat()
        })
        .collect();
    frames.try_send(&flood);
    assert!(matches!(frames.goaway(), Some(ENHANCE_YOUR_CALM) | None));
    assert!(origin.requests().len() <= 1 + 220, "{}", origin.requests().len());
    assert_others_are_served(&balancer, memory);
}

#[test]
fn a_client_that_cancels_request_after_request_is_told_to_calm_down() {
    let origin = slow();
    let (balancer, memory) = running("", &origin);
    let mut frames = Frames::at(balancer.address(), &[]);
    for number in 0..201 {
        frames.send(HEADERS, END_STREAM | END_HEADERS, id(number), &get("/"));
        origin.await_requests(number as usize + 2);
        frames.send(RST_STREAM, 0, id(number), &CANCEL);
        // One after another, as a client that knows what it does.
        origin.await_ends(number as usize + 1);
    }
    assert_eq!(frames.goaway(), Some(ENHANCE_YOUR_CALM));
    balancer.await_end_of_log("closed an HTTP/2 connection: more than 200 requests were cancelled within 10 s");
    assert_others_are_served(&balancer, memory);
}

#[test]
fn a_head_without_an_end_is_refused_and_takes_little_memory() {
    let origin = slow();
    let (balancer, memory) = running("", &origin);
    let mut frames = Frames::at(balancer.address(), &[]);
    frames.send(HEADERS, END_STREAM, 1, &get("/"));
    let piece = frame(CONTINUATION, 0, 1, &block(&[("x-own", &*"a".repeat(100)); 100]));
    let took_all = (0..20_000).all(|_| frames.try_send(&piece));
    assert!(!took_all, "200 MB of a head were taken");
    assert_others_are_served(&balancer, memory);
    // Frames without any content are no end either.
    let mut frames = Frames::at(balancer.address(), &[]);
    frames.send(HEADERS, END_STREAM, 1, &get("/"));
    let nothing = frame(CONTINUATION, 0, 1, &[]).repeat(1_000);
    let took_all = (0..10_000).all(|_| frames.try_send(&nothing));
    assert!(!took_all, "ten million frames of a head were taken");
    assert_others_are_served(&balancer, memory);
}

#[test]
fn a_head_that_grows_when_it_is_unpacked_is_refused() {
    let origin = slow();
    let (balancer, memory) = running("", &origin);
    let mut frames = Frames::at(balancer.address(), &[]);
    // One field into the table of the other side (RFC 7541 §6.2.1), then thousands of one byte that name it.
    let value = "a".repeat(100);
    let field = [&[0x40, 5][..], b"x-own", &[100], value.as_bytes()].concat();
    let bomb = [get("/"), field, vec![0x80 | 62; 16_000]].concat();
    for number in 0..50 {
        if !frames.try_send(&frame(HEADERS, END_STREAM | END_HEADERS, id(number), &bomb)) {
            break;
        }
    }
    // 431 (not of the static table), a reset, or the end of the connection.
    let refused = frames.until(RST_STREAM).is_none_or(|frame| frame.stream == 1) || frames.next().is_none();
    assert!(refused);
    assert_eq!(origin.requests().len(), 1);
    assert_others_are_served(&balancer, memory);
}

/// A client that sends the same frame again and again, and reads nothing, until nobody takes any more.
fn assert_flood_is_bounded(name: &str, flood: &[u8]) {
    let origin = slow();
    let (balancer, memory) = running("", &origin);
    let mut frames = Frames::at(balancer.address(), &[]);
    let flood = flood.repeat(64 * 1024 / flood.len());
    let begun = Instant::now();
    let mut sent = 0;
    // As much as is taken within a second, whatever becomes of it.
    while begun.elapsed().as_millis() < 1_000 && frames.0.try_send_now(&flood) {
        sent += flood.len();
    }
    assert!(sent > 0, "{name}");
    assert_others_are_served(&balancer, memory);
}

#[test]
fn settings_pings_and_frames_of_nothing_cost_little_memory() {
    for (name, flood) in [
        ("settings", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ("empty settings", frame(SETTINGS, 0, 0, &[])),
        ("pings", frame(PING, 0, 0, &[0; 8])),
        ("answers to pings", frame(PING, ACK, 0, &[0; 8])),
        ("windows", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 0])),
        ("resets", frame(RST_STREAM, 0, 1, &CANCEL)),
        ("unknown frames", frame(0x42, 0xFF, 1, &[0; 100])),
    ] {
        assert_flood_is_bounded(name, &flood);
    }
}

#[test]
fn streams_that_we_have_to_reset_end_the_connection() {
    let origin = slow();
    let (balancer, memory) = running("", &origin);
    let mut frames = Frames::at(balancer.address(), &[]);
    // A window that grows by nothing is an error of the stream (RFC 9113 §6.9), for which we reset it (CVE-2025-8671).
    let mut open = true;
    for number in 0..5_000 {
        let request = frame(HEADERS, END_STREAM | END_HEADERS, id(number), &get("/"));
        open = frames.try_send(&[request, frame(WINDOW_UPDATE, 0, id(number), &[0; 4])].concat());
        if !open {
            break;
        }
    }
    let mut ended = !open;
    while let Some(Frame { kind, .. }) = frames.next() {
        ended |= kind == GOAWAY;
    }
    assert!(ended);
    assert!(origin.requests().len() < 2_000, "{}", origin.requests().len());
    assert_others_are_served(&balancer, memory);
}

#[test]
fn a_client_that_opens_no_window_is_cut_and_holds_little() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            if request.target() == "/quick" {
                exchange.send(ok("quick"));
            } else {
                exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
                exchange.pour(100_000_000);
            }
        }
    });
    let (balancer, memory) = running("body_timeout = \"1s\"", &origin);
    let mut frames = Frames::at(balancer.address(), NO_WINDOW);
    for number in 0..100 {
        frames.send(HEADERS, END_STREAM | END_HEADERS, id(number), &get("/"));
    }
    for _ in 0..100 {
        assert!(frames.until(RST_STREAM).is_some());
    }
    balancer.logged(&["\"reason\":\"client_stalled\""]);
    assert_others_are_served(&balancer, memory);
}

#[test]
fn a_client_that_reads_nothing_of_what_it_has_asked_for_is_cut() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            let body = if request.target() == "/quick" { "quick".to_owned() } else { "a".repeat(60_000) };
            exchange.send(ok(&body));
        }
    });
    let (balancer, memory) = running("body_timeout = \"500ms\"\nkeep_alive_timeout = \"10m\"", &origin);
    // The widest windows, and a kernel that takes little.
    let before = balancer.descriptors();
    let mut frames = Frames(Client::slow_reader(&balancer));
    let settings = [0, 4, 0x7F, 0xFF, 0xFF, 0xFF];
    frames.0.send([super::harness::http2::PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat());
    frames.send(WINDOW_UPDATE, 0, 0, &0x7FFF_0000_u32.to_be_bytes());
    for number in 0..100 {
        frames.send(HEADERS, END_STREAM | END_HEADERS, id(number), &get("/"));
    }
    let left = || (balancer.descriptors() <= before && !origin.requests().is_empty()).then_some(());
    eventually(|| "the end of its connection".into(), left);
    assert_others_are_served(&balancer, memory);
}

#[test]
fn a_body_in_pieces_of_one_byte_costs_little_memory_when_its_worker_takes_none() {
    let origin = slow();
    let (balancer, memory) = running("", &origin);
    let mut frames = Frames::at(balancer.address(), &[]);
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    for number in 0..20 {
        frames.send(HEADERS, END_HEADERS, id(number), &block(&fields));
    }
    let byte: Vec<u8> = (0..20).flat_map(|number| frame(DATA, 0, id(number), b"a")).collect();
    let piece = byte.repeat(100);
    for _ in 0..2_000 {
        if !frames.try_send(&piece) {
            break;
        }
    }
    assert_others_are_served(&balancer, memory);
}
