//! HTTP/2 without TLS: what goes to workers and what clients get is what HTTP/1.1 would have said.

use std::process::Command;

use bytes::Bytes;
use nix::sys::signal::Signal;

use super::harness::http2::{
    self, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Http2, PREFACE, RST_STREAM, SETTINGS, block,
};
use super::harness::{Balancer, Client, Gate, Origin, SOON, eventually, ok, pool_of};
use super::streaming::pattern;

const H2C: &str = "h2c = true";

fn before(origin: &Origin) -> Balancer {
    Balancer::start(H2C, &pool_of(&[origin]))
}

#[test]
fn a_request_reaches_a_worker_as_http_1_1_and_its_answer_the_client() {
    let origin = Origin::answering(
        "HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX-Own: A\r\nConnection: X-Gone\r\nX-Gone: 1\r\n\r\nhi",
    );
    let balancer = before(&origin);
    let mut client = Http2::at(balancer.address());
    let fields = [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("x-forwarded-for", "192.0.2.66")];
    let asked = client.ask("GET", "http://app.test:81/a?b", &fields, true);
    let answer = client.answer(asked);
    assert_eq!((answer.status, answer.text(), answer.field("x-own")), (200, "hi".into(), Some("A")));
    assert_eq!(
        (answer.field("content-length"), answer.field("x-gone"), answer.field("connection")),
        (Some("2"), None, None)
    );
    let request = origin.request();
    assert_eq!(request.line, "GET /a?b HTTP/1.1");
    assert_eq!((request.field("host"), request.field("cookie")), (Some("app.test:81"), Some("a=1; b=2")));
    assert_eq!((request.field("x-forwarded-for"), request.field("te")), (Some("127.0.0.1"), Some("trailers")));
    assert_eq!((request.field("content-length"), request.field("transfer-encoding")), (None, None));
    balancer.logged(&["\"status\":200", "\"version\":\"HTTP/2.0\""]);
}

#[test]
fn a_hundred_requests_at_once_on_one_connection_are_all_answered() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(ok(request.target()));
        }
    });
    let balancer = before(&origin);
    let mut client = Http2::at(balancer.address());
    let asked: Vec<_> = (0..100).map(|number| client.ask("GET", &format!("http://a/{number}"), &[], true)).collect();
    for (number, asked) in asked.into_iter().enumerate() {
        assert_eq!(client.answer(asked).text(), format!("/{number}"));
    }
}

#[test]
fn bodies_and_trailers_go_both_ways() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            let said = format!("{} {:?}", request.text(), request.trailers);
            exchange.send(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n{:x}\r\n{said}\r\n0\r\nX-Sum: 7\r\nX-Real-IP: 1\r\n\r\n",
                said.len()
            ));
        }
    });
    let balancer = before(&origin);
    let mut client = Http2::at(balancer.address());
    let fields = [("te", "trailers")];
    let answer = client.post("/", &fields, &[b"one ", b"two"], &[("x-mine", "1"), ("x-real-ip", "192.0.2.1")]);
    assert_eq!(answer.text(), "one two [(\"x-mine\", \"1\")]");
    assert_eq!((answer.trailers, answer.broken), (vec![("x-sum".to_owned(), "7".to_owned())], None));
    // A length that is said is passed on.
    let answer = client.post("/", &[("content-length", "3")], &[b"a", b"bc"], &[]);
    assert_eq!(answer.text(), "abc []");
    assert_eq!(answer.trailers, [], "who has not asked for trailers gets none");
    assert_eq!(origin.requests()[1].field("content-length"), Some("3"));
}

#[test]
fn large_bodies_go_through_whole_both_ways() {
    let body = pattern(3_000_000);
    let sent = body.clone();
    let origin = Origin::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            assert_eq!(request.body.len(), sent.len());
            exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()));
            exchange.send(&request.body);
        }
    });
    let balancer = before(&origin);
    let mut client = Http2::at(balancer.address());
    let answer = client.post("/", &[], &[&body], &[]);
    assert!(answer.body == body, "{} bytes", answer.body.len());
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    for (method, status, length) in
        [("HEAD", "200 OK", Some("5")), ("GET", "204 No Content", None), ("GET", "304 Not Modified", Some("5"))]
    {
        let length_field = if status.starts_with("204") { "" } else { "Content-Length: 5\r\n" };
        let origin = Origin::answering(format!("HTTP/1.1 {status}\r\n{length_field}\r\n"));
        let balancer = before(&origin);
        let mut client = Http2::at(balancer.address());
        for _ in 0..2 {
            let asked = client.ask(method, "http://a/", &[], true);
            let answer = client.answer(asked);
            assert_eq!(
                (answer.field("content-length"), answer.body.len(), answer.broken.as_deref()),
                (length, 0, None)
            );
        }
        assert_eq!(origin.connections(), 1);
    }
}

#[test]
fn what_is_wrong_with_a_request_is_answered_with_the_same_words() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("h2c = true\nbody_bytes_max = \"4B\"", &pool_of(&[&origin]));
    let mut client = Http2::at(balancer.address());
    for (method, target, fields, status, reason) in [
        ("GET", "http://app.test/", &[("host", "other.test")][..], 400, "bad_host"),
        ("GET", "/", &[], 400, "bad_host"),
        ("GET", "http://a,b/", &[], 400, "bad_host"),
        ("TRACE", "http://app.test/", &[], 501, "method_refused"),
        ("GET", "http://app.test/", &[("expect", "wonders")], 417, "bad_expectation"),
        ("GET", "http://app.test/", &[("x-own", " padded ")], 400, "bad_request"),
    ] {
        let asked = client.ask(method, target, fields, true);
        let answer = client.answer(asked);
        assert_eq!(answer.status, status, "{method} {target} {fields:?}");
        assert!(answer.text().contains(&format!("{status} ")) && answer.text().contains(reason), "{}", answer.text());
        balancer.logged(&[&format!("\"status\":{status}"), reason, answer.field("x-request-id").unwrap()]);
    }
    assert!(origin.requests().is_empty());
    let answer = client.post("/", &[], &[b"12345"], &[]);
    assert_eq!((answer.status, answer.text().contains("body_too_large")), (413, true));
    assert_eq!(client.get("/").text(), "1", "the connection goes on");
}

#[test]
fn fields_of_a_connection_and_malformed_heads_never_reach_a_worker() {
    let origin = Origin::named("1");
    let balancer = before(&origin);
    let good = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let with = |field: (&'static str, &'static str)| [&good[..], &[field]].concat();
    for fields in [
        with(("connection", "x-own")),
        with(("transfer-encoding", "chunked")),
        with(("keep-alive", "5")),
        with(("upgrade", "websocket")),
        with(("te", "gzip")),
        with(("X-Upper", "1")),
        with((":path", "/again")),
        with((":own", "1")),
        with((":status", "200")),
        good[1..].to_vec(),
        good[..3].to_vec(),
        vec![good[0], good[2], good[3]],
        [&[("x-own", "1")], &good[..]].concat(),
    ] {
        let mut frames = Frames::at(balancer.address(), &[]);
        frames.send(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields));
        let refused = loop {
            match frames.next() {
                None => break true,
                Some(frame) if frame.kind == RST_STREAM || frame.kind == http2::GOAWAY => break true,
                Some(frame) if frame.kind == HEADERS => break frame.payload[0] == 0x8c,
                Some(_) => {}
            }
        };
        assert!(refused, "{fields:?}");
    }
    for (path, is_method) in [("http://evil.test/", "GET"), ("*", "GET"), ("x", "GET")] {
        let mut frames = Frames::at(balancer.address(), &[]);
        let fields = [(":method", is_method), (":scheme", "http"), (":authority", "a"), (":path", path)];
        frames.send(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields));
        let refused = loop {
            match frames.next() {
                None => break true,
                Some(frame) if frame.kind == RST_STREAM => break true,
                // 400, of the static table.
                Some(frame) if frame.kind == HEADERS => break frame.payload[0] == 0x8c,
                Some(_) => {}
            }
        };
        assert!(refused, "{path}");
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
    assert_eq!(Client::of(&balancer).get("/").text(), "1");
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_is_no_complete_request() {
    for (said, sent) in [("5", &b"abc"[..]), ("2", b"abc")] {
        let seen = Gate::default();
        let told = seen.clone();
        let origin = Origin::start(move |mut exchange| {
            if let Some(head) = exchange.head() {
                let body = exchange.body(head);
                if body.text() == "abc" {
                    told.open();
                }
            }
        });
        let balancer = before(&origin);
        let mut frames = Frames::at(balancer.address(), &[]);
        let fields =
            [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("content-length", said)];
        frames.send(HEADERS, END_HEADERS, 1, &block(&fields));
        frames.send(DATA, END_STREAM, 1, sent);
        assert!(frames.until(RST_STREAM).is_some(), "{said}");
        balancer.logged(&["\"status\":499"]);
    }
}

#[test]
fn an_answer_that_breaks_off_is_a_reset() {
    let origin = Origin::start(|mut exchange| {
        if exchange.request().is_some() {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        }
    });
    let balancer = before(&origin);
    let answer = Http2::at(balancer.address()).get("/");
    assert_eq!((answer.status, answer.text()), (200, "only this".into()));
    assert!(answer.broken.is_some_and(|why| why.contains("reset") || why.contains("internal error")));
    balancer.logged(&["\"reason\":\"truncated\""]);
}

#[test]
fn a_client_that_takes_a_request_back_cancels_it_at_its_worker() {
    let origin = Origin::silent();
    let balancer = before(&origin);
    let mut client = Http2::at(balancer.address());
    let mut asked = client.ask("GET", "http://a/", &[], true);
    origin.await_requests(1);
    asked.body.send_reset(h2::Reason::CANCEL);
    origin.await_end();
    balancer.logged(&["\"status\":499", "\"reason\":\"client_gone\""]);
}

#[test]
fn a_connection_that_ends_cancels_all_of_its_requests() {
    let origin = Origin::silent();
    let balancer = before(&origin);
    let mut client = Http2::at(balancer.address());
    let asked: Vec<_> = (0..10).map(|_| client.ask("GET", "http://a/", &[], true)).collect();
    origin.await_requests(10);
    drop((asked, client));
    origin.await_ends(10);
}

#[test]
fn a_client_that_expects_it_is_told_to_go_on() {
    let origin = Origin::start(|mut exchange| {
        if let Some(head) = exchange.head() {
            assert_eq!(head.field("expect"), Some("100-continue"));
            exchange.send("HTTP/1.1 100 Continue\r\n\r\n");
            let body = exchange.body(head);
            exchange.send(ok(&body.text()));
        }
    });
    let balancer = before(&origin);
    let mut client = Http2::at(balancer.address());
    let mut asked = client.ask("POST", "http://a/", &[("expect", "100-continue")], false);
    let interim = client.run(std::future::poll_fn(|cx| asked.answer.poll_informational(cx)));
    assert_eq!(interim.unwrap().unwrap().status(), 100);
    asked.body.send_data(Bytes::from_static(b"now"), true).unwrap();
    assert_eq!(client.answer(asked).text(), "now");
}

#[test]
fn early_hints_go_to_a_client_that_loads_a_page() {
    let origin = Origin::answering(format!("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n{}", ok("page")));
    let balancer = before(&origin);
    let mut client = Http2::at(balancer.address());
    let mut asked = client.ask("GET", "http://a/", &[("sec-fetch-mode", "navigate")], true);
    let interim = client.run(std::future::poll_fn(|cx| asked.answer.poll_informational(cx))).unwrap().unwrap();
    assert_eq!((interim.status().as_u16(), interim.headers()["link"].as_bytes()), (103, &b"</a.css>"[..]));
    assert_eq!(client.answer(asked).text(), "page");
}

#[test]
fn an_answer_before_the_body_has_come_reaches_the_client() {
    let origin = Origin::start(|mut exchange| {
        if exchange.head().is_some() {
            exchange.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
            exchange.read_to_end();
        }
    });
    let balancer = before(&origin);
    let mut client = Http2::at(balancer.address());
    let mut asked = client.ask("POST", "http://a/", &[], false);
    asked.body.send_data(Bytes::from_static(b"some of it"), false).unwrap();
    let answer = client.answer(asked);
    assert_eq!((answer.status, answer.text()), (401, "no".into()));
    assert!(client.is_open());
}

#[test]
fn a_worker_that_switches_protocols_unasked_is_a_bad_gateway() {
    let origin =
        Origin::answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    let balancer = before(&origin);
    let answer = Http2::at(balancer.address()).get("/");
    assert_eq!((answer.status, answer.text().contains("unasked_upgrade")), (502, true));
}

#[test]
fn without_the_key_the_preface_is_a_request_of_another_version() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send(PREFACE);
    assert_eq!(client.response().status(), 505);
}

#[test]
fn a_preface_may_come_byte_by_byte_and_http_1_goes_on_beside_it() {
    let origin = Origin::named("1");
    let balancer = before(&origin);
    let mut client = Client::of(&balancer);
    for byte in PREFACE {
        client.send([*byte]);
    }
    client.send(http2::frame(SETTINGS, 0, 0, &[]));
    client.send(http2::frame(HEADERS, END_STREAM | END_HEADERS, 1, &http2::get("/")));
    let mut frames = Frames(client);
    assert_eq!(frames.until(DATA).unwrap().payload, b"1");
    let mut client = Client::of(&balancer);
    assert_eq!(client.get("/").text(), "1");
    // Only the beginning of a connection may be a preface.
    client.send(PREFACE);
    assert_eq!(client.response().status(), 505);
    for almost in ["PRI * HTTP/2.1\r\n\r\n", "PRIX / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\n\n"] {
        let mut client = Client::of(&balancer);
        client.send(almost);
        assert!(matches!(client.response().status(), 400 | 505), "{almost:?}");
    }
}

#[test]
fn who_sends_a_preface_and_no_request_is_gone_after_the_header_timeout() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("h2c = true\nheader_timeout = \"200ms\"", &pool_of(&[&origin]));
    for begin in [PREFACE, &PREFACE[..20]] {
        let mut client = Client::of(&balancer);
        client.send(begin);
        client.rest();
    }
    let mut frames = Frames::at(balancer.address(), &[]);
    assert_eq!(frames.goaway(), Some(0));
    // Half a head.
    let mut frames = Frames::at(balancer.address(), &[]);
    frames.send(HEADERS, 0, 1, &http2::get("/"));
    assert_eq!(frames.goaway(), Some(0));
}

#[test]
fn an_idle_connection_is_closed_with_a_word_and_one_with_a_request_is_not() {
    let release = Gate::default();
    let opened = release.clone();
    let origin = Origin::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            if request.target() == "/slow" {
                assert!(opened.wait());
            }
            exchange.send(ok("1"));
        }
    });
    let balancer = Balancer::start("h2c = true\nkeep_alive_timeout = \"200ms\"", &pool_of(&[&origin]));
    let mut slow = Http2::at(balancer.address());
    let asked = slow.ask("GET", "http://a/slow", &[], true);
    let mut frames = Frames::at(balancer.address(), &[]);
    frames.send(HEADERS, END_STREAM | END_HEADERS, 1, &http2::get("/"));
    assert_eq!(frames.goaway(), Some(0));
    release.open();
    assert_eq!(slow.answer(asked).text(), "1");
}

#[test]
fn a_stop_lets_requests_finish_and_says_that_no_more_are_taken() {
    let release = Gate::default();
    let opened = release.clone();
    let origin = Origin::start(move |mut exchange| {
        while exchange.request().is_some() {
            assert!(opened.wait());
            exchange.send(ok("finished"));
        }
    });
    let mut balancer = before(&origin);
    let mut client = Http2::at(balancer.address());
    let asked = client.ask("GET", "http://a/", &[], true);
    origin.await_requests(1);
    let mut idle = Frames::at(balancer.address(), &[]);
    assert_eq!(idle.next().unwrap().kind, SETTINGS);
    balancer.signal(Signal::SIGTERM);
    assert_eq!(idle.goaway(), Some(0));
    release.open();
    assert_eq!(client.answer(asked).text(), "finished");
    assert!(balancer.ended().success());
}

#[test]
fn a_request_longer_than_the_drain_is_cut_and_the_stop_is_over() {
    let origin = Origin::silent();
    let mut balancer = Balancer::start("h2c = true\ndrain_timeout = \"100ms\"", &pool_of(&[&origin]));
    let mut client = Http2::at(balancer.address());
    let asked = client.ask("GET", "http://a/", &[], true);
    origin.await_requests(1);
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
    assert!(client.answer(asked).broken.is_some());
}

#[test]
fn an_announced_client_may_speak_http_2() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("h2c = true\nproxy_protocol_from = [\"127.0.0.1\"]", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send("PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n");
    client.send([PREFACE, &http2::frame(SETTINGS, 0, 0, &[])].concat());
    client.send(http2::frame(HEADERS, END_STREAM | END_HEADERS, 1, &http2::get("/")));
    assert_eq!(Frames(client).until(DATA).unwrap().payload, b"1");
    assert_eq!(origin.request().field("x-forwarded-for"), Some("192.0.2.7"));
}

#[test]
fn slots_and_held_bodies_are_the_same_as_for_http_1() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(ok(&request.text()));
        }
    });
    let balancer = Balancer::start(H2C, &format!("{}slots = 1\n", pool_of(&[&origin])));
    let mut client = Http2::at(balancer.address());
    let asked: Vec<_> = (0..20)
        .map(|number| {
            let mut asked = client.ask("POST", "http://a/", &[], false);
            asked.body.send_data(Bytes::from(number.to_string()), true).unwrap();
            asked
        })
        .collect();
    for (number, asked) in asked.into_iter().enumerate() {
        assert_eq!(client.answer(asked).text(), number.to_string());
    }
    assert!(origin.requests().iter().all(|request| request.field("content-length").is_some()), "held whole");
}

#[test]
#[cfg_attr(not(has = "curl"), ignore = "needs curl")]
fn curl_speaks_it_with_prior_knowledge() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(ok(&request.text()));
        }
    });
    let balancer = before(&origin);
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--http2-prior-knowledge",
        "--max-time",
        &SOON.as_secs().to_string(),
        "-d",
        "hello",
        "-w",
        " %{http_version}",
    ]);
    let said = curl.arg(format!("http://{}/", balancer.address())).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "hello 2", "{}", String::from_utf8_lossy(&said.stderr));
}

#[test]
#[cfg_attr(not(has = "h2load"), ignore = "needs h2load")]
fn h2load_loses_no_request() {
    let origin = Origin::named("1");
    let balancer = before(&origin);
    let mut load = Command::new("h2load");
    load.args(["-n", "2000", "-c", "4", "-m", "50", &format!("http://{}/", balancer.address())]);
    let said = String::from_utf8_lossy(&load.output().unwrap().stdout).into_owned();
    assert!(said.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
}

#[test]
fn the_word_grpc_of_a_stranger_holds_no_worker_of_http1() {
    let origin = super::pressed::reading();
    let pool = super::slots::slots_of(&[&origin], &format!("{}buffer_request = \"16KiB\"\n", super::pressed::PATIENT));
    let balancer = Balancer::start("h2c = true", &pool);
    let mut stranger = Http2::at(balancer.address());
    let fields = [("content-type", "application/grpc"), ("content-length", "200000")];
    let mut upload = stranger.ask("POST", "http://a/up", &fields, false);
    upload.body.send_data(vec![b'x'; 40_000].into(), false).unwrap();
    eventually(|| "an upload that has the worker".into(), || (origin.connections() == 1).then_some(()));
    let mut others = super::slots::from(&balancer, "127.0.0.2");
    assert_eq!(others.get("/").status(), 200);
    balancer.logged(&["\"target\":\"/up\"", "\"reason\":\"slow_body\""]);
}
