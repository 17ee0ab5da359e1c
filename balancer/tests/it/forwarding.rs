//! Requests and responses go through as they are meant.

use std::process::Command;
use std::time::Instant;

use super::harness::{Balancer, Client, Ended, Gate, Origin, SOON, ok, pool_of};

#[test]
fn one_connection_alternates_between_two_endpoints() {
    let (one, two) = (Origin::named("server 1"), Origin::named("server 2"));
    let balancer = Balancer::before(&[&one, &two]);
    let mut client = Client::of(&balancer);
    let names: Vec<String> = (0..4).map(|_| client.get("/").text()).collect();
    assert_eq!(names, ["server 1", "server 2", "server 1", "server 2"]);
}

#[test]
fn four_curls_alternate_between_two_endpoints() {
    let (one, two) = (Origin::named("server 1"), Origin::named("server 2"));
    let balancer = Balancer::before(&[&one, &two]);
    let names: Vec<String> = (0..4).map(|_| curl(&balancer, &[]).0).collect();
    assert_eq!(names, ["server 1", "server 2", "server 1", "server 2"]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(ok(request.target()));
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    let requests: String = (0..20).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(requests);
    for number in 0..20 {
        assert_eq!(client.response().text(), format!("/{number}"));
    }
}

#[test]
fn pipelined_bodies_are_told_apart() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(ok(&request.text()));
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nonePOST / HTTP/1.1\r\nHost: a\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.response().text(), "one");
    assert_eq!(client.response().text(), "two");
    assert_eq!(client.response().text(), "");
}

#[test]
fn head_has_the_length_and_no_body() {
    let head_then_get = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Of: ";
            let body = if request.line.starts_with("HEAD") { "" } else { "hello" };
            exchange.send(format!("{head}{}\r\n\r\n{body}", &request.line[..4]));
        }
    });
    let balancer = Balancer::before(&[&head_then_get]);
    let mut client = Client::of(&balancer);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.head();
    assert_eq!((response.length(), response.field("x-of")), (Some(5), Some("HEAD")));
    assert_eq!(client.get("/").text(), "hello", "what follows is the next response");
    assert_eq!(head_then_get.connections(), 1);
}

#[test]
fn head_of_a_chunked_response_has_no_body_either() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client.head();
        assert_eq!(response.status(), 200);
        assert_ne!(response.length(), Some(0), "nobody said that the body is empty");
    }
}

#[test]
fn statuses_without_a_body_stay_without_one() {
    for status in ["204 No Content", "304 Not Modified"] {
        let origin = Origin::answering(format!("HTTP/1.1 {status}\r\nETag: \"x\"\r\n\r\n"));
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        for _ in 0..2 {
            let response = client.get("/");
            assert_eq!(
                (response.line.as_str(), response.field("etag")),
                (&*format!("HTTP/1.1 {status}"), Some("\"x\""))
            );
            assert_eq!(response.field("transfer-encoding"), None);
            assert!(matches!(response.length(), None | Some(0)), "{response:?}");
        }
        assert_eq!(origin.connections(), 1);
    }
}

#[test]
fn statuses_go_through_as_they_are() {
    for status in [200, 201, 206, 301, 404, 418, 500, 503, 599] {
        let origin = Origin::answering(format!("HTTP/1.1 {status} Own Words\r\nContent-Length: 2\r\n\r\nhi"));
        let balancer = Balancer::before(&[&origin]);
        let response = Client::of(&balancer).get("/");
        assert_eq!((response.status(), response.text()), (status, "hi".into()));
        assert_eq!(origin.requests().len(), 1, "not tried again: {status}");
    }
}

#[test]
fn an_unknown_method_goes_through() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("brew-X /pot HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    assert_eq!(origin.request().line, "brew-X /pot HTTP/1.1");
}

#[test]
fn server_sent_events_arrive_one_by_one() {
    let gate = Gate::default();
    let next = gate.clone();
    let origin = Origin::start(move |mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
        if next.wait() {
            exchange.send("data: 2\n\n");
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.head().is_chunked());
    // The second is not sent before the client has the first.
    client.until("data: 1\n\n");
    gate.open();
    client.until("data: 2\n\n");
    client.until("0\r\n\r\n");
}

#[test]
fn the_head_of_a_response_does_not_wait_for_its_body() {
    let gate = Gate::default();
    let next = gate.clone();
    let origin = Origin::start(move |mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        if next.wait() {
            exchange.send("hello");
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head();
    gate.open();
    assert_eq!(client.body(head).text(), "hello");
}

#[test]
fn a_request_body_does_not_wait_for_its_end() {
    let origin = Origin::start(|mut exchange| {
        let head = exchange.head().unwrap();
        exchange.until("first\r\n");
        exchange.send("HTTP/1.1 100 Continue\r\n\r\n");
        exchange.body(head);
        exchange.send(ok("all"));
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    super::harness::eventually(
        || format!("the first chunk at the endpoint: {:?}", origin.requests()),
        || (origin.connections() > 0 && origin.bytes(0).contains("first")).then_some(()),
    );
    client.send("4\r\nlast\r\n0\r\n\r\n");
    assert_eq!(client.response().text(), "all");
}

#[test]
fn a_client_that_expects_continue_is_told_when_the_worker_asks() {
    let gate = Gate::default();
    let ask = gate.clone();
    let origin = Origin::start(move |mut exchange| {
        let head = exchange.head().unwrap();
        assert_eq!(head.field("expect"), Some("100-continue"));
        if ask.wait() {
            exchange.send("HTTP/1.1 100 Continue\r\n\r\n");
            let request = exchange.body(head);
            exchange.send(ok(&request.text()));
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    origin.await_requests(1);
    gate.open();
    assert_eq!(client.response().line, "HTTP/1.1 100 Continue");
    client.send("body");
    assert_eq!(client.response().text(), "body");
}

#[test]
fn a_client_that_expects_continue_is_told_although_the_worker_ignores_it() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(ok(&request.text()));
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.response().status(), 100);
    client.send("body");
    assert_eq!(client.response().text(), "body");
}

#[test]
fn a_final_answer_instead_of_continue_reaches_the_client_and_no_body_becomes_a_request() {
    let origin = Origin::start(|mut exchange| {
        exchange.head();
        exchange.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
        exchange.read_to_end();
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 38\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status(), response.text()), (413, "no!".into()));
    // A client may send its body all the same: it must not be taken for a request.
    let _ = client.try_send("GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n");
    assert_eq!(client.rest(), (String::new(), Ended::Close));
    origin.await_end();
    assert_eq!(origin.requests().len(), 1);
    assert!(!origin.bytes(0).contains("smuggled"));
}

#[test]
fn an_http_1_0_client_is_not_told_to_continue() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.response().status(), 200);
}

#[test]
fn curl_uploads_with_an_expectation() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(ok(&request.body.len().to_string()));
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let file = balancer.directory().join("upload");
    std::fs::write(&file, vec![b'x'; 3_000_000]).unwrap();
    let data = format!("@{}", file.display());
    let (out, _) = curl(&balancer, &["-H", "Expect: 100-continue", "--data-binary", &data]);
    assert_eq!(out, "3000000");
    let (out, _) = curl(&balancer, &["-T", &file.display().to_string(), "-H", "Transfer-Encoding: chunked"]);
    assert_eq!(out, "3000000");
}

#[test]
fn curl_gets_a_small_answer_at_once() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    curl(&balancer, &[]);
    let begun = Instant::now();
    for _ in 0..5 {
        curl(&balancer, &["--http1.0"]);
    }
    // Five delayed acknowledgements of 40 ms would not be seen, a second of patience somewhere would.
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_client_that_only_half_closes_after_its_request_is_not_a_crash() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.half_close();
    // Answered, or taken for one that left: both are allowed, a hang is not.
    let (text, ended) = client.rest();
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert_ne!(ended, Ended::Silence);
    assert_eq!(Client::of(&balancer).get("/").status(), 200);
}

/// What curl wrote, and its exit code.
fn curl(balancer: &Balancer, arguments: &[&str]) -> (String, Option<i32>) {
    let url = format!("http://{}/", balancer.address());
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "15", "--noproxy", "*"]).args(arguments).arg(url);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn an_options_request_with_no_forwards_left_is_answered_here() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    client.send("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\n\r\n");
    assert_eq!(client.response().text(), "1");
    assert_eq!(origin.request().all("max-forwards"), ["0"]);
    assert_eq!(origin.requests().len(), 1);
}
