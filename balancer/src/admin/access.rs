//! Who may ask. The Unix socket is guarded by its mode; over TCP a token decides, or that it is this machine, and then that no
//! web page has its visitor's browser ask.

use std::hint::black_box;
use std::net::IpAddr;

use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

use super::answer::{Answer, plain};

/// Through which door a request came.
#[derive(Debug, Clone)]
pub(super) enum Door {
    /// The Unix socket.
    Unix,
    /// TCP, for who knows the token.
    Token(String),
    /// TCP on loopback.
    Loopback,
}

impl Door {
    /// Lets a request pass, or answers it.
    pub(super) fn check(&self, head: &Parts) -> Result<(), Box<Answer>> {
        let is_harmless = matches!(head.uri.path(), "/healthz" | "/readyz" | "/");
        match self {
            Self::Unix => Ok(()),
            Self::Token(_) if is_harmless => Ok(()),
            Self::Token(token) if bearer(&head.headers).is_some_and(|given| same(given, token)) => Ok(()),
            Self::Token(_) => {
                let mut answer = plain(StatusCode::UNAUTHORIZED, "this needs the token: Authorization: Bearer TOKEN");
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
                Err(answer.into())
            }
            // A name that a stranger has made to mean 127.0.0.1 gives the stranger's page the right to ask and to read.
            Self::Loopback if !is_local(text(&head.headers, header::HOST)) => {
                Err(plain(StatusCode::FORBIDDEN, "ask for an address or for localhost, not for another name").into())
            }
            Self::Loopback if head.method != Method::GET && is_foreign(&head.headers) => {
                Err(plain(StatusCode::FORBIDDEN, "pages of others may not ask for that").into())
            }
            Self::Loopback => Ok(()),
        }
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

/// Whether a `Host` can only mean this machine. HTTP/1.0 clients send none, browsers always do.
fn is_local(host: Option<&str>) -> bool {
    let Some(host) = host else { return true };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
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

    fn refusal(door: &Door, method: &str, path: &str, fields: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        door.check(&head).err().map(|answer| answer.status().as_u16())
    }

    #[test]
    fn with_a_token_only_who_shows_it_passes_and_who_asks_for_health() {
        let door = Door::Token("0123456789abcdef".into());
        let ask = |value: &str| refusal(&door, "GET", "/metrics", &[("Authorization", value)]);
        assert_eq!(ask("Bearer 0123456789abcdef"), None);
        assert_eq!(ask("bearer 0123456789abcdef"), None);
        for wrong in ["Bearer 0123456789abcdeg", "Bearer 0123456789abcde", "Bearer ", "Basic 0123456789abcdef", ""] {
            assert_eq!(ask(wrong), Some(401), "{wrong}");
        }
        assert_eq!(ask("Bearer 0123456789abcdef0123456789abcdef"), Some(401));
        assert_eq!(refusal(&door, "GET", "/readyz", &[]), None);
        assert_eq!(refusal(&door, "POST", "/api/stop", &[]), Some(401));
    }

    #[test]
    fn without_one_no_strangers_page_can_ask_through_a_browser() {
        let ask = |method, fields: &[(&str, &str)]| refusal(&Door::Loopback, method, "/api/stop", fields);
        assert_eq!(ask("POST", &[("Host", "127.0.0.1:9100")]), None);
        assert_eq!(ask("POST", &[("Host", "[::1]:9100"), ("Origin", "http://[::1]:9100")]), None);
        assert_eq!(ask("GET", &[("Host", "localhost:9100"), ("Origin", "https://evil.test")]), None);
        assert_eq!(ask("POST", &[("Host", "localhost:9100"), ("Origin", "https://evil.test")]), Some(403));
        assert_eq!(ask("POST", &[("Host", "localhost:9100"), ("Origin", "null")]), Some(403));
        assert_eq!(ask("GET", &[("Host", "evil.test:9100")]), Some(403));
    }
}
