//! Names of fields: those that go on keep spelling and order, ours are spelled as usual.

use super::harness::{Balancer, Client, Message, Origin, pool_of};

#[test]
fn what_goes_to_a_worker_keeps_its_spelling_and_its_order() {
    let (text, request) = to_worker(
        "",
        "POST /x HTTP/1.1\r\nhOsT: a\r\nX-SHOUTED: 1\r\nx-whispered:2\r\nCONTENT-length: 2\r\nx-MiXeD: \t3 \t\r\n\
         X-SHOUTED: 4\r\nX-Empty:\r\nConnection: X-Hop\r\nx-hop: 5\r\nsec-ch-UA: \"x\"; v=1\r\naccept: */*\r\n\r\nhi",
    );
    let own = "X-SHOUTED: 1\r\nx-whispered: 2\r\nx-MiXeD: 3\r\nX-SHOUTED: 4\r\nX-Empty: \r\nsec-ch-UA: \"x\"; v=1\r\n\
               accept: */*\r\n";
    assert!(text.contains(own), "{text}");
    assert_eq!(
        names(&request),
        "Host X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host Forwarded X-Request-Id X-Request-Start traceparent \
         X-SHOUTED x-whispered x-MiXeD X-SHOUTED X-Empty sec-ch-UA accept Content-Length Via"
    );
}

#[test]
fn what_we_say_to_a_worker_is_spelled_as_usual_whatever_the_client_wrote() {
    let end = "X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host Forwarded X-Request-Id X-Request-Start";
    for (fields, body, own) in [
        ("transfer-ENCODING: chunked\r\n", "0\r\n\r\n", "traceparent Transfer-Encoding"),
        ("content-length: 0\r\n", "", "traceparent Content-Length"),
        ("connection: UPGRADE\r\nupgrade: WebSocket\r\n", "", "traceparent Upgrade Connection"),
        ("connection: TE\r\nte: trailers\r\n", "", "traceparent te Connection"),
        ("x-forwarded-for: 1.1.1.1\r\nFORWARDED: for=x\r\nvia: 1.0 x\r\n", "", "traceparent via"),
        ("TraceParent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n", "", "TraceParent"),
        ("expect: 100-continue\r\ncontent-length: 2\r\n", "hi", "traceparent expect Content-Length"),
    ] {
        let (_, request) = to_worker("", &format!("POST / HTTP/1.1\r\nHOST: a\r\n{fields}\r\n{body}"));
        assert_eq!(names(&request), format!("Host {end} {own} Via"), "{fields}");
    }
    let trusted = "trusted_proxies = [\"127.0.0.0/8\"]";
    let (text, request) =
        to_worker(trusted, "GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-for: 1.1.1.1\r\nx-real-IP: 1.1.1.1\r\n\r\n");
    assert_eq!(
        names(&request),
        "Host X-Forwarded-For Forwarded X-Forwarded-Proto X-Forwarded-Host X-Request-Id X-Request-Start traceparent \
         x-real-IP Via"
    );
    assert!(text.contains("\r\nX-Forwarded-For: 1.1.1.1, 127.0.0.1\r\n"), "{text}");
}

#[test]
fn what_goes_to_a_client_keeps_its_spelling_and_its_order() {
    let own = "SERVER: x\r\nx-a: 1\r\nX-B: 2\r\nset-cookie: a=1\r\nx-A: 3\r\nSet-COOKIE: b=2\r\netag: \"q\"\r\n";
    for (framing, body, framed) in [
        ("content-LENGTH: 2\r\n", "hi", "Content-Length: 2\r\n"),
        ("TRANSFER-encoding: Chunked\r\n", "2\r\nhi\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n"),
    ] {
        let (first, second) = own.split_at(own.find("X-B").unwrap());
        let head = format!("{first}CONNECTION: x-hop\r\nX-HOP: 1\r\n{framing}{second}");
        let origin = Origin::answering(format!("HTTP/1.1 200 Fine By Me\r\n{head}\r\n{body}"));
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        for _ in 0..2 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let head = client.until("\r\n\r\n");
            assert!(head.starts_with(&format!("HTTP/1.1 200 Fine By Me\r\n{own}")), "{head}");
            let ours = head.split_once("etag: \"q\"\r\n").unwrap().1;
            assert!(ours.starts_with("Date: ") && ours.ends_with(&format!(" GMT\r\n{framed}\r\n")), "{head}");
            client.until(if framed.starts_with('T') { "2\r\nhi\r\n0\r\n\r\n" } else { "hi" });
        }
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(client.rest().0.contains(&format!("{framed}Connection: close\r\n\r\n")));
    }
}

#[test]
fn our_own_answers_are_spelled_as_usual() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("", &format!("{}[[route]]\npath = \"/x\"\npool = \"app\"\n", pool_of(&[&origin])));
    let mut client = Client::of(&balancer);
    assert_eq!(names(&client.get("/")), "Content-Type X-Request-Id Date Content-Length");
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(names(&client.response()), "Content-Type X-Request-Id Date Content-Length Connection");
    let mut client = Client::of(&balancer);
    client.send("nonsense\r\n\r\n");
    assert_eq!(names(&client.response()), "Content-Type Content-Length X-Request-Id Connection");
}

#[test]
fn trailers_keep_their_spelling_both_ways() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-SUM: 7\r\nX-Other: 8\r\n\r\n",
    );
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-Sum: 7\r\n\r\n",
    );
    assert!(client.until("\r\n0\r\nx-SUM: 7\r\nX-Other: 8\r\n\r\n").contains("\r\n2\r\nhi"));
    let text = origin.bytes(0);
    assert!(text.ends_with("\r\n\r\n2\r\nhi\r\n0\r\nx-Sum: 7\r\n\r\n"), "{text}");
}

/// What a worker gets for a request: all bytes, and the request in them.
fn to_worker(top: &str, request: &str) -> (String, Message) {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 204 No Content\r\n\r\n");
    });
    let balancer = Balancer::start(top, &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send(request);
    client.until("\r\n\r\n");
    let request = origin.request();
    (origin.bytes(0), request)
}

/// Names as they came.
fn names(message: &Message) -> String {
    message.fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
}
