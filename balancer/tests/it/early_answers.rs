//! Bytes behind a request: run in their turn, or never.

use super::harness::{Balancer, Client, Ended, Gate, Origin, ok, pool_of};

const LATER: &str = "GET /later HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn what_follows_a_body_that_was_not_read_is_never_run() {
    let inner = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n";
    let half = inner.len() / 2;
    let counted = format!("Content-Length: {}\r\n\r\n", inner.len());
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", inner.len());
    // The first part comes before the answer, the second behind it.
    for (head, first, second) in [
        (&counted, "", inner.to_owned()),
        (&counted, &inner[..half], inner[half..].to_owned()),
        (&counted, &inner[..inner.len() - 1], "\n".to_owned()),
        (&chunked, "", format!("{inner}\r\n0\r\n\r\n")),
        (&chunked, inner, "\r\n0\r\n\r\n".to_owned()),
    ] {
        for keys in ["", "slots = 1\nbuffer_request = \"0B\"\n"] {
            let origin = Origin::start(|mut exchange| {
                exchange.head();
                exchange.send(ok("early"));
                exchange.read_to_end();
            });
            let balancer = Balancer::start("threads = 1", &format!("{}{keys}", pool_of(&[&origin])));
            let mut client = Client::of(&balancer);
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}{first}"));
            let response = client.response();
            let case = format!("{first:?} and {second:?} with {keys:?}");
            assert_eq!((response.status(), response.text()), (200, "early".into()), "{case}");
            assert_eq!(response.field("connection"), Some("close"), "the client must not go on: {case}");
            let _ = client.try_send(format!("{second}{LATER}"));
            assert_eq!(client.rest(), (String::new(), Ended::Close), "{case}");
            assert_eq!(Client::of(&balancer).get("/next").text(), "early", "{case}");
            let targets: Vec<String> = origin.requests().iter().map(|request| request.target().to_owned()).collect();
            assert_eq!(targets, ["/", "/next"], "on a connection of its own: {case}");
            assert_eq!(origin.connections(), 2, "{case}");
            assert!(!origin.bytes(0).contains("later") && !origin.bytes(1).contains("later"), "{case}");
        }
    }
}

#[test]
fn what_comes_in_one_piece_with_a_body_is_run_behind_it_or_never_and_the_body_never() {
    let inner = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n";
    let origin = Origin::start(|mut exchange| {
        while let Some(head) = exchange.head() {
            exchange.send(ok(head.target()));
            exchange.body(head);
        }
    });
    let balancer = Balancer::before(&[&origin]);
    for round in 0..50 {
        let mut client = Client::of(&balancer);
        client.send(format!(
            "POST /{round} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}{LATER}",
            inner.len()
        ));
        let response = client.response();
        assert_eq!(response.text(), format!("/{round}"));
        if response.field("connection") == Some("close") {
            client.assert_closed();
        } else {
            assert_eq!(client.response().text(), "/later", "round {round}");
        }
    }
    assert!(origin.requests().iter().all(|request| request.target() != "/inner"));
}

#[test]
fn what_follows_a_body_that_the_worker_reads_is_run_in_order() {
    let origin = Origin::start(|mut exchange| {
        while let Some(head) = exchange.head() {
            // Begins to answer before it reads.
            exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let request = exchange.body(head);
            let text = format!("{} {}", request.target(), request.text());
            exchange.send(format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len()));
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf");
    client.until("\r\n\r\n");
    client.send("halfPOST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    let first = client.until("0\r\n\r\n");
    assert!(first.contains("/1 halfhalf\r\n"), "{first}");
    // An answer that began before the body was there ends the connection, or all is run in its turn.
    let (text, ended) = {
        client.half_close();
        client.rest()
    };
    assert_ne!(ended, Ended::Silence);
    let at = |part: &str| text.find(part);
    assert!(at("/2 two").is_none() == at("/3 ").is_none() && at("/2 two") <= at("/3 "), "{text}");
    let lines: Vec<String> = origin.requests().iter().map(|request| request.line.clone()).collect();
    let all = ["POST /1 HTTP/1.1", "POST /2 HTTP/1.1", "GET /3 HTTP/1.1"];
    assert!(lines.iter().zip(all).all(|(line, expected)| line == expected), "{lines:?}");
}

#[test]
fn a_client_that_goes_on_sending_behind_its_close_gets_the_whole_answer_and_a_clean_end() {
    for more in [LATER.repeat(3_000), "x".repeat(200_000)] {
        let gate = Gate::default();
        let go = gate.clone();
        let origin = Origin::start(move |mut exchange| {
            exchange.request();
            go.wait();
            exchange.send(ok("last"));
        });
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{more}"));
        gate.open();
        let (text, ended) = client.rest();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nlast"), "{text}");
        // A reset can overtake the answer (RFC 9112 §9.6).
        assert_eq!(ended, Ended::Close);
        assert_eq!(origin.requests().len(), 1);
    }
}
