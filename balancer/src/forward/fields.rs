//! Which fields go on, which stay, which are ours (RFC 9110 §7.6, RFC 7239, RFC 9112 §9).
//!
//! Strip first, then add: the request of the client stays as it came, and what goes to a worker is built from nothing.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

use crate::config::AmbiguousFields;

/// What we say of a client in every request of its connection.
#[derive(Debug)]
pub struct ClientFields {
    /// Its address, for `X-Forwarded-For`.
    pub forwarded_for: HeaderValue,
    /// The `for=` part of `Forwarded`, quoted where RFC 7239 §6 asks for it.
    pub forwarded: String,
    /// Whether its own statements are believed.
    pub trusted: bool,
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

/// Whether there is a name that a worker may read as another field's.
pub(super) fn any_ambiguous(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| class(name) == Class::Ambiguous)
}

/// The header section for a worker.
///
/// `host` is what stands in the target or in `Host`; `upgrade` whether the request asks for another protocol. Requests whose
/// names the configuration refuses do not get here.
pub(super) fn to_worker(
    request: &Parts,
    host: &HeaderValue,
    framing: Framing,
    upgrade: bool,
    client: &ClientFields,
    own: &RequestFields,
    ambiguous: AmbiguousFields,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(request.headers.len() + OWN_FIELDS);
    headers.insert(header::HOST, host.clone());
    let named = Named::by(&request.headers);
    for (name, value) in &request.headers {
        let keep = match class(name) {
            Class::EndToEnd => !named.contains(name),
            Class::Identity => client.trusted && !named.contains(name),
            Class::Ambiguous => ambiguous == AmbiguousFields::Pass && !named.contains(name),
            Class::Te => value.as_bytes().eq_ignore_ascii_case(b"trailers"),
            Class::Upgrade => upgrade,
            Class::HopByHop | Class::Framing => false,
        };
        if keep {
            headers.append(name.clone(), value.clone());
        }
    }
    match framing {
        Framing::None => {}
        Framing::Length(length) => _ = headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length)),
        Framing::Chunked => _ = headers.insert(header::TRANSFER_ENCODING, CHUNKED),
    }
    if upgrade {
        headers.insert(header::CONNECTION, UPGRADE);
    } else if headers.contains_key(header::TE) {
        headers.insert(header::CONNECTION, TE);
    }
    add_own(&mut headers, host, client, own);
    headers
}

/// Removes from a worker's response what is not for the client.
pub(super) fn to_client(headers: &mut HeaderMap) {
    let mut strip = 0_u32;
    for name in headers.keys() {
        strip |= u32::from(matches!(class(name), Class::HopByHop | Class::Te | Class::Upgrade));
        strip |= u32::from(*name == header::TRANSFER_ENCODING);
    }
    if strip == 0 {
        return;
    }
    let named = Named::by(headers);
    let of_connection: Vec<HeaderName> = headers
        .keys()
        .filter(|name| match class(name) {
            Class::HopByHop | Class::Te | Class::Upgrade => true,
            Class::Framing => **name == header::TRANSFER_ENCODING,
            Class::EndToEnd | Class::Identity | Class::Ambiguous => named.contains(name),
        })
        .cloned()
        .collect();
    for name in of_connection {
        headers.remove(name);
    }
}

/// Whether a request asks for another protocol that we may pass on (RFC 9110 §7.8). `h2c` is none: the balancer would not
/// see the requests in it.
pub(super) fn wants_upgrade(request: &Parts) -> bool {
    let mut protocols = request.headers.get_all(header::UPGRADE).iter().peekable();
    request.version == http::Version::HTTP_11
        && protocols.peek().is_some()
        && protocols.all(|value| !value.as_bytes().to_ascii_lowercase().starts_with(b"h2c"))
        && Named::by(&request.headers).contains(&header::UPGRADE)
}

fn add_own(headers: &mut HeaderMap, host: &HeaderValue, client: &ClientFields, own: &RequestFields) {
    // Statements of a trusted peer are continued, those of others are not there any more.
    let chain = client.trusted && headers.contains_key(&X_FORWARDED_FOR);
    if chain {
        let hops = headers.get_all(&X_FORWARDED_FOR).iter().chain([&client.forwarded_for]);
        let joined = join(hops);
        headers.insert(X_FORWARDED_FOR, joined.unwrap_or_else(|| client.forwarded_for.clone()));
    } else {
        headers.insert(X_FORWARDED_FOR, client.forwarded_for.clone());
    }
    if !client.trusted || !headers.contains_key(&X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HTTP);
    }
    if !client.trusted || !headers.contains_key(&X_FORWARDED_HOST) {
        headers.insert(X_FORWARDED_HOST, host.clone());
    }
    if let Some(element) = forwarded_element(client, host) {
        let joined = match client.trusted {
            true => join(headers.get_all(header::FORWARDED).iter().chain([&element])),
            false => None,
        };
        headers.insert(header::FORWARDED, joined.unwrap_or(element));
    }
    if !client.trusted || !headers.contains_key(&X_REQUEST_ID) {
        headers.insert(X_REQUEST_ID, own.id.clone());
    }
    if !client.trusted || !headers.contains_key(&X_REQUEST_START) {
        headers.insert(X_REQUEST_START, own.start.clone());
    }
    if !headers.contains_key(&TRACEPARENT) {
        headers.insert(TRACEPARENT, own.trace.clone());
    }
    headers.append(header::VIA, VIA);
}

/// One element of `Forwarded` (RFC 7239 §4). A host that would need escaping inside the quotes is left out.
fn forwarded_element(client: &ClientFields, host: &HeaderValue) -> Option<HeaderValue> {
    let mut element = Vec::with_capacity(64);
    element.extend_from_slice(client.forwarded.as_bytes());
    let quotable = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if !host.is_empty() && host.as_bytes().iter().all(quotable) {
        element.extend_from_slice(b";host=\"");
        element.extend_from_slice(host.as_bytes());
        element.push(b'"');
    }
    element.extend_from_slice(b";proto=http");
    HeaderValue::from_maybe_shared(bytes::Bytes::from(element)).ok()
}

fn join<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Option<HeaderValue> {
    let values: Vec<&[u8]> = values.map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&values.join(&b", "[..])).ok()
}

/// What a field is to an intermediary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Forwarded, unless `Connection` names it.
    EndToEnd,
    /// For one connection only (RFC 9110 §7.6.1), or for us.
    HopByHop,
    /// Framing and routing: written anew by us, and not to be removed by naming it in `Connection`.
    Framing,
    /// Says who the client is: ours to say, unless the peer is trusted.
    Identity,
    /// `TE`: of this connection, but `trailers` is asked of the worker too.
    Te,
    /// `Upgrade`.
    Upgrade,
    /// A CGI-like worker may read it as another field.
    Ambiguous,
}

fn class(name: &HeaderName) -> Class {
    match *name {
        header::CONNECTION | header::PROXY_AUTHENTICATE | header::PROXY_AUTHORIZATION => return Class::HopByHop,
        header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::HOST => return Class::Framing,
        header::TE => return Class::Te,
        header::UPGRADE => return Class::Upgrade,
        header::FORWARDED => return Class::Identity,
        _ => {}
    }
    match name.as_str() {
        // `Proxy` becomes HTTP_PROXY in a CGI environment (CVE-2016-5385).
        "keep-alive" | "proxy-connection" | "proxy" => Class::HopByHop,
        "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-forwarded-port" | "x-forwarded-server"
        | "x-real-ip" | "x-request-id" | "x-request-start" => Class::Identity,
        text if text.bytes().any(|byte| matches!(byte, b'_' | b'.')) => Class::Ambiguous,
        _ => Class::EndToEnd,
    }
}

/// The names in a message's `Connection` fields.
struct Named<'a> {
    headers: Option<&'a HeaderMap>,
}

impl<'a> Named<'a> {
    fn by(headers: &'a HeaderMap) -> Self {
        // The usual ones name nothing that is not hop-by-hop anyway.
        let plain = |value: &HeaderValue| {
            value.as_bytes().eq_ignore_ascii_case(b"keep-alive") || value.as_bytes().eq_ignore_ascii_case(b"close")
        };
        let names_some = headers.get_all(header::CONNECTION).iter().any(|value| !plain(value));
        Self { headers: names_some.then_some(headers) }
    }

    fn contains(&self, name: &HeaderName) -> bool {
        let Some(headers) = self.headers else { return false };
        let fields = headers.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes);
        let mut names = fields.flat_map(|field| field.split(|&byte| byte == b','));
        names.any(|named| named.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
    }
}

/// `X-Request-Id`.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");
const TE: HeaderValue = HeaderValue::from_static("te");
const HTTP: HeaderValue = HeaderValue::from_static("http");
const VIA: HeaderValue = HeaderValue::from_static("1.1 balancer");
/// Fields we add at most, so that the map grows once.
const OWN_FIELDS: usize = 12;

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

    fn sent(fields: &[(&str, &str)], framing: Framing, trusted: bool) -> HeaderMap {
        let client = ClientFields {
            forwarded_for: HeaderValue::from_static("192.0.2.1"),
            forwarded: "for=192.0.2.1".into(),
            trusted,
        };
        let own = RequestFields {
            id: HeaderValue::from_static("id-1"),
            start: HeaderValue::from_static("t=1.5"),
            trace: HeaderValue::from_static("00-a-b-00"),
        };
        let (request, host) = (request(fields), HeaderValue::from_static("app.test"));
        to_worker(&request, &host, framing, wants_upgrade(&request), &client, &own, AmbiguousFields::Drop)
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
    fn te_trailers_is_asked_of_the_worker_too() {
        let headers = sent(&[("te", "trailers"), ("connection", "te")], Framing::None, false);
        assert_eq!((all(&headers, "te"), all(&headers, "connection")), (vec!["trailers"], vec!["te"]));
    }

    #[test]
    fn a_response_keeps_its_cookies_and_loses_what_was_for_us() {
        let mut headers = request(&[
            ("connection", "keep-alive, x-hop, set-cookie2"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("content-length", "3"),
        ])
        .headers;
        to_client(&mut headers);
        let mut left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("content-length", "3"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]);
    }
}
