//! Every message we send has exactly one framing, made by us.

use super::harness::{Balancer, Client, Ended, Message, Origin, ok};

#[test]
fn a_counted_body_stays_counted() {
    let (request, response) = echoed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello");
    assert_eq!((request.field("content-length"), request.field("transfer-encoding")), (Some("5"), None));
    assert_eq!((request.text(), response.text(), response.length()), ("hello".into(), "hello".into(), Some(5)));
}

#[test]
fn a_chunked_body_stays_chunked_and_loses_its_extensions() {
    let (request, _) = echoed(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    );
    assert!(request.is_chunked() && request.field("content-length").is_none());
    assert_eq!((request.text(), request.ended), ("hello world".into(), Ended::Framed));
}

#[test]
fn a_chunked_response_stays_chunked() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    );
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    for _ in 0..2 {
        let response = client.get("/");
        assert!(response.is_chunked() && response.length().is_none());
        assert_eq!((response.text(), response.ended), ("hello world".into(), Ended::Framed));
    }
    assert_eq!(origin.connections(), 1, "read to its end, so that the connection can be used again");
}

#[test]
fn any_method_keeps_its_body_and_framing() {
    for method in ["GET", "DELETE", "OPTIONS", "QUERY"] {
        let (request, _) = echoed(&format!("{method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"));
        assert_eq!((request.field("content-length"), request.text()), (Some("2"), "hi".into()), "{method}");
        let (request, _) = echoed(&format!(
            "{method} /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        ));
        assert!(request.is_chunked(), "{method}");
        assert_eq!(request.text(), "hi", "{method}");
    }
}

#[test]
fn a_head_request_keeps_its_body() {
    let origin = Origin::start(|mut exchange| {
        while exchange.request().is_some() && exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n") {}
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    assert_eq!(client.head().length(), Some(9));
    assert_eq!(origin.request().text(), "hi");
}

#[test]
fn an_empty_body_is_announced_as_it_was() {
    let (request, _) = echoed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((request.field("content-length"), request.field("transfer-encoding")), (Some("0"), None));
    let (request, _) = echoed("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((request.field("content-length"), request.field("transfer-encoding")), (None, None));
    let (request, _) = echoed("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!((request.text(), request.ended), (String::new(), Ended::Framed));
}

#[test]
fn trailers_of_a_request_are_passed_on_without_what_means_framing_or_identity() {
    let (request, _) = echoed(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Host, X-Forwarded-For\r\n\r\n\
         2\r\nhi\r\n0\r\nX-Sum: 7\r\nHost: evil\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
    );
    let trailers: Vec<_> = request.trailers.iter().map(|(name, value)| (name.to_lowercase(), value.as_str())).collect();
    assert_eq!(trailers, [("x-sum".to_owned(), "7")]);
    assert_eq!(request.all("host"), ["a"]);
}

#[test]
fn trailers_of_a_response_are_passed_on() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n",
    );
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    let response = client.response();
    let trailers: Vec<_> =
        response.trailers.iter().map(|(name, value)| (name.to_lowercase(), value.as_str())).collect();
    assert_eq!(trailers, [("x-sum".to_owned(), "7")]);
    let request = origin.request();
    assert_eq!((request.field("te"), request.field("connection")), (Some("trailers"), Some("te")));
}

#[test]
fn interim_responses_are_never_taken_for_the_final_one() {
    let origin = Origin::answering(
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    );
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = std::iter::repeat_with(|| client.response()).find(|response| response.status() >= 200).unwrap();
        assert_eq!((response.status(), response.text()), (200, "hi".into()));
    }
}

#[test]
fn a_body_cut_short_by_the_client_is_no_complete_request() {
    for (framing, part) in [("Content-Length: 10", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n")] {
        let origin = Origin::start(|mut exchange| {
            let head = exchange.head().unwrap();
            exchange.body(head);
            exchange.read_to_end();
        });
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{part}"));
        // Of a request whose client is gone before its head has left, the worker gets nothing.
        origin.await_requests(1);
        drop(client);
        assert_ne!(origin.await_end(), Ended::Silence);
        let request = origin.request();
        assert!(matches!(request.ended, Ended::Close | Ended::Reset), "{request:?}");
        balancer.logged(&["\"reason\":\"client_gone\"", "\"status\":499"]);
    }
}

#[test]
fn a_request_is_never_ended_by_close() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    // The older reading of HTTP/1.0 would take what follows for a body that lasts until the close.
    for (version, fields) in
        [("1.0", ""), ("1.0", "Connection: keep-alive\r\n"), ("1.1", "Connection: close\r\n"), ("1.1", "")]
    {
        let seen = origin.requests().len();
        let mut client = Client::of(&balancer);
        client.send(format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\nno body of anything\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status(), response.text()), (200, "1".into()), "{version} {fields:?}");
        let rest = client.rest().0;
        let kept = matches!((version, fields), ("1.0", "Connection: keep-alive\r\n") | ("1.1", ""));
        assert_eq!(rest.starts_with("HTTP/1.1 400 "), kept, "{version} {fields:?}: {rest}");
        let requests = origin.requests();
        assert_eq!(requests.len(), seen + 1, "{version} {fields:?}");
        let got = &requests[seen];
        assert!(got.ended == Ended::Framed && !got.is_chunked() && got.text().is_empty(), "{got:?}");
    }
    let bytes: String = (0..origin.connections()).map(|number| origin.bytes(number)).collect();
    assert!(!bytes.contains("no body"), "{bytes}");
}

#[test]
fn a_malformed_chunk_is_the_clients_fault() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.read_to_end();
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nxyz\r\n");
    assert_eq!(client.response().status(), 400);
    client.assert_closed();
    let request = origin.request();
    assert_ne!(request.ended, Ended::Framed, "{request:?}");
    balancer.logged(&["\"reason\":\"bad_body\"", "\"status\":400"]);
}

/// What a worker got, and its answer with the same body as it came to the client.
fn echoed(request: &str) -> (Message, Message) {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(ok(&request.text()));
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send(request);
    let response = client.response();
    assert_eq!(response.status(), 200, "{response:?}");
    (origin.request(), response)
}
