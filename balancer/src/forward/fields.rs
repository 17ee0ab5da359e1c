//! Which fields go on, which stay, which are ours (RFC 9110 §7.6, RFC 7239, RFC 9112 §9).
//!
//! Strip first, then add: the request of the client stays as it came, and what goes to a worker is built from nothing. Fields that
//! go on keep their spelling and their order.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;

use super::scan::{Class, NAMES_MAX, OWN_VIA, Scan, class, elements, names_some};
use crate::config::{AmbiguousFields, ClientLimits};
use crate::http1::{BodyLength, Fields, Name, RequestHead, ResponseHead, lists, request_line};
use crate::observe::RequestId;

/// What we say of a client in every request of its connection.
#[derive(Debug)]
pub struct ClientFields {
    /// Its address, for `X-Forwarded-For`.
    forwarded_for: String,
    /// The `for=` part of `Forwarded`.
    node: String,
    /// Whether its own statements are believed.
    trusted: bool,
    /// How it speaks to us: `http` or `https`.
    scheme: &'static str,
    /// What it is told of asking over TLS alone (RFC 6797 §6.1), where it asks so.
    hsts: Option<Arc<str>>,
    /// The host of the last request, and the lines that were written for it: nearly always those of the next.
    last: RefCell<(Vec<u8>, Vec<u8>)>,
}

/// What goes to a worker besides the client's own fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToWorker<'a> {
    pub(super) target: &'a str,
    /// What stands in the target or in `Host`.
    pub(super) host: &'a [u8],
    pub(super) length: BodyLength,
    pub(super) client: &'a ClientFields,
    pub(super) own: &'a RequestId,
    pub(super) limits: &'a ClientLimits,
    /// Whether the worker is told that the client waits for a 100.
    pub(super) expects_continue: bool,
    /// Whether the worker is told that no other request follows on the connection.
    pub(super) is_last: bool,
}

/// What a worker's response said to us and not to the client.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ConnectionTerms {
    /// `Keep-Alive: timeout=`, seconds.
    pub(super) keep_alive: Option<u32>,
    /// Whether the connection ends with the response.
    pub(super) close: bool,
}

impl ClientFields {
    /// `address` is `None` for a client without one.
    pub fn new(address: Option<IpAddr>, trusted: bool, encrypted: bool) -> Self {
        let node = match address {
            // RFC 7239 §6: an IPv6 address stands in brackets and therefore in quotes.
            Some(ip) if ip.is_ipv6() => format!("for=\"[{ip}]\""),
            Some(ip) => format!("for={ip}"),
            None => "for=unknown".to_owned(),
        };
        let forwarded_for = address.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
        let scheme = if encrypted { HTTPS } else { "http" };
        Self { forwarded_for, node, trusted, scheme, hsts: None, last: RefCell::default() }
    }

    /// The same with what a client over TLS is told of asking so alone.
    pub fn with_hsts(self, hsts: Option<Arc<str>>) -> Self {
        Self { hsts, ..self }
    }

    /// `Strict-Transport-Security` of its responses.
    pub(super) fn hsts(&self) -> Option<&str> {
        self.hsts.as_deref()
    }

    /// Whether it speaks TLS to us.
    pub(super) fn is_encrypted(&self) -> bool {
        self.scheme == HTTPS
    }

    /// Whether the client is a proxy of ours, so that others stand behind its address.
    pub fn are_trusted(&self) -> bool {
        self.trusted
    }

    /// Writes what we say of a client that says nothing of itself, or is not believed.
    fn write(&self, out: &mut Vec<u8>, host: &[u8]) {
        let mut last = self.last.borrow_mut();
        let (of, lines) = &mut *last;
        if lines.is_empty() || of != host {
            of.clear();
            lines.clear();
            of.extend_from_slice(host);
            line(lines, HOST, host);
            line(lines, X_FORWARDED_FOR, self.forwarded_for.as_bytes());
            line(lines, X_FORWARDED_PROTO, self.scheme.as_bytes());
            line(lines, X_FORWARDED_HOST, host);
            line(lines, FORWARDED, &self.forwarded(host));
        }
        out.extend_from_slice(lines);
    }

    /// One element of `Forwarded` (RFC 7239 §4). A host that would need escaping inside the quotes is left out.
    fn forwarded(&self, host: &[u8]) -> Vec<u8> {
        let mut element = Vec::with_capacity(64);
        element.extend_from_slice(self.node.as_bytes());
        let quotable = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if !host.is_empty() && host.iter().all(quotable) {
            element.extend_from_slice(b";host=\"");
            element.extend_from_slice(host);
            element.push(b'"');
        }
        element.extend_from_slice(b";proto=");
        element.extend_from_slice(self.scheme.as_bytes());
        element
    }
}

/// Writes the head for a worker. Requests whose names the configuration refuses do not get here.
pub(super) fn to_worker(out: &mut Vec<u8>, head: &RequestHead, scan: &Scan, outgoing: &ToWorker<'_>) {
    let ToWorker { target, host, length, client, own, limits, expects_continue, is_last } = *outgoing;
    request_line(out, &head.method, target);
    if client.trusted {
        continue_statements(out, head, scan, outgoing);
    } else {
        client.write(out, host);
        own.write(out, !scan.traced);
    }
    let named = |spelled: &[u8]| scan.names(head, spelled);
    let pass = limits.ambiguous_fields == AmbiguousFields::Pass;
    let mut te = false;
    head.fields.write(out, |field| match field.name {
        Name::Traceparent => scan.traced,
        Name::Expect => expects_continue,
        Name::MaxForwards => scan.max_forwards.is_none() && !named(field.spelled),
        Name::XForwardedFor | Name::Forwarded => false,
        name => match class(name) {
            Class::EndToEnd => !named(field.spelled),
            Class::Identity => client.trusted && !named(field.spelled),
            Class::Ambiguous => pass && !named(field.spelled),
            Class::AmbiguousIdentity => pass && client.trusted && !named(field.spelled),
            Class::Te => {
                let trailers = field.value.eq_ignore_ascii_case(b"trailers");
                te |= trailers;
                trailers
            }
            Class::HopByHop | Class::Framing | Class::Upgrade => false,
        },
    });
    if let Some(forwards) = scan.max_forwards {
        line(out, MAX_FORWARDS, itoa::Buffer::new().format(forwards.saturating_sub(1)).as_bytes());
    }
    match length {
        BodyLength::Known(length) => line(out, CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes()),
        BodyLength::Chunked => line(out, TRANSFER_ENCODING, b"chunked"),
        BodyLength::None | BodyLength::UntilClose => {}
    }
    if scan.upgrades != 0 {
        upgrade(out, scan.upgrades, &limits.upgrades);
    } else {
        match (te, is_last) {
            (true, true) => line(out, CONNECTION, b"te, close"),
            (true, false) => line(out, CONNECTION, b"te"),
            (false, true) => line(out, CONNECTION, b"close"),
            (false, false) => {}
        }
    }
    out.extend_from_slice(OWN_VIA);
}

/// Asks for those of `known` whose bits are set: a request for a protocol that we do not tunnel ends here.
fn upgrade(out: &mut Vec<u8>, bits: u8, known: &[String]) {
    let asked = known.iter().enumerate().filter(|(index, _)| bits & 1 << index != 0);
    let asked: Vec<&str> = asked.map(|(_, protocol)| protocol.as_str()).collect();
    line(out, UPGRADE, asked.join(", ").as_bytes());
    line(out, CONNECTION, b"upgrade");
}

/// What a trusted peer says is continued, and completed where it says nothing.
fn continue_statements(out: &mut Vec<u8>, head: &RequestHead, scan: &Scan, outgoing: &ToWorker<'_>) {
    let ToWorker { host, client, own, .. } = *outgoing;
    line(out, HOST, host);
    let said =
        |name: Name| head.fields.iter().filter(move |field| field.name == name && !scan.names(head, field.spelled));
    let forwarded = client.forwarded(host);
    let chains = [
        (Name::XForwardedFor, X_FORWARDED_FOR, client.forwarded_for.as_bytes()),
        (Name::Forwarded, FORWARDED, &forwarded),
    ];
    for (name, spelled, next) in chains {
        let hops: Vec<&[u8]> = said(name).map(|field| field.value).chain([next]).collect();
        line(out, spelled, &hops.join(&b", "[..]));
    }
    for (name, spelled, value) in [
        (Name::XForwardedProto, X_FORWARDED_PROTO, client.scheme.as_bytes()),
        (Name::XForwardedHost, X_FORWARDED_HOST, host),
        (Name::XRequestId, X_REQUEST_ID, own.id()),
        (Name::XRequestStart, X_REQUEST_START, own.start()),
    ] {
        if said(name).next().is_none() {
            line(out, spelled, value);
        }
    }
    if !scan.traced {
        line(out, TRACEPARENT, &own.trace());
    }
}

/// Takes out of a worker's response what is not for the client, and says what that was; `None` where `Connection` names too many
/// fields. `length` is how its body is framed, which whoever sends it on says anew.
pub(super) fn to_client(head: &mut ResponseHead, length: BodyLength) -> Option<ConnectionTerms> {
    let mut said = ConnectionTerms::default();
    // Of an answer without a body the length says what a GET would have got (RFC 9110 §8.6).
    let keeps_length =
        length == BodyLength::None && !head.status.is_informational() && head.status != StatusCode::NO_CONTENT;
    let upgraded = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let mut named = 0;
    for field in head.fields.iter() {
        match field.name {
            Name::Connection => {
                said.close |= lists(field.value, b"close");
                if names_some(field.value) {
                    named += elements(field.value);
                }
            }
            Name::KeepAlive => said.keep_alive = said.keep_alive.or_else(|| timeout(field.value)),
            _ => {}
        }
    }
    if named > NAMES_MAX {
        return None;
    }
    let named: Vec<Vec<u8>> = if named > 0 { names(&head.fields) } else { Vec::new() };
    head.fields.retain(|field| match class(field.name) {
        Class::HopByHop | Class::Te => false,
        Class::Upgrade => upgraded,
        Class::Framing if field.name == Name::ContentLength => keeps_length,
        Class::Framing => field.name != Name::TransferEncoding,
        Class::EndToEnd | Class::Identity | Class::Ambiguous | Class::AmbiguousIdentity => {
            !named.iter().any(|name| name.eq_ignore_ascii_case(field.spelled))
        }
    });
    Some(said)
}

/// Whether a `Content-Type` is that of server-sent events, which come when they come.
pub(super) fn is_event_stream(content_type: &[u8]) -> bool {
    let media = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
    media.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// What a message's `Connection` fields name.
fn names(fields: &Fields) -> Vec<Vec<u8>> {
    let names = fields.all(Name::Connection).flat_map(|value| value.split(|&byte| byte == b','));
    names.map(|name| name.trim_ascii().to_vec()).collect()
}

/// `timeout=SECONDS` of a `Keep-Alive` field.
fn timeout(value: &[u8]) -> Option<u32> {
    let mut parameters = std::str::from_utf8(value).ok()?.split(',');
    parameters.find_map(|parameter| parameter.trim().strip_prefix("timeout=")?.parse().ok())
}

#[inline]
fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `X-Request-Id`.
pub const X_REQUEST_ID: &str = "X-Request-Id";
const HOST: &str = "Host";
const X_FORWARDED_FOR: &str = "X-Forwarded-For";
const X_FORWARDED_PROTO: &str = "X-Forwarded-Proto";
const X_FORWARDED_HOST: &str = "X-Forwarded-Host";
const X_REQUEST_START: &str = "X-Request-Start";
const FORWARDED: &str = "Forwarded";
/// Its specification has it in lower case.
const TRACEPARENT: &str = "traceparent";
const MAX_FORWARDS: &str = "Max-Forwards";
const CONTENT_LENGTH: &str = "Content-Length";
const TRANSFER_ENCODING: &str = "Transfer-Encoding";
const CONNECTION: &str = "Connection";
const HTTPS: &str = "https";
const UPGRADE: &str = "Upgrade";

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::forward::Fault;
    use crate::observe::Ids;

    fn request(method: &str, fields: &[(&str, &str)]) -> RequestHead {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        RequestHead::parse(format!("{method} / HTTP/1.1\r\n{fields}\r\n").as_bytes(), Fields::default()).unwrap()
    }

    /// What a worker gets, and the id it was given.
    fn sent_by(method: &str, fields: &[(&str, &str)], length: BodyLength, trusted: bool) -> (Fields, RequestId) {
        let client = ClientFields::new(Some([192, 0, 2, 1].into()), trusted, false);
        let own = Ids::new().next(Instant::now());
        let head = request(method, fields);
        let limits = ClientLimits { upgrades: vec!["websocket".into(), "echo".into()], ..ClientLimits::default() };
        let mut out = Vec::new();
        to_worker(
            &mut out,
            &head,
            &Scan::of(&head, &limits.upgrades).unwrap(),
            &ToWorker {
                target: "/x",
                host: b"app.test",
                length,
                client: &client,
                own: &own,
                limits: &limits,
                expects_continue: false,
                is_last: false,
            },
        );
        assert!(
            out.starts_with(format!("{method} /x HTTP/1.1\r\nHost: app.test\r\n").as_bytes()),
            "{}",
            out.escape_ascii()
        );
        (RequestHead::parse(&out, Fields::default()).unwrap().fields, own)
    }

    fn sent(fields: &[(&str, &str)], length: BodyLength, trusted: bool) -> Fields {
        sent_by("GET", fields, length, trusted).0
    }

    fn all<'a>(fields: &'a Fields, name: &str) -> Vec<&'a str> {
        let called = fields.iter().filter(|field| field.spelled.eq_ignore_ascii_case(name.as_bytes()));
        called.map(|field| std::str::from_utf8(field.value).unwrap()).collect()
    }

    #[test]
    fn fields_of_one_connection_stay_behind() {
        let headers = sent(
            &[
                ("connection", "close, X-Secret"),
                ("x-secret", "1"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("proxy-authorization", "Basic x"),
                ("proxy", "http://evil"),
                ("te", "gzip"),
                ("upgrade", "websocket"),
                ("accept", "*/*"),
            ],
            BodyLength::None,
            false,
        );
        for name in ["connection", "x-secret", "keep-alive", "proxy-connection", "proxy-authorization", "proxy", "te"] {
            assert_eq!(all(&headers, name), [""; 0], "{name}");
        }
        assert_eq!(all(&headers, "upgrade"), [""; 0], "not named in Connection");
        assert_eq!(all(&headers, "accept"), ["*/*"]);
    }

    #[test]
    fn a_client_cannot_strip_framing_host_or_our_statements_by_naming_them() {
        let fields = [("connection", "content-length, host, x-forwarded-for, via"), ("content-length", "5")];
        let headers = sent(&fields, BodyLength::Known(5), false);
        assert_eq!(all(&headers, "content-length"), ["5"]);
        assert_eq!(all(&headers, "host"), ["app.test"]);
        assert_eq!(all(&headers, "x-forwarded-for"), ["192.0.2.1"]);
        assert_eq!(all(&headers, "via"), ["1.1 balancer"]);
    }

    #[test]
    fn a_stranger_s_statements_are_replaced_and_a_trusted_peer_s_continued() {
        let fields = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.test"),
            ("forwarded", "for=203.0.113.9;proto=https"),
            ("x-real-ip", "203.0.113.9"),
            ("x-request-id", "theirs"),
        ];
        let (stranger, own) = sent_by("GET", &fields, BodyLength::None, false);
        assert_eq!(all(&stranger, "x-forwarded-for"), ["192.0.2.1"]);
        assert_eq!(all(&stranger, "x-forwarded-proto"), ["http"]);
        assert_eq!(all(&stranger, "x-forwarded-host"), ["app.test"]);
        assert_eq!(all(&stranger, "forwarded"), ["for=192.0.2.1;host=\"app.test\";proto=http"]);
        assert_eq!(all(&stranger, "x-real-ip"), [""; 0]);
        assert_eq!(all(&stranger, "x-request-id"), [std::str::from_utf8(own.id()).unwrap()]);
        let trusted = sent(&fields, BodyLength::None, true);
        assert_eq!(all(&trusted, "x-forwarded-for"), ["203.0.113.9, 192.0.2.1"]);
        assert_eq!(all(&trusted, "x-forwarded-proto"), ["https"]);
        assert_eq!(all(&trusted, "x-forwarded-host"), ["shop.test"]);
        assert_eq!(
            all(&trusted, "forwarded"),
            ["for=203.0.113.9;proto=https, for=192.0.2.1;host=\"app.test\";proto=http"]
        );
        assert_eq!(all(&trusted, "x-real-ip"), ["203.0.113.9"]);
        assert_eq!(all(&trusted, "x-request-id"), ["theirs"]);
    }

    #[test]
    fn an_upgrade_is_passed_on_only_when_asked_for_properly() {
        let asked = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        let headers = sent(&asked, BodyLength::None, false);
        assert_eq!(all(&headers, "connection"), ["upgrade"]);
        assert_eq!(all(&headers, "upgrade"), ["websocket"]);
        for unknown in ["h2c", "h2c, foo", "websockets", "websocket/13", "", ","] {
            let h2c = sent(&[("connection", "upgrade, http2-settings"), ("upgrade", unknown)], BodyLength::None, false);
            assert_eq!(all(&h2c, "upgrade"), [""; 0], "{unknown}");
            assert_eq!(all(&h2c, "connection"), [""; 0], "{unknown}");
        }
        for (one, two, sent_on) in [
            ("WebSocket, h2c", "x", "websocket"),
            ("foo,h2c ,Echo", "h2c", "echo"),
            ("echo", "h2c,websocket", "websocket, echo"),
        ] {
            let fields = [("connection", "upgrade"), ("upgrade", one), ("upgrade", two)];
            assert_eq!(all(&sent(&fields, BodyLength::None, false), "upgrade"), [sent_on], "{one} and {two}");
        }
    }

    #[test]
    fn a_name_that_becomes_a_statement_about_the_client_is_a_trusted_peer_s_to_pass() {
        let names = ["X_Forwarded_For", "x-forwarded~proto", "X.Real.IP", "X_Request_Id", "X-Forwarded+Prefix"];
        let limits = ClientLimits { ambiguous_fields: AmbiguousFields::Pass, ..ClientLimits::default() };
        for (trusted, passed) in [(false, 0), (true, names.len())] {
            let head = request("GET", &names.map(|name| (name, "6.6.6.6")));
            let client = ClientFields::new(Some([192, 0, 2, 1].into()), trusted, false);
            let own = Ids::new().next(Instant::now());
            let outgoing = ToWorker {
                target: "/",
                host: b"a",
                length: BodyLength::None,
                client: &client,
                own: &own,
                limits: &limits,
                expects_continue: false,
                is_last: false,
            };
            let mut out = Vec::new();
            to_worker(&mut out, &head, &Scan::of(&head, &[]).unwrap(), &outgoing);
            assert_eq!(out.windows(7).filter(|part| part == b"6.6.6.6").count(), passed, "{trusted}");
        }
        assert!(all(&sent(&names.map(|name| (name, "6.6.6.6")), BodyLength::None, true), "x_forwarded_for").is_empty());
    }

    #[test]
    fn what_connection_may_name_is_bounded() {
        let named = |count: usize| vec!["x-a"; count].join(",");
        for (count, fits) in [(NAMES_MAX, true), (NAMES_MAX + 1, false), (14_000, false)] {
            let head = request("GET", &[("connection", "x-b"), ("connection", &named(count - 1)), ("x-a", "1")]);
            assert_eq!(Scan::of(&head, &[]).err(), (!fits).then_some(Fault::HeaderTooLarge), "{count}");
            let mut head = response("200 OK", &[("Connection", &named(count)), ("X-A", "1")]);
            assert_eq!(to_client(&mut head, BodyLength::Known(3)).is_some(), fits, "{count}");
        }
        let usual = request("GET", &[("connection", "keep-alive"); 90]);
        assert!(Scan::of(&usual, &[]).is_ok(), "options name no field");
    }

    #[test]
    fn repeated_fields_keep_their_order_and_ambiguous_names_go() {
        let fields = [("cookie", "a=1"), ("cookie", "b=2"), ("x_forwarded_for", "1.1.1.1"), ("content_length", "7")];
        let headers = sent(&fields, BodyLength::None, false);
        assert_eq!(all(&headers, "cookie"), ["a=1", "b=2"]);
        assert!(all(&headers, "x_forwarded_for").is_empty() && all(&headers, "content_length").is_empty());
    }

    #[test]
    fn a_trace_goes_on_and_via_names_the_gateways_in_order() {
        for trusted in [false, true] {
            let fields = [("traceparent", "00-theirs"), ("via", "1.1 first"), ("via", "1.0 second")];
            let headers = sent(&fields, BodyLength::None, trusted);
            assert_eq!(all(&headers, "traceparent"), ["00-theirs"]);
            assert_eq!(all(&headers, "via"), ["1.1 first", "1.0 second", "1.1 balancer"]);
            let ours = |fields: &[(&str, &str)]| {
                let (fields, own) = sent_by("GET", fields, BodyLength::None, trusted);
                assert_eq!(all(&fields, "traceparent"), [std::str::from_utf8(&own.trace()).unwrap()]);
                assert_eq!(all(&fields, "x-request-start"), [std::str::from_utf8(own.start()).unwrap()]);
            };
            ours(&[("traceparent", "00-theirs"), ("connection", "traceparent")]);
            // Of several none counts.
            ours(&[("traceparent", "00-theirs"), ("traceparent", "00-others")]);
        }
    }

    #[test]
    fn an_options_request_passes_one_gateway_fewer() {
        let head = request("OPTIONS", &[("max-forwards", "3")]);
        assert!(!Scan::of(&head, &[]).unwrap().ends_here());
        let (fields, _) = sent_by("OPTIONS", &[("max-forwards", "3")], BodyLength::None, false);
        assert_eq!(all(&fields, "max-forwards"), ["2"]);
        assert_eq!(all(&sent(&[("max-forwards", "3")], BodyLength::None, false), "max-forwards"), ["3"]);
    }

    #[test]
    fn names_keep_their_spelling_and_order() {
        let fields = sent(&[("X-Device-Id", "7"), ("ACCEPT", "*/*"), ("x-lower", "1")], BodyLength::Known(3), false);
        let names: Vec<_> = fields.iter().map(|field| std::str::from_utf8(field.spelled).unwrap()).collect();
        assert_eq!(
            names,
            [
                "Host",
                "X-Forwarded-For",
                "X-Forwarded-Proto",
                "X-Forwarded-Host",
                "Forwarded",
                "X-Request-Id",
                "X-Request-Start",
                "traceparent",
                "X-Device-Id",
                "ACCEPT",
                "x-lower",
                "Content-Length",
                "Via"
            ]
        );
    }

    #[test]
    fn te_trailers_is_asked_of_the_worker_too() {
        let headers = sent(&[("te", "trailers"), ("connection", "te")], BodyLength::None, false);
        assert_eq!((all(&headers, "te"), all(&headers, "connection")), (vec!["trailers"], vec!["te"]));
    }

    fn response(status: &str, fields: &[(&str, &str)]) -> ResponseHead {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        ResponseHead::parse(format!("HTTP/1.1 {status}\r\n{fields}\r\n").as_bytes(), Fields::default()).unwrap()
    }

    fn left(head: &ResponseHead) -> Vec<&str> {
        head.fields.iter().map(|field| std::str::from_utf8(field.spelled).unwrap()).collect()
    }

    #[test]
    fn a_response_keeps_its_cookies_and_loses_what_was_for_us() {
        let mut head = response(
            "200 OK",
            &[
                ("Connection", "keep-alive, x-hop, set-cookie2"),
                ("Keep-Alive", "timeout=5"),
                ("X-Hop", "1"),
                ("Set-Cookie", "a=1"),
                ("Content-Length", "3"),
                ("set-cookie", "b=2"),
                ("Upgrade", "x"),
            ],
        );
        assert_eq!(
            to_client(&mut head, BodyLength::Known(3)),
            Some(ConnectionTerms { keep_alive: Some(5), close: false })
        );
        assert_eq!(left(&head), ["Set-Cookie", "set-cookie"]);
    }

    #[test]
    fn the_usual_connection_field_of_a_response_goes_alone() {
        for (field, close) in [("keep-alive", false), ("Close", true)] {
            let mut head = response("200 OK", &[("connection", field), ("x-hop", "1")]);
            assert_eq!(to_client(&mut head, BodyLength::UntilClose).map(|said| said.close), Some(close));
            assert_eq!(left(&head), ["x-hop"]);
        }
    }

    #[test]
    fn only_an_answer_without_a_body_keeps_the_length_that_was_said() {
        let after = |status: &str, length| {
            let mut head = response(status, &[("Content-Length", "5"), ("X", "1")]);
            to_client(&mut head, length);
            head.fields.len()
        };
        assert_eq!((after("200 OK", BodyLength::None), after("304 x", BodyLength::None)), (2, 2));
        assert_eq!((after("204 x", BodyLength::None), after("200 OK", BodyLength::Known(5))), (1, 1));
    }

    #[test]
    fn the_host_in_forwarded_is_that_of_the_request_not_of_the_last_one() {
        let client = ClientFields::new(Some("2001:db8::1".parse().unwrap()), false, true);
        for host in ["a.test", "a.test", "b.test:81", "a.test", ""] {
            let mut out = Vec::new();
            client.write(&mut out, host.as_bytes());
            let host = if host.is_empty() { String::new() } else { format!(";host=\"{host}\"") };
            let element = format!("Forwarded: for=\"[2001:db8::1]\"{host};proto=https\r\n");
            assert!(String::from_utf8(out).unwrap().ends_with(&element));
        }
    }
}
