//! Which fields go on, which stay, which are ours (RFC 9110 §7.6, RFC 7239, RFC 9112 §9).
//!
//! Strip first, then add: the request of the client stays as it came, and what goes to a worker is built from nothing.

use std::cell::RefCell;

use http::Response;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

use super::error::Fault;
use super::scan::{Class, Named, Scan, TRACEPARENT, class};
use crate::config::AmbiguousFields;

/// What we say of a client in every request of its connection.
#[derive(Debug)]
pub struct ClientFields {
    /// Its address, for `X-Forwarded-For`.
    forwarded_for: HeaderValue,
    /// The `for=` part of `Forwarded`.
    node: String,
    /// Whether its own statements are believed.
    trusted: bool,
    /// What was said in the last request, and the host it was for: nearly always that of the next. A copy is cheaper
    /// than putting the same fields into a new map, each by its hash.
    last: RefCell<Option<(HeaderValue, HeaderMap)>>,
}

/// What we say of one request.
#[derive(Debug, Clone)]
pub struct RequestFields {
    /// `X-Request-Id`.
    pub id: HeaderValue,
    /// `X-Request-Start`: `t=SECONDS.MICROS`.
    pub start: HeaderValue,
    /// `traceparent` (W3C Trace Context), for a request that brings none.
    pub trace: HeaderValue,
}

/// How a request body is framed; we say it ourselves, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// No body, and none announced.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What a worker's response said to us and not to the client.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// `Upgrade`.
    pub(super) protocol: Option<HeaderValue>,
    /// `Keep-Alive: timeout=`, seconds.
    pub(super) keep_alive: Option<u32>,
}

impl ClientFields {
    /// `address` is `None` for a client without one.
    pub fn new(address: Option<std::net::IpAddr>, trusted: bool) -> Self {
        let forwarded_for = address.and_then(|ip| HeaderValue::try_from(ip.to_string()).ok());
        let node = match address {
            // RFC 7239 §6: an IPv6 address stands in brackets and therefore in quotes.
            Some(ip) if ip.is_ipv6() => format!("for=\"[{ip}]\""),
            Some(ip) => format!("for={ip}"),
            None => "for=unknown".to_owned(),
        };
        let forwarded_for = forwarded_for.unwrap_or(UNKNOWN);
        Self { forwarded_for, node, trusted, last: RefCell::default() }
    }

    /// Whether the client is a proxy of ours, so that others stand behind its address.
    pub(super) fn are_trusted(&self) -> bool {
        self.trusted
    }

    /// Our fields for a request that brings none of its own: nothing of what a stranger says of itself goes on.
    fn statements(&self, host: &HeaderValue, own: &RequestFields) -> HeaderMap {
        let mut last = self.last.borrow_mut();
        let kept = match &mut *last {
            Some((of, kept)) if of == host => kept,
            other => &mut other.insert((host.clone(), self.statements_anew(host))).1,
        };
        let mut headers = kept.clone();
        // The first three, in the order they were put in.
        for (value, new) in headers.values_mut().zip([&own.id, &own.start, &own.trace]) {
            *value = new.clone();
        }
        headers
    }

    fn statements_anew(&self, host: &HeaderValue) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(OWN_FIELDS + CLIENT_FIELDS);
        for name in [X_REQUEST_ID, X_REQUEST_START, TRACEPARENT] {
            headers.append(name, UNKNOWN);
        }
        headers.append(header::HOST, host.clone());
        headers.append(X_FORWARDED_FOR, self.forwarded_for.clone());
        headers.append(X_FORWARDED_PROTO, HTTP);
        headers.append(X_FORWARDED_HOST, host.clone());
        headers.append(header::FORWARDED, self.forwarded(host));
        headers.append(header::VIA, VIA);
        headers
    }

    /// One element of `Forwarded` (RFC 7239 §4). A host that would need escaping inside the quotes is left out.
    fn forwarded(&self, host: &HeaderValue) -> HeaderValue {
        let mut element = Vec::with_capacity(64);
        element.extend_from_slice(self.node.as_bytes());
        let quotable = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if !host.is_empty() && host.as_bytes().iter().all(quotable) {
            element.extend_from_slice(b";host=\"");
            element.extend_from_slice(host.as_bytes());
            element.push(b'"');
        }
        element.extend_from_slice(b";proto=http");
        HeaderValue::from_maybe_shared(bytes::Bytes::from(element)).unwrap_or(UNKNOWN_NODE)
    }
}

/// The header section for a worker.
///
/// `host` is what stands in the target or in `Host`. Requests whose names the configuration refuses do not get here.
pub(super) fn to_worker(
    request: &Parts,
    scan: &Scan<'_>,
    host: &HeaderValue,
    framing: Framing,
    client: &ClientFields,
    own: &RequestFields,
    ambiguous: AmbiguousFields,
) -> HeaderMap {
    let mut headers = match client.trusted {
        false => client.statements(host, own),
        true => HeaderMap::with_capacity(request.headers.len() + OWN_FIELDS),
    };
    if !client.trusted && scan.traced {
        headers.remove(TRACEPARENT);
    }
    if scan.via {
        // RFC 9110 §7.6.3: ours stands behind those of the gateways before us.
        headers.remove(header::VIA);
    }
    let (named, mut te) = (scan.named(), false);
    for (index, (name, value)) in request.headers.iter().enumerate() {
        let keep = match scan.class(index, name) {
            Class::EndToEnd => !named.contains(name),
            Class::Identity => client.trusted && !named.contains(name),
            Class::Ambiguous => ambiguous == AmbiguousFields::Pass && !named.contains(name),
            Class::Te => {
                let trailers = value.as_bytes().eq_ignore_ascii_case(b"trailers");
                te |= trailers;
                trailers
            }
            Class::Upgrade => scan.upgrade,
            Class::HopByHop | Class::Framing => false,
        };
        if keep {
            headers.append(name.clone(), value.clone());
        }
    }
    if let Some(forwards) = scan.max_forwards {
        headers.insert(header::MAX_FORWARDS, HeaderValue::from(forwards.saturating_sub(1)));
    }
    match framing {
        Framing::None => {}
        Framing::Length(length) => _ = headers.append(header::CONTENT_LENGTH, HeaderValue::from(length)),
        Framing::Chunked => _ = headers.append(header::TRANSFER_ENCODING, CHUNKED),
    }
    if scan.upgrade {
        headers.append(header::CONNECTION, UPGRADE);
    } else if te {
        headers.append(header::CONNECTION, TE);
    }
    if client.trusted {
        continue_statements(&mut headers, host, client, own);
    }
    if scan.via || client.trusted {
        headers.append(header::VIA, VIA);
    }
    headers
}

/// Removes from a worker's response what is not for the client, and says what it was.
///
/// # Errors
/// [`Fault::BadResponse`] for a body that two readers would end in two places: a length beside a transfer coding, a coding
/// other than `chunked`, a length that is no number or given more than once (RFC 9112 §6.3).
pub(super) fn to_client<B>(response: &mut Response<B>) -> Result<Said, Fault> {
    let mut said = Said::default();
    let (mut connection, mut codings, mut lengths, mut others) = (false, 0, 0, false);
    let headers = response.headers();
    for (name, value) in headers {
        match class(name) {
            Class::HopByHop if *name == header::CONNECTION => connection = true,
            Class::HopByHop => {
                others = true;
                said.keep_alive = said.keep_alive.or_else(|| timeout(name, value));
            }
            Class::Upgrade => {
                others = true;
                said.protocol = Some(value.clone());
            }
            Class::Te => others = true,
            Class::Framing if *name == header::TRANSFER_ENCODING => {
                codings += 1;
                if !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::BadResponse);
                }
            }
            Class::Framing if *name == header::CONTENT_LENGTH => {
                lengths += 1;
                if !value.as_bytes().iter().all(u8::is_ascii_digit) {
                    return Err(Fault::BadResponse);
                }
            }
            Class::Framing | Class::EndToEnd | Class::Identity | Class::Ambiguous => {}
        }
    }
    if codings + lengths > 1 {
        return Err(Fault::BadResponse);
    }
    others |= connection && Named::by(headers).any_of(headers);
    let headers = response.headers_mut();
    if others {
        strip(headers);
    } else {
        if connection {
            headers.remove(header::CONNECTION);
        }
        if codings > 0 {
            headers.remove(header::TRANSFER_ENCODING);
        }
    }
    Ok(said)
}

/// Removes whatever is for one connection only.
fn strip(headers: &mut HeaderMap) {
    let named = Named::by(headers);
    let of_connection = |name: &HeaderName| match class(name) {
        Class::HopByHop | Class::Te | Class::Upgrade => true,
        Class::Framing => *name == header::TRANSFER_ENCODING,
        Class::EndToEnd | Class::Identity | Class::Ambiguous => named.contains(name),
    };
    let names: Vec<HeaderName> = headers.keys().filter(|name| of_connection(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// `timeout=SECONDS` of a `Keep-Alive` field.
fn timeout(name: &HeaderName, value: &HeaderValue) -> Option<u32> {
    if name != KEEP_ALIVE {
        return None;
    }
    let mut parameters = value.to_str().ok()?.split(',');
    parameters.find_map(|parameter| parameter.trim().strip_prefix("timeout=")?.parse().ok())
}

/// What a trusted peer says is continued, and completed where it says nothing.
fn continue_statements(headers: &mut HeaderMap, host: &HeaderValue, client: &ClientFields, own: &RequestFields) {
    headers.append(header::HOST, host.clone());
    for (name, next) in [(X_FORWARDED_FOR, client.forwarded_for.clone()), (header::FORWARDED, client.forwarded(host))] {
        let hops: Vec<&[u8]> = headers.get_all(&name).iter().chain([&next]).map(HeaderValue::as_bytes).collect();
        let joined = HeaderValue::from_bytes(&hops.join(&b", "[..])).unwrap_or(next);
        headers.insert(name, joined);
    }
    for (name, value) in [
        (X_FORWARDED_PROTO, &HTTP),
        (X_FORWARDED_HOST, host),
        (X_REQUEST_ID, &own.id),
        (X_REQUEST_START, &own.start),
        (TRACEPARENT, &own.trace),
    ] {
        headers.entry(name).or_insert_with(|| value.clone());
    }
}

/// `X-Request-Id`.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");
const TE: HeaderValue = HeaderValue::from_static("te");
const HTTP: HeaderValue = HeaderValue::from_static("http");
const VIA: HeaderValue = HeaderValue::from_static("1.1 balancer");
const UNKNOWN: HeaderValue = HeaderValue::from_static("unknown");
const UNKNOWN_NODE: HeaderValue = HeaderValue::from_static("for=unknown");
/// Fields we add at most, and those that most clients send, so that the map seldom grows.
const OWN_FIELDS: usize = 12;
const CLIENT_FIELDS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder();
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn response(fields: &[(&str, &str)]) -> Response<()> {
        let mut response = Response::new(());
        *response.headers_mut() = request(fields).headers;
        response
    }

    fn sent(fields: &[(&str, &str)], framing: Framing, trusted: bool) -> HeaderMap {
        let client = ClientFields::new(Some([192, 0, 2, 1].into()), trusted);
        let own = RequestFields {
            id: HeaderValue::from_static("id-1"),
            start: HeaderValue::from_static("t=1.5"),
            trace: HeaderValue::from_static("00-a-b-00"),
        };
        let (request, host) = (request(fields), HeaderValue::from_static("app.test"));
        let scan = Scan::of(&request).unwrap();
        to_worker(&request, &scan, &host, framing, &client, &own, AmbiguousFields::Drop)
    }

    fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
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
            Framing::None,
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
        let headers = sent(&fields, Framing::Length(5), false);
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
        let stranger = sent(&fields, Framing::None, false);
        assert_eq!(all(&stranger, "x-forwarded-for"), ["192.0.2.1"]);
        assert_eq!(all(&stranger, "x-forwarded-proto"), ["http"]);
        assert_eq!(all(&stranger, "x-forwarded-host"), ["app.test"]);
        assert_eq!(all(&stranger, "forwarded"), ["for=192.0.2.1;host=\"app.test\";proto=http"]);
        assert_eq!(all(&stranger, "x-real-ip"), [""; 0]);
        assert_eq!(all(&stranger, "x-request-id"), ["id-1"]);
        let trusted = sent(&fields, Framing::None, true);
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
        let headers = sent(&asked, Framing::None, false);
        assert_eq!(all(&headers, "connection"), ["upgrade"]);
        assert_eq!(all(&headers, "upgrade"), ["websocket"]);
        let h2c = sent(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")], Framing::None, false);
        assert_eq!(all(&h2c, "upgrade"), [""; 0]);
        assert_eq!(all(&h2c, "connection"), [""; 0]);
    }

    #[test]
    fn repeated_fields_keep_their_order_and_ambiguous_names_go() {
        let fields = [("cookie", "a=1"), ("cookie", "b=2"), ("x_forwarded_for", "1.1.1.1"), ("content_length", "7")];
        let headers = sent(&fields, Framing::None, false);
        assert_eq!(all(&headers, "cookie"), ["a=1", "b=2"]);
        assert!(!headers.contains_key("x_forwarded_for") && !headers.contains_key("content_length"));
    }

    #[test]
    fn a_trace_goes_on_and_via_names_the_gateways_in_order() {
        for trusted in [false, true] {
            let fields = [("traceparent", "00-theirs"), ("via", "1.1 first"), ("via", "1.0 second")];
            let headers = sent(&fields, Framing::None, trusted);
            assert_eq!(all(&headers, "traceparent"), ["00-theirs"]);
            assert_eq!(all(&headers, "via"), ["1.1 first", "1.0 second", "1.1 balancer"]);
            let stripped = sent(&[("traceparent", "00-theirs"), ("connection", "traceparent")], Framing::None, trusted);
            assert_eq!(all(&stripped, "traceparent"), ["00-a-b-00"]);
            assert_eq!(all(&sent(&[], Framing::None, trusted), "x-request-start"), ["t=1.5"]);
            let several = [("traceparent", "00-theirs"), ("traceparent", "00-others")];
            assert_eq!(all(&sent(&several, Framing::None, trusted), "traceparent"), ["00-a-b-00"], "of several none");
        }
    }

    #[test]
    fn an_options_request_passes_one_gateway_fewer() {
        let mut request = request(&[("max-forwards", "3")]);
        request.method = http::Method::OPTIONS;
        let scan = Scan::of(&request).unwrap();
        assert!(!scan.ends_here());
        let (host, client) = (HeaderValue::from_static("a"), ClientFields::new(None, false));
        let value = || HeaderValue::from_static("-");
        let own = RequestFields { id: value(), start: value(), trace: value() };
        let headers = to_worker(&request, &scan, &host, Framing::None, &client, &own, AmbiguousFields::Drop);
        assert_eq!(all(&headers, "max-forwards"), ["2"]);
    }

    #[test]
    fn te_trailers_is_asked_of_the_worker_too() {
        let headers = sent(&[("te", "trailers"), ("connection", "te")], Framing::None, false);
        assert_eq!((all(&headers, "te"), all(&headers, "connection")), (vec!["trailers"], vec!["te"]));
    }

    #[test]
    fn a_response_keeps_its_cookies_and_loses_what_was_for_us() {
        let mut response = response(&[
            ("connection", "keep-alive, x-hop, set-cookie2"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("content-length", "3"),
        ]);
        assert_eq!(to_client(&mut response), Ok(Said { protocol: None, keep_alive: Some(5) }));
        let headers = response.headers();
        let mut left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("content-length", "3"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]);
    }

    #[test]
    fn the_usual_connection_field_of_a_response_goes_alone() {
        for fields in
            [[("connection", "keep-alive"), ("x-hop", "1")], [("transfer-encoding", "Chunked "), ("x-hop", "1")]]
        {
            let mut response = response(&fields);
            assert_eq!(to_client(&mut response), Ok(Said::default()));
            assert_eq!(response.headers().keys().collect::<Vec<_>>(), ["x-hop"]);
        }
    }

    #[test]
    fn a_response_that_two_readers_would_end_in_two_places_is_none() {
        for fields in [
            &[("content-length", "5"), ("transfer-encoding", "chunked")][..],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "gzip")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("content-length", "5, 5")],
            &[("content-length", "5"), ("content-length", "5")],
            &[("content-length", "+5")],
        ] {
            assert_eq!(to_client(&mut response(fields)), Err(Fault::BadResponse), "{fields:?}");
        }
    }

    #[test]
    fn the_host_in_forwarded_is_that_of_the_request_not_of_the_last_one() {
        let client = ClientFields::new(Some("2001:db8::1".parse().unwrap()), false);
        for host in ["a.test", "a.test", "b.test:81", "a.test"] {
            let element = client.forwarded(&HeaderValue::from_static(host));
            assert_eq!(element, format!("for=\"[2001:db8::1]\";host=\"{host}\";proto=http"));
        }
        assert_eq!(client.forwarded(&HeaderValue::from_static("")), "for=\"[2001:db8::1]\";proto=http");
    }
}
