//! Every rule of what a client may send, byte by byte: what it is told, and what a worker got of it.

use super::harness::{Balancer, Client, Ended, Message, Origin, eventually, ok, pool_of};

/// What becomes of a request.
enum Fate {
    /// Refused with this status and reason, and the connection closed; no byte reaches a worker.
    Refused(u16, &'static str),
    /// The same, but its head may have gone on before the fault in its body came; nobody gets a complete request.
    Cut(u16, &'static str),
    /// Forwarded: the request line a worker gets, `name: value` of fields it gets exactly so, `-name` of those it does not
    /// get, and the body.
    Forwarded(&'static str, &'static [&'static str], &'static str),
}

use Fate::{Cut, Forwarded, Refused};

const HOST: &str = "Host: a\r\n";

#[test]
fn the_request_line_is_strict() {
    let line = |line: &str| format!("{line}\r\n{HOST}\r\n");
    let long = format!("GET /{} HTTP/1.1", "a".repeat(9_000));
    judge(&[
        (line("GET / HTTP/1.1"), Forwarded("GET / HTTP/1.1", &["host: a"], "")),
        (line("GET / HTTP/1.0"), Forwarded("GET / HTTP/1.1", &["host: a"], "")),
        (line("\r\n\r\nGET / HTTP/1.1"), Forwarded("GET / HTTP/1.1", &["host: a"], "")),
        (line("bReW!#$%&'*+-.^_`|~9 /pot HTTP/1.1"), Forwarded("bReW!#$%&'*+-.^_`|~9 /pot HTTP/1.1", &[], "")),
        (line("CONNECT a:80 HTTP/1.1"), Refused(501, "method_refused")),
        (line("TRACE / HTTP/1.1"), Refused(501, "method_refused")),
        (line("TRACE / HTTP/1.1\r\nMax-Forwards: 0"), Refused(501, "method_refused")),
        (line("GE(T / HTTP/1.1"), Refused(400, "bad_request")),
        (line(" GET / HTTP/1.1"), Refused(400, "bad_request")),
        (line("G\0T / HTTP/1.1"), Refused(400, "bad_request")),
        (line("GET  / HTTP/1.1"), Refused(400, "bad_request")),
        (line("GET /  HTTP/1.1"), Refused(400, "bad_request")),
        (line("GET / HTTP/1.1 "), Refused(400, "bad_request")),
        (line("GET\t/ HTTP/1.1"), Refused(400, "bad_request")),
        (line("GET /\tHTTP/1.1"), Refused(400, "bad_request")),
        (line("GET\u{b}/ HTTP/1.1"), Refused(400, "bad_request")),
        (line("GET /\u{b}HTTP/1.1"), Refused(400, "bad_request")),
        (line("GET /\rHTTP/1.1"), Refused(400, "bad_request")),
        (line("GET / HTTP/1.1\r"), Refused(400, "bad_request")),
        (line("GET /"), Refused(400, "bad_request")),
        (line("GET"), Refused(400, "bad_request")),
        (line("GET / HTTP/1.2"), Refused(505, "bad_version")),
        (line("GET / HTTP/2.0"), Refused(505, "bad_version")),
        (line("GET / HTTP/3.0"), Refused(505, "bad_version")),
        (line("GET / HTTP/0.9"), Refused(505, "bad_version")),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), Refused(505, "bad_version")),
        (line("GET / HTTP/11"), Refused(400, "bad_request")),
        (line("GET / HTTP/1.10"), Refused(400, "bad_request")),
        (line("GET / http/1.1"), Refused(400, "bad_request")),
        (line("GET / HTTPS/1.1"), Refused(400, "bad_request")),
        (line("GET / HTTP/+1.1"), Refused(400, "bad_request")),
        (line(&long), Refused(414, "target_too_long")),
        (format!("GET /{}", "a".repeat(9_000)), Refused(414, "target_too_long")),
        // A lone LF ends no line.
        (format!("GET / HTTP/1.1\n{HOST}\r\n"), Refused(400, "bad_request")),
        ("GET / HTTP/1.1\nHost: a\n\n".into(), Refused(400, "bad_request")),
    ]);
}

#[test]
fn a_target_has_one_of_the_forms_for_a_gateway() {
    let line = |line: &str| format!("{line} HTTP/1.1\r\n{HOST}\r\n");
    judge(&[
        (line("GET /a?b=c&d"), Forwarded("GET /a?b=c&d HTTP/1.1", &["host: a"], "")),
        (line("GET /%2e%2e/a//b/../c/./?q=%00"), Forwarded("GET /%2e%2e/a//b/../c/./?q=%00 HTTP/1.1", &[], "")),
        (line("GET /a?b?c/d"), Forwarded("GET /a?b?c/d HTTP/1.1", &[], "")),
        (line("GET http://b.test:81/x?y"), Forwarded("GET /x?y HTTP/1.1", &["host: b.test:81"], "")),
        (line("GET https://b.test/x"), Forwarded("GET /x HTTP/1.1", &["host: b.test"], "")),
        (line("GET HTTP://b.test?y"), Forwarded("GET /?y HTTP/1.1", &["host: b.test"], "")),
        (line("GET http://b.test"), Forwarded("GET / HTTP/1.1", &["host: b.test"], "")),
        (line("OPTIONS *"), Forwarded("OPTIONS * HTTP/1.1", &["host: a"], "")),
        (line("OPTIONS http://b.test:81"), Forwarded("OPTIONS * HTTP/1.1", &["host: b.test:81"], "")),
        (line("OPTIONS http://b.test/"), Forwarded("OPTIONS / HTTP/1.1", &["host: b.test"], "")),
        (line("OPTIONS http://b.test?x"), Forwarded("OPTIONS /?x HTTP/1.1", &["host: b.test"], "")),
        (line("GET *"), Refused(400, "bad_target")),
        (line("GET a"), Refused(400, "bad_target")),
        (line("GET a:80"), Refused(400, "bad_target")),
        (line("OPTIONS a:80"), Refused(400, "bad_target")),
        (line("GET ftp://b.test/"), Refused(400, "bad_target")),
        (line("GET http://u@b.test/"), Refused(400, "bad_target")),
        (line("GET http://u:p@b.test/"), Refused(400, "bad_target")),
        (line("GET http:///x"), Refused(400, "bad_")),
        (line("GET http:/x"), Refused(400, "bad_")),
        (line("GET //"), Forwarded("GET // HTTP/1.1", &[], "")),
        (line("GET /a#b"), Refused(400, "bad_target")),
        (line("GET http://b.test/#b"), Refused(400, "bad_target")),
        (line("GET /a\0b"), Refused(400, "bad_request")),
        (line("GET /a\u{1}b"), Refused(400, "bad_request")),
        (line("GET /a\u{7f}b"), Refused(400, "bad_")),
        (line("GET /a b"), Refused(400, "bad_request")),
        ("GET http://b.test/ HTTP/1.1\r\n\r\n".into(), Refused(400, "bad_host")),
        ("GET http://b.test/ HTTP/1.1\r\nHost: \r\n\r\n".into(), Refused(400, "bad_host")),
        ("GET http://b.test/ HTTP/1.1\r\nHost: a\r\nHost: b.test\r\n\r\n".into(), Refused(400, "bad_host")),
        ("GET http://b.test/ HTTP/1.1\r\nHost: x y\r\n\r\n".into(), Refused(400, "bad_host")),
    ]);
}

#[test]
fn fields_are_strict_and_no_byte_of_another_reading_goes_on() {
    let fields = |fields: &str| format!("GET / HTTP/1.1\r\n{HOST}{fields}\r\n\r\n");
    let many = |count| (0..count).map(|number| format!("X-{number}: 1")).collect::<Vec<_>>().join("\r\n");
    judge(&[
        (fields("X : 1"), Refused(400, "bad_request")),
        (fields("X\t: 1"), Refused(400, "bad_request")),
        (fields("no colon"), Refused(400, "bad_request")),
        (fields(": 1"), Refused(400, "bad_request")),
        (fields("X(Y): 1"), Refused(400, "bad_request")),
        (fields("X\u{b}: 1"), Refused(400, "bad_request")),
        (fields("Xé: 1"), Refused(400, "bad_request")),
        (fields("X\0: 1"), Refused(400, "bad_request")),
        (fields("X: 1\r\n folded"), Refused(400, "bad_request")),
        (fields("X: 1\r\n\tfolded"), Refused(400, "bad_request")),
        (format!("GET / HTTP/1.1\r\n X: 1\r\n{HOST}\r\n"), Refused(400, "bad_request")),
        (fields("X: a\0b"), Refused(400, "bad_request")),
        (fields("X: a\rb"), Refused(400, "bad_request")),
        (fields("X: a\rY: b"), Refused(400, "bad_request")),
        (fields("X: a\nY: b"), Refused(400, "bad_request")),
        (fields("X: a\n"), Refused(400, "bad_request")),
        (fields("X: a\r\r"), Refused(400, "bad_request")),
        (fields("X: a\u{1}b"), Refused(400, "bad_request")),
        (fields("X: a\u{7f}b"), Refused(400, "bad_request")),
        (fields("X: 1\r\nx: 2\r\nY: 3\r\nX: 4"), Forwarded("GET / HTTP/1.1", &["x: 1", "x: 2", "x: 4", "y: 3"], "")),
        (fields("X: a \t b\t "), Forwarded("GET / HTTP/1.1", &["x: a \t b"], "")),
        (fields("X:"), Forwarded("GET / HTTP/1.1", &["x: "], "")),
        (fields("X: Łódź"), Forwarded("GET / HTTP/1.1", &["x: Łódź"], "")),
        (fields(&many(99)), Forwarded("GET / HTTP/1.1", &["x-98: 1"], "")),
        (fields(&many(100)), Refused(431, "header_too_large")),
        (fields(&format!("X: {}", "a".repeat(9_000))), Refused(431, "header_too_large")),
        (
            fields("X_Forwarded_For: 6.6.6.6\r\nContent_Length: 5\r\nTransfer.Encoding: chunked\r\nX-A_b: 1"),
            Forwarded("GET / HTTP/1.1", &["-x_forwarded_for", "-content_length", "-transfer.encoding", "-x-a_b"], ""),
        ),
        (
            fields(
                "Proxy: http://evil\r\nProxy-Authorization: x\r\nProxy-Connection: close\r\nKeep-Alive: 5\r\nTE: gzip\r\nUpgrade: x",
            ),
            Forwarded(
                "GET / HTTP/1.1",
                &[
                    "-proxy",
                    "-proxy-authorization",
                    "-proxy-connection",
                    "-keep-alive",
                    "-te",
                    "-upgrade",
                    "-connection",
                ],
                "",
            ),
        ),
        (
            fields("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA"),
            Forwarded("GET / HTTP/1.1", &["-upgrade", "-connection", "-http2-settings"], ""),
        ),
        (
            fields(
                "Connection: X-Hop , x-two\r\nConnection:close,X-Three\r\nX-Hop: 1\r\nx-TWO: 2\r\nX-Three: 3\r\nX-Own: 4",
            ),
            Forwarded("GET / HTTP/1.1", &["-x-hop", "-x-two", "-x-three", "-connection", "x-own: 4"], ""),
        ),
        (
            format!(
                "POST / HTTP/1.1\r\n{HOST}Connection: Host, Content-Length, X-Forwarded-For, X-Forwarded-Proto, Via, X-Request-Id\r\n\
                 Content-Length: 2\r\n\r\nhi"
            ),
            Forwarded(
                "POST / HTTP/1.1",
                &[
                    "host: a",
                    "content-length: 2",
                    "x-forwarded-for: 127.0.0.1",
                    "x-forwarded-proto: http",
                    "via: 1.1 balancer",
                ],
                "hi",
            ),
        ),
        (
            format!(
                "POST / HTTP/1.1\r\n{HOST}Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
            ),
            Forwarded("POST / HTTP/1.1", &["transfer-encoding: chunked", "-content-length", "-connection"], "hi"),
        ),
        (
            fields(
                "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Real-IP: 6.6.6.6\r\n\
                 Forwarded: for=6.6.6.6\r\nVia: 1.0 first",
            ),
            Forwarded(
                "GET / HTTP/1.1",
                &[
                    "x-forwarded-for: 127.0.0.1",
                    "x-forwarded-proto: http",
                    "x-forwarded-host: a",
                    "-x-real-ip",
                    "forwarded: for=127.0.0.1;host=\"a\";proto=http",
                    "via: 1.0 first",
                    "via: 1.1 balancer",
                ],
                "",
            ),
        ),
    ]);
}

#[test]
fn host_is_there_once_and_exactly_a_host() {
    let host = |field: &str| format!("GET / HTTP/1.1\r\n{field}\r\n");
    let mut cases = vec![
        (host(""), Refused(400, "bad_host")),
        (host("Host:\r\n"), Refused(400, "bad_host")),
        (host("Host: a\r\nHost: a\r\n"), Refused(400, "bad_host")),
        (host("Host: a\r\nhost: b\r\n"), Refused(400, "bad_host")),
        ("GET / HTTP/1.0\r\n\r\n".into(), Forwarded("GET / HTTP/1.1", &["host: "], "")),
    ];
    for value in ["a.test", "A-b_c.test:8080", "127.0.0.1:1", "[::1]", "[2001:db8::1]:80", "a:", "a%41b"] {
        let field: &'static str = format!("host: {value}").leak();
        let fields: &'static [&'static str] = vec![field].leak();
        cases.push((host(&format!("{field}\r\n")), Forwarded("GET / HTTP/1.1", fields, "")));
    }
    for value in [
        "a b", "a/b", "/", "u@a", "a?b", "a#b", "a\\b", "a,b", "a, a", "\"a\"", "'a'", "[::1", "::1]", "[::1]x", "[a]",
        "a%", "a:b", "a:-1", "a:1:2", "a:123456", "a%4", "a%zz", "é", "a\tb", "<a>", "a^b", "a`b", "{a}", "a|b",
    ] {
        cases.push((host(&format!("Host: {value}\r\n")), Refused(400, "bad_host")));
    }
    // Some of these the parser refuses already.
    for value in ["a\u{1}b", "a\0b", "a\u{7f}", "a\rb", "a\nb"] {
        cases.push((host(&format!("Host: {value}\r\n")), Refused(400, "bad_")));
    }
    judge(&cases);
}

#[test]
fn a_request_has_exactly_one_framing() {
    let post = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\n{HOST}{fields}\r\n\r\n{body}");
    let chunks = "2\r\nhi\r\n0\r\n\r\n";
    let mut cases = vec![
        (
            post("Content-Length: 2", "hi"),
            Forwarded("POST / HTTP/1.1", &["content-length: 2", "-transfer-encoding"], "hi"),
        ),
        (post("Content-Length:\t0002 ", "hi"), Forwarded("POST / HTTP/1.1", &["content-length: 2"], "hi")),
        (
            post("Content-Length: 2\r\nContent-Length: 2", "hi"),
            Forwarded("POST / HTTP/1.1", &["content-length: 2"], "hi"),
        ),
        (post("Content-Length: 0", ""), Forwarded("POST / HTTP/1.1", &["content-length: 0"], "")),
        (post("X: 1", ""), Forwarded("POST / HTTP/1.1", &["-transfer-encoding"], "")),
        (
            post("Transfer-Encoding: chunked", chunks),
            Forwarded("POST / HTTP/1.1", &["transfer-encoding: chunked", "-content-length"], "hi"),
        ),
        (
            post("tRANSFER-eNCODING:CHUNKED \t", chunks),
            Forwarded("POST / HTTP/1.1", &["transfer-encoding: chunked"], "hi"),
        ),
        (format!("POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{chunks}"), Refused(400, "bad_request")),
    ];
    for method in ["GET", "DELETE", "OPTIONS", "QUERY"] {
        let line: &'static str = format!("{method} / HTTP/1.1").leak();
        cases.push((
            format!("{line}\r\n{HOST}Content-Length: 2\r\n\r\nhi"),
            Forwarded(line, &["content-length: 2"], "hi"),
        ));
        cases.push((
            format!("{line}\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{chunks}"),
            Forwarded(line, &["transfer-encoding: chunked", "-content-length"], "hi"),
        ));
    }
    for both in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 2",
        "Content-Length: 0\r\nX: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: x",
    ] {
        cases.push((post(both, chunks), Refused(400, "bad_framing")));
    }
    for lengths in [
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2\r\nX: 1\r\ncontent-length: 1",
        "Content-Length: 2, 2",
        "Content-Length: 2, 3",
        "Content-Length: +2",
        "Content-Length: -2",
        "Content-Length: 0x2",
        "Content-Length: 2 2",
        "Content-Length: 2_0",
        "Content-Length: 2.0",
        "Content-Length: 2e1",
        "Content-Length: \"2\"",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999",
        "Content-Length:",
    ] {
        cases.push((post(lengths, "hi"), Refused(400, "bad_framing")));
    }
    for codings in [
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "identity",
        "chunked;q=1",
        "xchunked",
        "chunkedx",
        "chunke",
        "\"chunked\"",
        "chunked chunked",
        "cow",
        "",
        "\u{b}chunked",
    ] {
        cases.push((post(&format!("Transfer-Encoding: {codings}"), chunks), Refused(501, "unknown_coding")));
    }
    cases.push((post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", chunks), Refused(400, "bad_framing")));
    cases.push((post("Transfer-Encoding : chunked", chunks), Refused(400, "bad_request")));
    cases.push((post("Transfer-Encoding:\r\n chunked", chunks), Refused(501, "unknown_coding")));
    cases.push((post("X: y\nTransfer-Encoding: chunked", chunks), Refused(400, "bad_request")));
    judge(&cases);
}

#[test]
fn a_chunked_body_is_strict_and_a_bad_one_is_the_clients_fault() {
    let body = |body: &str| format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{body}");
    let with_trailers =
        |body: &str| format!("POST / HTTP/1.1\r\n{HOST}Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let chunked: &[&str] = &["transfer-encoding: chunked", "-content-length"];
    let extended = format!("1;{}\r\na\r\n", "x".repeat(1_000));
    let mut cases = vec![
        (body("A\r\n0123456789\r\n00\r\n\r\n"), Forwarded("POST / HTTP/1.1", chunked, "0123456789")),
        (body("000000000000000a\r\n0123456789\r\n0\r\n\r\n"), Forwarded("POST / HTTP/1.1", chunked, "0123456789")),
        (body("2;a=b;c=\"d;e\"\r\nhi\r\n0;x\r\n\r\n"), Forwarded("POST / HTTP/1.1", chunked, "hi")),
        (body(&format!("{}0\r\n\r\n", extended.repeat(4))), Forwarded("POST / HTTP/1.1", chunked, "aaaa")),
        (body("0\r\n\r\n"), Forwarded("POST / HTTP/1.1", chunked, "")),
        (
            with_trailers("2\r\nhi\r\n0\r\nX-Sum: 7\r\nHost: evil\r\n\r\n"),
            Forwarded("POST / HTTP/1.1", &["host: a"], "hi"),
        ),
        (body(&extended.repeat(5)), Cut(400, "bad_body")),
        (body(&format!("0\r\nX: {}\r\n\r\n", "y".repeat(8_200))), Cut(400, "bad_body")),
    ];
    for malformed in [
        "\r\n",
        "x\r\nhi\r\n",
        "0x2\r\nhi\r\n",
        "+2\r\nhi\r\n",
        "-2\r\nhi\r\n",
        "2_\r\nhi\r\n",
        "2,\r\nhi\r\n",
        "\"2\"\r\nhi\r\n",
        "2\0\r\nhi\r\n",
        " 2\r\nhi\r\n",
        ";a\r\n",
        "10000000000000002\r\nhi\r\n",
        "00000000000000002\r\nhi\r\n",
        "2\nhi\r\n",
        "2\rhi\r\n",
        "2hi\r\n",
        "2\r\r\nhi\r\n",
        "2;a\nhi\r\n",
        "2;a\rb\r\nhi\r\n",
        "2;\0\r\nhi\r\n",
        "2\r\nhi\n0\r\n\r\n",
        "2\r\nhi\r0\r\n\r\n",
        "2\r\nhi0\r\n\r\n",
        "2\r\nhixx0\r\n\r\n",
        "2\r\nhi\r\n0\n\r\n",
        "2\r\nhi\r\n0\r\n\n",
        "2\r\nhi\r\n0\r\n\rX",
        "2\r\nhi\r\n0\r\nX: y\nHost: evil\r\n\r\n",
        "2\r\nhi\r\n0\r\nX: y\rHost: evil\r\n\r\n",
        "2\r\nhi\r\n0\r\nX y\r\n\r\n",
        "2\r\nhi\r\n0\r\nX : y\r\n\r\n",
    ] {
        cases.push((body(malformed), Cut(400, "bad_body")));
    }
    judge(&cases);
}

#[test]
fn what_follows_a_message_is_the_next_one_or_garbage() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(ok(request.target()));
        }
    });
    let balancer = Balancer::before(&[&origin]);
    for first in [
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ] {
        for (garbage, status) in [
            ("garbage\r\n\r\n", 400),
            ("\0\0\0\0\r\n", 400),
            ("0\r\n\r\n", 400),
            ("GET /2 HTTP/9.9\r\n\r\n", 505),
            ("GET /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ] {
            let mut client = Client::of(&balancer);
            client.send(format!("{first}{garbage}"));
            assert_eq!((client.response().status(), status > 399), (200, true), "{first:?} before {garbage:?}");
            assert_eq!(client.response().status(), status, "{first:?} before {garbage:?}");
            client.assert_closed();
        }
    }
    assert!(origin.requests().iter().all(|request| request.target() == "/1" && request.ended == Ended::Framed));
}

#[test]
fn a_pipelined_request_is_as_strict_as_the_first() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(ok(&format!("{} {}", request.target(), request.text())));
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    let mut all = String::new();
    for number in 0..300 {
        all.push_str(&match number % 3 {
            0 => format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{number:03}"),
            _ => format!(
                "PUT /{number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{number:03}\r\n0\r\n\r\n"
            ),
        });
    }
    client.send(all);
    client.send("POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    for number in 0..300 {
        let body = if number % 3 == 0 { String::new() } else { format!("{number:03}") };
        assert_eq!(client.response().text(), format!("/{number} {body}"));
    }
    assert_eq!(client.response().status(), 400);
    client.assert_closed();
    assert_eq!(origin.requests().len(), 300);
}

#[test]
fn only_the_one_expectation_is_known_and_only_from_an_http_1_1_client() {
    let expecting = |value: &str| format!("GET / HTTP/1.1\r\n{HOST}Expect: {value}\r\n\r\n");
    judge(&[
        (expecting("miracles"), Refused(417, "bad_expectation")),
        (expecting("100-continue, x"), Refused(417, "bad_expectation")),
        (expecting("100-Continue"), Forwarded("GET / HTTP/1.1", &[], "")),
    ]);
}

/// Sends each to a balancer with small limits and says of all which were not judged right.
fn judge(cases: &[(String, Fate)]) {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request()
            && request.ended == Ended::Framed
            && exchange.send(ok("1"))
        {}
        exchange.read_to_end();
    });
    let balancer = Balancer::start("header_bytes_max = \"8KiB\"", &pool_of(&[&origin]));
    let mut wrong = Vec::new();
    let mut cut = 0;
    for (request, fate) in cases {
        for pieces in [1, 2] {
            let seen = (received(&origin), origin.requests().len());
            let result = match fate {
                Refused(status, reason) => refused(&balancer, request, pieces, *status, reason).and_then(|()| {
                    let now = received(&origin);
                    (now == seen.0).then_some(()).ok_or_else(|| format!("the worker got {} bytes", now - seen.0))
                }),
                Cut(status, reason) => {
                    cut += 1;
                    refused(&balancer, request, pieces, *status, reason)
                }
                Forwarded(line, fields, body) => forwarded(&balancer, request, pieces).and_then(|()| {
                    let requests = origin.requests();
                    let got = requests.get(seen.1..).unwrap_or_default();
                    let [got] = got else { return Err(format!("the worker got {} requests", got.len())) };
                    as_expected(got, line, fields, body)
                }),
            };
            if let Err(what) = result {
                let start: String = request.chars().take(200).collect();
                wrong.push(format!("in {pieces} pieces: {start:?}\n    {what}"));
            }
        }
    }
    drop(balancer);
    let ended = || (origin.ends() == origin.connections()).then_some(());
    eventually(|| "the ends of all upstream connections".into(), ended);
    let complete = origin.requests().iter().filter(|request| request.ended == Ended::Framed).count();
    let forwarded = cases.iter().filter(|(_, fate)| matches!(fate, Forwarded(..))).count() * 2;
    if complete != forwarded {
        wrong.push(format!("{complete} complete requests reached a worker, not {forwarded}; {cut} were cut"));
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len() * 2, wrong.join("\n"));
}

fn send(balancer: &Balancer, request: &str, pieces: usize) -> Client {
    let mut client = Client::of(balancer);
    let middle = request.len() / pieces;
    let _ = client.try_send(&request.as_bytes()[..middle]);
    let _ = client.try_send(&request.as_bytes()[middle..]);
    client
}

fn refused(balancer: &Balancer, request: &str, pieces: usize, status: u16, reason: &str) -> Result<(), String> {
    let (text, ended) = send(balancer, request, pieces).rest();
    let as_it_must = text.starts_with(&format!("HTTP/1.1 {status} "))
        && text.matches("HTTP/1.1").count() == 1
        && text.contains(reason)
        && text.to_lowercase().contains("\r\nx-request-id: ")
        && text.contains("\nrequest id: ")
        && text.to_lowercase().contains("\r\nconnection: close\r\n");
    (as_it_must && ended == Ended::Close)
        .then_some(())
        .ok_or_else(|| format!("not {status} {reason}: {ended:?} after {text:?}"))
}

fn forwarded(balancer: &Balancer, request: &str, pieces: usize) -> Result<(), String> {
    let mut client = send(balancer, request, pieces);
    let text = client.until("\r\n\r\n");
    text.starts_with("HTTP/1.1 200 ").then_some(()).or(text.starts_with("HTTP/1.0 200 ").then_some(())).ok_or(text)
}

fn as_expected(got: &Message, line: &str, fields: &[&str], body: &str) -> Result<(), String> {
    let mut right = got.line == line && got.text() == body;
    for expected in fields {
        right &= match expected.strip_prefix('-') {
            Some(name) => got.all(name).is_empty(),
            None => {
                let (name, _) = expected.split_once(':').unwrap();
                let values = got.all(name);
                let expected: Vec<&str> = fields
                    .iter()
                    .filter_map(|field| field.split_once(": ").filter(|(other, _)| *other == name))
                    .map(|(_, value)| value)
                    .collect();
                values == expected
            }
        };
    }
    right.then_some(()).ok_or_else(|| format!("the worker got {got:?}"))
}

fn received(origin: &Origin) -> usize {
    (0..origin.connections()).map(|number| origin.bytes(number).len()).sum()
}
