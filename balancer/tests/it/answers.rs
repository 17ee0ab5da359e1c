//! Every rule of what a worker may answer, byte by byte: what reaches the client, and what becomes of the connection.

use super::harness::{Balancer, Client, Ended, Origin, ok};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn an_answer_that_is_not_strict_is_502_and_is_not_asked_for_again() {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\n01234\r\n0\r\n\r\n");
    let many: String = (0..1_025).map(|number| format!("X-{number}: 1\r\n")).collect();
    let cases = [
        head("Content-Length: 5\r\nTransfer-Encoding: chunked"),
        head("Transfer-Encoding: chunked\r\nContent-Length: 5"),
        head("Content-Length: 5\r\nContent-Length: 6"),
        head("Content-Length: 5\r\nContent-Length: 5"),
        head("Content-Length: 5, 6"),
        head("Content-Length: 5, 5"),
        head("Content-Length: +5"),
        head("Content-Length: -5"),
        head("Content-Length: 0x5"),
        head("Content-Length: 5 5"),
        head("Content-Length: 99999999999999999999"),
        head("Content-Length:"),
        head("Transfer-Encoding: gzip"),
        head("Transfer-Encoding: gzip, chunked"),
        head("Transfer-Encoding: chunked, gzip"),
        head("Transfer-Encoding: chunked, chunked"),
        head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        head("Transfer-Encoding: identity"),
        head("Transfer-Encoding:"),
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        head("X : 1"),
        head("no colon"),
        head(": 1"),
        head("X(: 1"),
        head("X: 1\r\n folded"),
        head("X: a\0b"),
        head("X: a\rb"),
        head("X: a\u{1}b"),
        head(many.trim_end()),
        head(&format!("X-Long: {}", "a".repeat(1 << 20))),
        "HTTP/1.1 20 OK\r\n\r\n".into(),
        "HTTP/1.1 2000 OK\r\n\r\n".into(),
        "HTTP/1.1 +20 OK\r\n\r\n".into(),
        "HTTP/1.1 abc OK\r\n\r\n".into(),
        "HTTP/1.1 099 OK\r\n\r\n".into(),
        "HTTP/1.1\r\n\r\n".into(),
        "HTTP/2.0 200 OK\r\n\r\n".into(),
        "HTTP/1.2 200 OK\r\n\r\n".into(),
        " HTTP/1.1 200 OK\r\n\r\n".into(),
        "200 OK\r\n\r\n".into(),
        "<html>hello</html>\r\n\r\n".into(),
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nsmuggled".into(),
        // Interim responses that are more than that.
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n01234HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into(),
        format!("{}{}", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(33), ok("late")),
        format!("{}{}", "HTTP/1.1 100 Continue\r\n\r\n".repeat(5_000), ok("late")),
    ];
    for answer in &cases {
        let origin = Origin::once(answer.clone());
        let balancer = Balancer::before(&[&origin]);
        for request in [GET, POST] {
            let mut client = Client::of(&balancer);
            client.send(request);
            let response = client.response();
            let start: String = answer.chars().take(100).collect();
            assert_eq!(response.status(), 502, "{start:?}: {response:?}");
            assert!(response.field("x-request-id").is_some() && response.ended == Ended::Framed, "{start:?}");
            client.send(request);
            assert_eq!(client.response().status(), 502, "the client's connection goes on: {start:?}");
        }
        assert_eq!(origin.requests().len(), 4, "once each: {:?}", answer.get(..60));
    }
}

#[test]
fn a_thousand_fields_pass_and_more_are_our_limit_and_no_illness() {
    for (count, status) in [(101, 200), (1_024, 200), (1_025, 502)] {
        let many: String = (1..count).map(|number| format!("X-{number}: 1\r\n")).collect();
        let origin = Origin::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{many}\r\nok"));
        let pool = format!("{}eject_after = 1\n", super::harness::pool_of(&[&origin]));
        let mut balancer = Balancer::start("", &pool);
        let mut client = Client::of(&balancer);
        for _ in 0..3 {
            let response = client.get("/");
            assert_eq!(response.status(), status, "{count}");
            let last = format!("x-{}", count - 1);
            assert_eq!(response.field(&last), (status == 200).then_some("1"), "{count}");
        }
        if status == 502 {
            balancer.logged(&["\"reason\":\"too_many_fields\""]);
            let said = balancer.await_stderr("more than 1,024 fields");
            assert!(!said.contains("ejected"), "{said}");
        }
    }
}

#[test]
fn a_few_interim_responses_are_let_pass_and_reach_nobody() {
    for interim in
        ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 199 X\r\n\r\n"]
    {
        for count in [1, 2, 32] {
            let origin = Origin::answering(format!("{}{}", interim.repeat(count), ok("final")));
            let balancer = Balancer::start("threads = 1", &super::harness::pool_of(&[&origin]));
            let mut client = Client::of(&balancer);
            for request in [GET, POST, "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", GET] {
                client.send(request);
                let response = client.response();
                assert_eq!((response.status(), response.text()), (200, "final".into()), "{count} of {interim:?}");
            }
            assert!(origin.connections() < 4, "one that is used again counts anew");
        }
    }
}

#[test]
fn an_interim_response_and_then_nothing_is_502() {
    let origin = Origin::once("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send(POST);
    assert_eq!(client.response().status(), 502);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn an_answer_without_a_body_has_none_whatever_comes() {
    let framed = ["Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n", "", "Content-Length: 0\r\n"];
    for (method, status) in
        [("GET", "204 No Content"), ("GET", "304 Not Modified"), ("HEAD", "200 OK"), ("HEAD", "404 Not Found")]
    {
        for fields in framed {
            for extra in ["", "evil", "4\r\nevil\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"] {
                let origin = Origin::answering(format!("HTTP/1.1 {status}\r\n{fields}\r\n{extra}"));
                let balancer = Balancer::start("threads = 1", &super::harness::pool_of(&[&origin]));
                let mut client = Client::of(&balancer);
                let case = format!("{method} {status} {fields:?} {extra:?}");
                for _ in 0..2 {
                    client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
                    let head = client.head();
                    assert!(head.line.ends_with(status), "{case}: {head:?}");
                    assert_eq!(
                        head.all("transfer-encoding").len()
                            + usize::from(status.starts_with("204") && head.length().is_some()),
                        0,
                        "{case}: {head:?}"
                    );
                }
                assert_eq!(origin.connections(), if extra.is_empty() { 1 } else { 2 }, "{case}");
                client.half_close();
                client.assert_closed();
            }
        }
    }
}

#[test]
fn trailers_of_a_response_say_nothing_that_belongs_to_the_head() {
    let names = "X-Sum, Content-Length, Transfer-Encoding, Host, Set-Cookie, Connection, Content-Type, X-Forwarded-For";
    let trailers: String = names.split(", ").map(|name| format!("{name}: 7\r\n")).collect();
    let origin = Origin::answering(format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: {names}\r\n\r\n2\r\nhi\r\n0\r\n{trailers}\r\n"
    ));
    for (te, keys) in [("TE: trailers\r\n", ""), ("TE: trailers\r\n", "slots = 1\n"), ("", ""), ("", "slots = 1\n")] {
        let balancer = Balancer::start("", &format!("{}{keys}", super::harness::pool_of(&[&origin])));
        let mut client = Client::of(&balancer);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{te}\r\n"));
        let response = client.response();
        let got: Vec<String> =
            response.trailers.iter().map(|(name, value)| format!("{}: {value}", name.to_lowercase())).collect();
        let expected: &[&str] = if te.is_empty() { &[] } else { &["x-sum: 7"] };
        assert_eq!((response.text(), got), ("hi".into(), expected.iter().map(ToString::to_string).collect()));
        assert!(response.all("set-cookie").is_empty());
    }
}

#[test]
fn bytes_behind_an_answer_kill_its_connection_and_reach_nobody() {
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for first in [ok("good"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n".into()] {
        for extra in [second, "x", "\r\n\r\nx"] {
            let origin = Origin::answering(format!("{first}{extra}"));
            let balancer = Balancer::start("threads = 1", &super::harness::pool_of(&[&origin]));
            let mut client = Client::of(&balancer);
            for _ in 0..3 {
                assert_eq!(client.get("/").text(), "good", "{first:?} and {extra:?}");
            }
            assert_eq!(origin.connections(), 3, "{first:?} and {extra:?}");
        }
    }
}

#[test]
fn a_malformed_chunk_of_a_worker_is_visibly_no_end() {
    for rest in
        ["x\r\n", "-1\r\n", "4\r\nevilx", "4\nevil\r\n", "0\r\nX y\r\n\r\n", "10000000000000000\r\n", "4;\n\r\n"]
    {
        let origin = Origin::once(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n{rest}"));
        let balancer = Balancer::before(&[&origin]);
        let response = Client::of(&balancer).get("/");
        assert!(response.status() == 200 && response.text().starts_with("good"), "{rest:?}: {response:?}");
        assert!(matches!(response.ended, Ended::Close | Ended::Reset), "{rest:?}: {response:?}");
        balancer.logged(&["\"reason\":\"truncated\""]);
    }
}
