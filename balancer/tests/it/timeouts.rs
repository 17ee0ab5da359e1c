//! Every wait has an end, with its own status and reason.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::harness::{Balancer, Client, Deaf, Ended, Gate, Origin, eventually, ok, pool_at, pool_of};

/// What the tests configure.
const SHORT: Duration = Duration::from_millis(300);
/// What a busy machine may add to it.
const SLACK: Duration = Duration::from_secs(4);

#[test]
fn a_slow_header_is_408() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("header_timeout = \"300ms\"", &pool_of(&[&origin]));
    let begun = Instant::now();
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHo");
    assert_eq!(client.response().status(), 408);
    in_time(begun, SHORT);
    client.assert_closed();
    balancer.logged(&["\"status\":408", "\"reason\":\"slow_header\""]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a client that is slow on purpose")]
fn a_header_of_one_byte_now_and_then_is_408_too() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("header_timeout = \"300ms\"", &pool_of(&[&origin]));
    let begun = Instant::now();
    let mut client = Client::of(&balancer);
    let mut drip = "GET / HTTP/1.1\r\nX: ".bytes().chain(std::iter::repeat(b'a'));
    // Each byte comes long before the limit; the whole header does not.
    while begun.elapsed() < SHORT + SHORT / 2 && client.try_send([drip.next().unwrap()]).is_ok() {
        std::thread::sleep(SHORT / 10);
    }
    assert_eq!(client.response().status(), 408);
    in_time(begun, SHORT);
    assert_eq!(Client::of(&balancer).get("/").status(), 200, "nobody else is concerned");
}

#[test]
fn a_slow_body_is_408_and_no_complete_request() {
    for (framing, part) in [("Content-Length: 9", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")] {
        let origin = Origin::start(|mut exchange| {
            exchange.request();
            exchange.read_to_end();
        });
        let balancer = Balancer::start("body_timeout = \"300ms\"", &pool_of(&[&origin]));
        let begun = Instant::now();
        let mut client = Client::of(&balancer);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{part}"));
        assert_eq!(client.response().status(), 408);
        in_time(begun, SHORT);
        client.assert_closed();
        balancer.logged(&["\"status\":408", "\"reason\":\"slow_body\""]);
        assert_ne!(origin.request().ended, Ended::Framed);
    }
}

#[test]
fn a_body_below_the_rate_floor_is_cut_after_ten_seconds() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.read_to_end();
    });
    let balancer = Balancer::before(&[&origin]);
    let begun = Instant::now();
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n");
    // Never silent for long, and far below 500 bytes a second.
    while begun.elapsed() < Duration::from_secs(14) && origin.ends() == 0 && client.try_send("x").is_ok() {
        pause(SHORT);
    }
    assert_eq!(client.response().status(), 408);
    in_time(begun, Duration::from_secs(10));
    balancer.logged(&["\"status\":408", "\"reason\":\"slow_body\""]);
}

#[test]
fn an_idle_connection_is_closed_silently() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("keep_alive_timeout = \"300ms\"", &pool_of(&[&origin]));
    let begun = Instant::now();
    let mut fresh = Client::of(&balancer);
    let mut used = Client::of(&balancer);
    assert_eq!(used.get("/").status(), 200);
    fresh.assert_closed();
    used.assert_closed();
    in_time(begun, SHORT);
}

#[test]
fn a_client_that_reads_nothing_is_cut() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
        exchange.pour(67_108_864);
        exchange.read_to_end();
    });
    let balancer = Balancer::start("body_timeout = \"300ms\"", &pool_of(&[&origin]));
    let begun = Instant::now();
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.await_end();
    in_time(begun, SHORT);
    balancer.logged(&["\"reason\":\"client_stalled\"", "\"status\":200"]);
    let head = client.head();
    assert!(matches!(client.body(head).ended, Ended::Close | Ended::Reset), "visibly truncated");
}

#[test]
fn an_endpoint_that_does_not_answer_is_504_and_is_let_go() {
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"] {
        let origin = Origin::silent();
        let balancer = Balancer::start("", &format!("{}response_timeout = \"300ms\"\n", pool_of(&[&origin])));
        let begun = Instant::now();
        let mut client = Client::of(&balancer);
        client.send(request);
        assert_eq!(client.response().status(), 504);
        in_time(begun, SHORT);
        origin.await_end();
        assert_eq!(origin.requests().len(), 1);
        balancer.logged(&["\"status\":504", "\"reason\":\"response_timeout\"", "\"attempts\":1"]);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status(), 504, "the client's connection goes on");
    }
}

#[test]
fn a_response_timeout_begins_when_the_request_has_been_sent() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send(ok("1"));
    });
    let balancer = Balancer::start("", &format!("{}response_timeout = \"300ms\"\n", pool_of(&[&origin])));
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    for byte in ["b", "o", "d", "y"] {
        pause(SHORT / 2);
        client.send(byte);
    }
    assert_eq!(client.response().status(), 200);
}

#[test]
fn silence_in_the_middle_of_a_response_cuts_the_client_visibly() {
    for (framing, part) in [("Content-Length: 9", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")] {
        let origin = Origin::start(move |mut exchange| {
            exchange.request();
            exchange.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{part}"));
            exchange.read_to_end();
        });
        let balancer = Balancer::start("", &format!("{}idle_timeout = \"300ms\"\n", pool_of(&[&origin])));
        let begun = Instant::now();
        let response = Client::of(&balancer).get("/");
        in_time(begun, SHORT);
        assert_eq!((response.status(), response.text()), (200, "half".into()));
        assert!(matches!(response.ended, Ended::Close | Ended::Reset), "{response:?}");
        origin.await_end();
        balancer.logged(&["\"status\":200", "\"reason\":\"idle_timeout\"", "\"bytes\":4"]);
    }
}

#[test]
fn a_response_that_keeps_coming_is_not_cut() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\n\r\n");
        for _ in 0..6 {
            pause(SHORT / 2);
            exchange.send("x");
        }
    });
    let pool = format!("{}idle_timeout = \"300ms\"\nresponse_timeout = \"300ms\"\n", pool_of(&[&origin]));
    let balancer = Balancer::start("body_timeout = \"300ms\"", &pool);
    let response = Client::of(&balancer).get("/");
    assert_eq!((response.text(), response.ended), ("xxxxxx".into(), Ended::Framed));
}

#[test]
fn an_endpoint_that_takes_no_request_body_is_504() {
    let release = Gate::default();
    let go = release.clone();
    let origin = Origin::start(move |mut exchange| {
        exchange.head();
        // Reads nothing on: the buffers fill, and the upload stands still.
        go.wait();
    });
    let pool = format!("{}idle_timeout = \"300ms\"\n", pool_of(&[&origin]));
    let balancer = Balancer::start("", &pool);
    let begun = Instant::now();
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\n");
    let piece = vec![b'a'; 1 << 20];
    // Until it is cut, which is an error here, or the answer is there to be read.
    let sent = (0..64).take_while(|_| client.try_send(&piece).is_ok()).count();
    in_time(begun, SHORT);
    assert!(sent < 64, "all of it went somewhere");
    balancer.logged(&["\"status\":504", "\"reason\":\"request_stalled\""]);
    release.open();
}

#[test]
fn an_endpoint_that_accepts_no_connection_is_left_in_time() {
    let deaf = Deaf::start();
    let pool = format!("{}connect_timeout = \"300ms\"\nattempts_max = 1\n", pool_at(&[deaf.address()]));
    let balancer = Balancer::start("", &pool);
    let begun = Instant::now();
    assert_eq!(Client::of(&balancer).get("/").status(), 502);
    in_time(begun, SHORT);
    balancer.logged(&["\"status\":502", "\"reason\":\"connect_timeout\""]);
}

#[test]
fn after_a_connect_timeout_another_endpoint_serves_any_method() {
    let (deaf, origin) = (Deaf::start(), Origin::named("1"));
    let pool = format!("{}connect_timeout = \"300ms\"\n", pool_at(&[deaf.address(), origin.address()]));
    let balancer = Balancer::start("", &pool);
    for _ in 0..2 {
        let mut client = Client::of(&balancer);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(client.response().status(), 200);
    }
    balancer.logged(&["\"attempts\":2", "\"status\":200"]);
}

#[test]
fn the_whole_request_has_a_limit_over_all_attempts() {
    let origin = Origin::silent();
    let pool = format!("{}request_timeout = \"300ms\"\n", pool_of(&[&origin]));
    let balancer = Balancer::start("", &pool);
    let begun = Instant::now();
    assert_eq!(Client::of(&balancer).get("/").status(), 504);
    in_time(begun, SHORT);
    balancer.logged(&["\"status\":504", "\"reason\":\"request_timeout\""]);
}

#[test]
fn the_whole_request_has_a_limit_while_connecting_too() {
    let deaf = Deaf::start();
    let pool = format!("{}request_timeout = \"300ms\"\nconnect_timeout = \"60s\"\n", pool_at(&[deaf.address()]));
    let balancer = Balancer::start("", &pool);
    let begun = Instant::now();
    assert_eq!(Client::of(&balancer).get("/").status(), 504);
    in_time(begun, SHORT);
    balancer.logged(&["\"status\":504", "\"reason\":\"request_timeout\""]);
}

#[test]
fn the_whole_request_has_a_limit_in_the_middle_of_the_response_too() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\n\r\n");
        while exchange.send("x") {
            pause(SHORT / 10);
        }
    });
    let balancer = Balancer::start("", &format!("{}request_timeout = \"300ms\"\n", pool_of(&[&origin])));
    let begun = Instant::now();
    let response = Client::of(&balancer).get("/");
    in_time(begun, SHORT);
    assert!(matches!(response.ended, Ended::Close | Ended::Reset), "{response:?}");
    balancer.logged(&["\"status\":200", "\"reason\":\"request_timeout\""]);
}

#[test]
fn a_pipelined_request_that_stays_incomplete_holds_its_connection_no_longer_than_another() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("header_timeout = \"300ms\"", &pool_of(&[&origin]));
    let begun = Instant::now();
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT");
    assert_eq!(client.response().status(), 200);
    assert_eq!(client.response().status(), 408);
    in_time(begun, SHORT);
}

#[test]
fn a_program_that_was_suspended_takes_nobody_for_late_who_was_not() {
    let gate = Gate::default();
    let answer = gate.clone();
    let origin = Origin::start(move |mut exchange| {
        while let Some(head) = exchange.head() {
            let waits = head.target() == "/answer" || head.target() == "/rest";
            let request = exchange.body(head);
            if request.target() == "/rest" {
                exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
            }
            if waits {
                answer.wait();
            }
            exchange.send(if request.target() == "/rest" { "lf".to_owned() } else { ok(&request.text()) });
        }
    });
    let limit = Duration::from_secs(5);
    let top =
        ["header_timeout", "body_timeout", "keep_alive_timeout"].map(|name| format!("{name} = \"5s\"\n")).concat();
    let pool = format!("{}response_timeout = \"5s\"\nidle_timeout = \"5s\"\n", pool_of(&[&origin]));
    let balancer = Balancer::start(&top, &pool);
    // On a machine so busy that the first are nearly late when the last has sent its part, it has to be done again.
    let mut clients = eventually(
        || format!("all sent well within {limit:?}"),
        || {
            let (begun, seen) = (Instant::now(), origin.requests().len());
            let mut clients: Vec<[Client; 5]> =
                (0..4).map(|_| std::array::from_fn(|_| Client::of(&balancer))).collect();
            for [header, body, idle, answer, rest] in &mut clients {
                assert_eq!(idle.get("/").status(), 200);
                header.send("GET / HTTP/1.1\r\nHo");
                body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nha");
                answer.send("GET /answer HTTP/1.1\r\nHost: a\r\n\r\n");
                rest.send("GET /rest HTTP/1.1\r\nHost: a\r\n\r\n");
            }
            origin.await_requests(seen + 4 * clients.len());
            balancer.signal(Signal::SIGSTOP);
            if begun.elapsed() < limit / 2 {
                return Some(clients);
            }
            balancer.signal(Signal::SIGCONT);
            None
        },
    );
    // Everybody does in time what is waited for; only we are away for longer than any limit.
    for [header, body, idle, ..] in &mut clients {
        header.send("st: a\r\n\r\n");
        body.send("lf");
        idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    gate.open();
    pause(limit + Duration::from_secs(1));
    balancer.signal(Signal::SIGCONT);
    for (number, [header, body, idle, answer, rest]) in clients.iter_mut().enumerate() {
        assert_eq!(header.response().status(), 200, "header {number}");
        assert_eq!(body.response().text(), "half", "body {number}");
        assert_eq!(idle.response().status(), 200, "idle {number}");
        assert_eq!(answer.response().status(), 200, "answer {number}");
        assert_eq!(rest.response().text(), "half", "rest {number}");
    }
}

fn in_time(begun: Instant, limit: Duration) {
    let took = begun.elapsed();
    assert!(took >= limit.mul_f32(0.9) && took < limit + SLACK, "{took:?}");
}

#[expect(clippy::disallowed_methods, reason = "a peer that is slow on purpose")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[test]
fn an_answer_to_a_body_that_was_not_read_closes_the_connection() {
    let balancer = Balancer::start(
        "",
        "[pool.app]\nendpoints = [\"unix:/nowhere/at.all\"]\n[[route]]\npath = \"/app\"\npool = \"app\"\n",
    );
    for (target, status) in [("/none", 404), ("/app", 502)] {
        let mut client = Client::of(&balancer);
        client.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"));
        let response = client.response();
        assert_eq!((response.status(), response.field("connection")), (status, Some("close")));
        client.assert_closed();
    }
}

#[test]
fn a_client_that_takes_nothing_is_cut_though_the_time_for_the_whole_request_is_over() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
        exchange.pour(67_108_864);
    });
    let pool = format!("{}request_timeout = \"1s\"\n", pool_of(&[&origin]));
    let balancer = Balancer::start("body_timeout = \"2s\"", &pool);
    let mut client = Client::slow_reader(&balancer);
    client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    // Written when the connection is let go.
    balancer.logged(&["\"target\":\"/large\"", "\"reason\":\"request_timeout\""]);
}
