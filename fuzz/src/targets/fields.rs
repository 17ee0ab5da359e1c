//! What a worker may receive: a model of the forwarding rules (RFC 9110 §7.6) against requests made of random fields.

use crate::program::{Program, Seen};
use crate::strict::Request;

pub(crate) const WORDS: &[&str] = &[
    "\0", "\u{1}", "\u{2}", "\u{3}", "\u{4}", "\u{5}", "\u{6}", "\u{7}", "\u{8}", "\u{e}", "\u{f}", "\u{10}", "\u{11}",
    "\u{12}", "\u{13}", "\u{14}",
];

/// Two bytes choose a field of these and a value of those, one the method and one the body.
const NAMES: [&str; 32] = [
    "X-Own",
    "Accept",
    "Cookie",
    "Connection",
    "Connection",
    "Connection",
    "Keep-Alive",
    "Proxy",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Upgrade",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Real-IP",
    "Forwarded",
    "Via",
    "X-Request-Id",
    "traceparent",
    "X_Own",
    "X.Own",
    "Content_Length",
    "X-Hop",
    "X-Hop-Two",
    "Trailer",
    "Max-Forwards",
    "Authorization",
    "Proxy-Authenticate",
    "X-Request-Start",
    "Content-Type",
    "Origin",
];
const VALUES: [&str; 16] = [
    "1",
    "",
    "x-hop",
    "X-Hop , x-hop-two",
    "close",
    "keep-alive, X-Own",
    "Host, Content-Length, Transfer-Encoding",
    "x-forwarded-for,via,forwarded",
    "trailers",
    "gzip, trailers",
    "upgrade",
    "Upgrade, HTTP2-Settings",
    "websocket",
    "h2c",
    "6.6.6.6",
    "a, b\t\"c\"",
];
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY", "x!y"];

pub(crate) fn run(bytes: &[u8]) {
    let [shape, chosen @ ..] = bytes else { return };
    let chosen = chosen.chunks_exact(2).take(60);
    let fields: Vec<(&str, &str)> =
        chosen.map(|pair| (NAMES[usize::from(pair[0]) % 32], VALUES[usize::from(pair[1]) % 16])).collect();
    let method = METHODS[usize::from(*shape) % 8];
    let mut request = format!("{method} /x?y HTTP/1.1\r\nHost: a.test\r\n");
    for (name, value) in &fields {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let (framing, body) = match shape / 8 % 4 {
        0 => ("", ""),
        1 => ("Content-Length: 2\r\n", "hi"),
        2 => ("Transfer-Encoding: chunked\r\n", "2;x\r\nhi\r\n0\r\n\r\n"),
        _ => ("Content-Length: 0\r\n", ""),
    };
    request.push_str(&format!("{framing}\r\n{body}"));
    let (seen, got) = Program::get().exchange_as_stranger(request.as_bytes());
    judge(method, &fields, framing, &seen, &got, &request);
}

/// Whether a `Connection` value names no field.
fn is_option(value: &str) -> bool {
    value.eq_ignore_ascii_case("close") || value.eq_ignore_ascii_case("keep-alive")
}

/// Panics where the worker got what it may not, or not what it must.
fn judge(method: &str, fields: &[(&str, &str)], framing: &str, seen: &Seen, got: &[u8], sent: &str) {
    assert!(seen.violations.is_empty(), "{:?} of {sent:?}", seen.violations);
    // More fields than an honest client names there.
    let connection = fields.iter().filter(|(name, value)| *name == "Connection" && !is_option(value));
    if connection.map(|(_, value)| value.split(',').count()).sum::<usize>() > 32 {
        assert!(seen.requests.is_empty(), "{sent:?}");
        return assert!(got.starts_with(b"HTTP/1.1 431"), "{sent:?}");
    }
    // RFC 9110 §7.6.2: for us.
    if method == "OPTIONS" && fields.iter().any(|(name, _)| *name == "Max-Forwards") && seen.requests.is_empty() {
        return assert!(got.starts_with(b"HTTP/1.1 200"), "{sent:?}");
    }
    let [request] = &seen.requests[..] else { panic!("{} requests of {sent:?}: {got:?}", seen.requests.len()) };
    let one = |name: &str, value: &str| assert_eq!(request.all(name), [value.as_bytes()], "{name} of {sent:?}");
    let none = |name: &str| assert!(request.all(name).is_empty(), "{name} of {sent:?}: {request:?}");
    assert_eq!((&*request.method, &*request.target), (method, "/x?y"), "{sent:?}");
    one("host", "a.test");
    one("x-forwarded-for", "127.0.0.1");
    one("x-forwarded-proto", "http");
    one("x-forwarded-host", "a.test");
    one("forwarded", "for=127.0.0.1;host=\"a.test\";proto=http");
    match framing {
        "" => (none("content-length"), none("transfer-encoding")),
        "Transfer-Encoding: chunked\r\n" => (one("transfer-encoding", "chunked"), none("content-length")),
        length => {
            (one("content-length", length.split_whitespace().last().unwrap_or_default()), none("transfer-encoding"))
        }
    };
    assert_eq!(request.body, if framing.is_empty() || framing.contains(": 0") { &b""[..] } else { b"hi" }, "{sent:?}");
    for name in [
        "keep-alive",
        "proxy",
        "proxy-authorization",
        "proxy-connection",
        "proxy-authenticate",
        "x_own",
        "x.own",
        "content_length",
        "http2-settings",
    ] {
        none(name);
    }
    none_but_ours(request, sent, !request.body.is_empty() && !matches!(method, "POST" | "PUT" | "PATCH"));
    let named: Vec<String> = fields
        .iter()
        .filter(|(name, _)| *name == "Connection")
        .flat_map(|(_, value)| value.split(','))
        .map(|name| name.trim().to_lowercase())
        .collect();
    for name in ["x-own", "x-hop", "x-hop-two", "accept", "cookie", "authorization", "content-type", "origin"] {
        if named.iter().any(|other| other == name) {
            none(name);
            continue;
        }
        let all: Vec<&[u8]> = fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_bytes())
            .collect();
        assert_eq!(request.all(name), all, "{name}, in its order, of {sent:?}");
    }
    assert_eq!(request.all("via").last(), Some(&&b"1.1 balancer"[..]), "{sent:?}");
    assert!(
        request.all("upgrade").is_empty()
            || (named.iter().any(|name| name == "upgrade") && framing.len() < 5 || framing.contains(": 0")),
        "{sent:?}"
    );
    assert!(!request.all("upgrade").iter().any(|value| value.eq_ignore_ascii_case(b"h2c")), "{sent:?}");
}

/// What a stranger says of itself does not go on. With `unread`, the worker is told to close behind a body that it may not read.
fn none_but_ours(request: &Request, sent: &str, unread: bool) {
    assert!(request.all("x-real-ip").is_empty(), "{sent:?}");
    for name in ["x-forwarded-for", "x-request-id", "x-request-start", "traceparent"] {
        assert_eq!(request.all(name).len(), 1, "{name} of {sent:?}");
    }
    for name in ["x-forwarded-for", "x-request-id", "x-request-start"] {
        assert_ne!(request.all(name), [&b"6.6.6.6"[..]], "{name} of {sent:?}");
    }
    let connection = request.all("connection");
    let ours: &[&[u8]] = if unread { &[b"close", b"te, close"] } else { &[b"upgrade", b"te"] };
    let least = usize::from(unread);
    assert!((least..=1).contains(&connection.len()), "{connection:?} of {sent:?}");
    assert!(connection.iter().all(|value| ours.contains(value)), "{connection:?} of {sent:?}");
}
