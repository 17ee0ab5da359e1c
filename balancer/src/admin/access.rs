//! Who may ask. The Unix socket is guarded by its mode; over TCP a token decides, or that it is this machine, and then that no
//! web page has its visitor's browser ask.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};

use super::answer::{ServiceAnswer, plain};
use super::page;

/// How a listener of the admin service knows who asks.
#[derive(Debug, Clone)]
pub(super) enum AdminAuth {
    /// The Unix socket.
    Unix,
    /// TCP, for who knows the token.
    Token(String),
    /// TCP on loopback.
    Loopback,
}

/// Who asks, of those that may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Somebody who may ask for everything.
    Known,
    /// Anybody: what he asks for does no harm.
    Stranger,
}

impl AdminAuth {
    /// Lets a request pass, or answers it.
    pub(super) fn check(&self, head: &Parts) -> Result<Asker, Box<ServiceAnswer>> {
        let host = host(head).map_err(|why| plain(StatusCode::BAD_REQUEST, why))?;
        let is_harmless = matches!(head.uri.path(), "/healthz" | "/readyz") || page::part(head.uri.path()).is_some();
        match self {
            Self::Unix => Ok(Asker::Known),
            Self::Token(token) if bearer(&head.headers).is_some_and(|given| same(given, token)) => Ok(Asker::Known),
            Self::Token(_) if is_harmless => Ok(Asker::Stranger),
            Self::Token(_) => {
                let mut answer = plain(StatusCode::UNAUTHORIZED, "this needs the token: Authorization: Bearer TOKEN");
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
                Err(answer.into())
            }
            // A name that a stranger has made to mean 127.0.0.1 gives the stranger's page the right to ask and to read.
            Self::Loopback if !host.is_none_or(is_local) => {
                Err(plain(StatusCode::FORBIDDEN, "the Host field must be an address or localhost").into())
            }
            Self::Loopback if head.method != Method::GET && is_foreign(&head.headers) => {
                Err(plain(StatusCode::FORBIDDEN, "requests of other web pages are refused").into())
            }
            Self::Loopback => Ok(Asker::Known),
        }
    }
}

/// The host that a request is for, as RFC 9112 §3.2 wants it said: once, and in the target as in the field. HTTP/1.0 may leave it out.
fn host(head: &Parts) -> Result<Option<&str>, &'static str> {
    let mut fields = head.headers.get_all(header::HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (_, Some(_)) => return Err("there are several Host fields: send one"),
        (None, None) if head.version >= Version::HTTP_11 => return Err("there is no Host field: send one"),
        (None, None) => None,
        (Some(value), None) => Some(value.to_str().map_err(|_| "the Host field is not a host")?),
    };
    match (head.uri.authority(), field) {
        (Some(target), Some(field)) if !field.eq_ignore_ascii_case(target.as_str()) => {
            Err("the target is for another host than the Host field")
        }
        (Some(target), None) => Ok(Some(target.as_str())),
        (_, field) => Ok(field),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Takes as long whatever is right in `given`.
fn same(given: &str, token: &str) -> bool {
    let (given, token) = (given.as_bytes(), token.as_bytes());
    let mut difference = given.len() ^ token.len();
    for (index, byte) in given.iter().enumerate() {
        // The remainder keeps the index within; the lengths have been compared.
        difference |= black_box(usize::from(byte ^ token[index % token.len().max(1)]));
    }
    black_box(difference) == 0
}

/// Whether a `Host`, all of it, can only mean this machine. HTTP/1.0 clients send none, browsers always do.
fn is_local(host: &str) -> bool {
    let (is_address, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) => (name.parse::<Ipv6Addr>().is_ok(), port),
            None => return false,
        },
        None => {
            let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
            (name.parse::<Ipv4Addr>().is_ok() || name.eq_ignore_ascii_case("localhost"), port)
        }
    };
    let is_port = |digits: &str| digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_address && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// Whether a browser asks for a page that is not ours.
fn is_foreign(headers: &HeaderMap) -> bool {
    let host = text(headers, header::HOST).unwrap_or_default();
    match headers.get(header::ORIGIN) {
        None => false,
        Some(origin) => origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")) != Some(host),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn refusal(auth: &AdminAuth, method: &str, path: &str, fields: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().method(method).uri(path);
        if !fields.iter().any(|(name, _)| *name == "Host") {
            request = request.header("Host", "127.0.0.1:9100");
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        auth.check(&head).err().map(|answer| answer.status().as_u16())
    }

    #[test]
    fn with_a_token_only_who_shows_it_passes_and_who_asks_for_health() {
        let auth = AdminAuth::Token("0123456789abcdef".into());
        let ask = |value: &str| refusal(&auth, "GET", "/metrics", &[("Authorization", value)]);
        assert_eq!(ask("Bearer 0123456789abcdef"), None);
        assert_eq!(ask("bearer 0123456789abcdef"), None);
        for wrong in ["Bearer 0123456789abcdeg", "Bearer 0123456789abcde", "Bearer ", "Basic 0123456789abcdef", ""] {
            assert_eq!(ask(wrong), Some(401), "{wrong}");
        }
        assert_eq!(ask("Bearer 0123456789abcdef0123456789abcdef"), Some(401));
        assert_eq!(refusal(&auth, "GET", "/readyz", &[]), None);
        assert_eq!(refusal(&auth, "POST", "/api/stop", &[]), Some(401));
    }

    #[test]
    fn without_one_no_strangers_page_can_ask_through_a_browser() {
        let ask = |method, fields: &[(&str, &str)]| refusal(&AdminAuth::Loopback, method, "/api/stop", fields);
        assert_eq!(ask("POST", &[("Host", "127.0.0.1:9100")]), None);
        assert_eq!(ask("POST", &[("Host", "[::1]:9100"), ("Origin", "http://[::1]:9100")]), None);
        assert_eq!(ask("GET", &[("Host", "localhost:9100"), ("Origin", "https://evil.test")]), None);
        assert_eq!(ask("POST", &[("Host", "localhost:9100"), ("Origin", "https://evil.test")]), Some(403));
        assert_eq!(ask("POST", &[("Host", "localhost:9100"), ("Origin", "null")]), Some(403));
        assert_eq!(ask("GET", &[("Host", "evil.test:9100")]), Some(403));
        for host in [
            "[::1].evil",
            "[::1]evil:80",
            "127.0.0.1.evil",
            "localhost.evil",
            "[::1",
            "localhost:80:80",
            "127.0.0.1:x",
            "",
        ] {
            assert_eq!(ask("GET", &[("Host", host)]), Some(403), "{host}");
        }
        for host in ["[::1]", "127.0.0.1", "LOCALHOST:1", "10.1.2.3:80"] {
            assert_eq!(ask("GET", &[("Host", host)]), None, "{host}");
        }
    }

    #[test]
    fn a_request_says_once_which_host_it_is_for() {
        for auth in [AdminAuth::Unix, AdminAuth::Loopback, AdminAuth::Token("0123456789abcdef".into())] {
            let ask = |version: Version, target: &str, hosts: &[&str]| {
                let mut request = Request::builder().version(version).uri(target);
                for host in hosts {
                    request = request.header("Host", *host);
                }
                let (head, ()) = request.body(()).unwrap().into_parts();
                auth.check(&head).err().map(|answer| answer.status().as_u16())
            };
            assert_eq!(ask(Version::HTTP_11, "/healthz", &[]), Some(400));
            assert_eq!(ask(Version::HTTP_11, "/healthz", &["127.0.0.1", "127.0.0.1"]), Some(400));
            assert_eq!(ask(Version::HTTP_10, "/healthz", &["127.0.0.1", "127.0.0.1"]), Some(400));
            assert_eq!(ask(Version::HTTP_11, "http://evil.test/healthz", &["127.0.0.1"]), Some(400));
            assert_eq!(ask(Version::HTTP_11, "http://127.0.0.1:1/healthz", &["127.0.0.1:1"]), None);
            assert_eq!(ask(Version::HTTP_10, "/healthz", &[]), None);
        }
        let (head, ()) =
            Request::builder().version(Version::HTTP_10).uri("http://evil.test/").body(()).unwrap().into_parts();
        assert_eq!(AdminAuth::Loopback.check(&head).err().map(|answer| answer.status().as_u16()), Some(403));
    }

    #[test]
    fn only_who_may_ask_for_everything_is_known() {
        let asker = |auth: &AdminAuth, path: &str, fields: &[(&str, &str)]| {
            let mut request = Request::builder().uri(path).header("Host", "localhost");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            auth.check(&request.body(()).unwrap().into_parts().0).ok()
        };
        let token = AdminAuth::Token("0123456789abcdef".into());
        assert_eq!(asker(&token, "/healthz", &[]), Some(Asker::Stranger));
        assert_eq!(asker(&token, "/healthz", &[("Authorization", "Bearer 0123456789abcdef")]), Some(Asker::Known));
        assert_eq!(asker(&AdminAuth::Loopback, "/healthz", &[]), Some(Asker::Known));
        assert_eq!(asker(&AdminAuth::Unix, "/metrics", &[]), Some(Asker::Known));
    }
}
