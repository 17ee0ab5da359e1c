//! Interim responses: 103 to whoever waits for a page, 100 to whoever asked.

use std::time::{Duration, Instant};

use super::harness::{Balancer, Client, Ended, Gate, Origin, SOON, ok, pool_of};

const NAVIGATES: &str = "GET / HTTP/1.1\r\nHost: a\r\nsec-fetch-mode: navigate\r\n\r\n";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nConnection: keep-alive, X-Hop\r\n\
                     Keep-Alive: timeout=5\r\nX-HOP: 1\r\nProxy-Connection: x\r\nLink: </b.js>\r\n\r\n";
/// The same without what is for one connection only.
const PASSED: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nLink: </b.js>\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[test]
fn early_hints_reach_who_waits_for_a_page_before_the_final_answer_is_there() {
    for keys in ["", "slots = 1\n"] {
        let [one, two] = [Gate::default(), Gate::default()];
        let gates = [one.clone(), two.clone()];
        let origin = Origin::start(move |mut exchange| {
            for gate in &gates {
                exchange.request();
                exchange.send(HINTS);
                gate.wait();
                exchange.send(format!("HTTP/1.1 103 Early Hints\r\nLink: </c>\r\n\r\n{}", ok("page")));
            }
        });
        let balancer = Balancer::start("threads = 1", &format!("{}{keys}", pool_of(&[&origin])));
        let mut client = Client::of(&balancer);
        for gate in [one, two] {
            client.send(NAVIGATES);
            assert_eq!(client.until("\r\n\r\n"), PASSED);
            gate.open();
            assert_eq!(client.until("\r\n\r\n"), "HTTP/1.1 103 Early Hints\r\nLink: </c>\r\n\r\n");
            let response = client.response();
            assert_eq!((response.status(), response.text()), (200, "page".into()));
            assert_eq!(response.all("link"), [""; 0], "of the final answer nothing is said twice");
        }
        assert_eq!(origin.connections(), 1, "and the connection is kept");
        balancer.logged(&["\"status\":200", "\"bytes\":4"]);
    }
}

#[test]
fn early_hints_reach_nobody_else() {
    let origin = Origin::answering(format!("{HINTS}{}", ok("page")));
    let balancer = Balancer::before(&[&origin]);
    for (version, field) in [
        ("1.1", ""),
        ("1.1", "Sec-Fetch-Mode: cors\r\n"),
        ("1.1", "Sec-Fetch-Mode: no-cors\r\n"),
        ("1.1", "Sec-Fetch-Dest: navigate\r\n"),
        ("1.0", "Sec-Fetch-Mode: navigate\r\n"),
    ] {
        let mut client = Client::of(&balancer);
        client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n{field}Connection: close\r\n\r\n"));
        let (text, ended) = client.rest();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\npage"), "{field}: {text}");
        assert!(!text.contains("HTTP/1.1 103") && !text.to_lowercase().contains("link"), "{field}: {text}");
        assert_eq!((text.matches("HTTP/1.").count(), ended), (1, Ended::Close), "{field}: {text}");
    }
}

#[test]
fn too_many_interim_responses_are_502_for_who_waits_for_a_page_too() {
    for interim in [HINTS, CONTINUE, "HTTP/1.1 102 Processing\r\n\r\n"] {
        let origin = Origin::once(format!("{}{}", interim.repeat(40), ok("late")));
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        for round in 1..3 {
            client.send(NAVIGATES);
            let mut passed = 0;
            let last = loop {
                let head = client.until("\r\n\r\n");
                if head != PASSED {
                    break head;
                }
                passed += 1;
            };
            assert!(last.starts_with("HTTP/1.1 502 ") && passed <= 32, "after {passed}: {last}");
            assert_eq!(passed > 0, interim == HINTS, "{passed} of {interim:?}");
            client.until("\nrequest id: ");
            client.until("\n");
            assert_eq!(origin.requests().len(), round, "not asked for again");
        }
    }
}

#[test]
fn early_hints_before_the_end_of_a_connection_are_followed_by_502() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send(HINTS);
        exchange.half_close();
        exchange.read_to_end();
    });
    let balancer = Balancer::start("", &format!("{}attempts_max = 1\n", pool_of(&[&origin])));
    let mut client = Client::of(&balancer);
    client.send(NAVIGATES);
    assert_eq!(client.until("\r\n\r\n"), PASSED);
    assert_eq!(client.response().status(), 502);
}

#[test]
fn the_workers_100_reaches_the_client_once_and_then_the_body_goes() {
    for framing in ["Content-Length: 4", "Transfer-Encoding: chunked"] {
        let origin = Origin::start(|mut exchange| {
            let head = exchange.head().unwrap();
            exchange.send(CONTINUE.repeat(2));
            let request = exchange.body(head);
            exchange.send(format!("{CONTINUE}{}", ok(&request.text())));
        });
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        let begun = Instant::now();
        client.send(format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nConnection: close\r\n{framing}\r\n\r\n"
        ));
        assert_eq!(client.until("\r\n\r\n"), CONTINUE);
        assert!(begun.elapsed() < SOON);
        client.send(if framing.ends_with('4') { "body" } else { "4\r\nbody\r\n0\r\n\r\n" });
        let (text, _) = client.rest();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nbody"), "no 100 more: {text}");
    }
}

#[test]
fn our_100_comes_after_a_while_and_only_once_though_the_workers_comes_too() {
    let origin = Origin::start(|mut exchange| {
        let head = exchange.head().unwrap();
        // Says nothing before it has the body, and then all at once.
        let request = exchange.body(head);
        exchange.send(format!("{CONTINUE}{}", ok(&request.text())));
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    let begun = Instant::now();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.until("\r\n\r\n"), CONTINUE);
    let waited = begun.elapsed();
    assert!(waited > Duration::from_millis(300), "the worker is to say it: {waited:?}");
    assert!(waited < SOON, "{waited:?}");
    client.send("body");
    let (text, _) = client.rest();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nbody"), "no 100 more: {text}");
}

#[test]
fn there_is_no_100_before_a_final_answer_that_came_instead() {
    let later = "GET /later HTTP/1.1\r\nHost: a\r\n\r\n";
    for (status, framing) in [
        ("200 OK", "Content-Length: 4"),
        ("401 Unauthorized", "Transfer-Encoding: chunked"),
        ("413 Too Large", "Content-Length: 99999999"),
    ] {
        let origin = Origin::start(move |mut exchange| {
            exchange.head();
            exchange.send(format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\nno!"));
            exchange.read_to_end();
        });
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n"));
        let head = client.until("\r\n\r\n");
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "the client must not go on: {head}");
        assert_eq!(client.until("no!"), "no!");
        // It takes the answer for leave to go on, without its body.
        let _ = client.try_send(later);
        assert_eq!(client.rest(), (String::new(), Ended::Close));
        origin.await_end();
        assert_eq!(origin.requests().len(), 1);
        assert!(!origin.bytes(0).contains("later"), "{}", origin.bytes(0));
    }
}
