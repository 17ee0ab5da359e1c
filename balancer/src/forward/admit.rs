//! What a request must be to be forwarded at all (RFC 9112 §3, RFC 9110 §7.6, §10.1.1).

use http::header::HeaderValue;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};

use super::error::Fault;
use super::scan::Scan;

/// What a request's head says of its way.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// What goes on as `Host`.
    pub host: HeaderValue,
    /// The target in the form an origin server gets it: path and query, or `*`.
    pub target: Uri,
}

/// Reads host and target off a head that the parser has let pass. `serverwide` says of an OPTIONS request that its target
/// had neither path nor query, of which the parser has made `/`.
///
/// # Errors
/// The client's fault, if a gateway must refuse the request.
pub fn admit(request: &Parts, scan: &Scan<'_>, serverwide: bool) -> Result<Admitted, Fault> {
    if request.method == Method::CONNECT || request.method == Method::TRACE {
        return Err(Fault::MethodRefused);
    }
    let field = host_field(request, scan)?;
    if let Some(field) = &field {
        valid_host(field.as_bytes()).then_some(()).ok_or(Fault::BadHost)?;
    }
    let (host, target) = match (request.uri.scheme_str(), request.uri.authority()) {
        (None, None) => (field, origin_form(request)?),
        (Some("http" | "https"), Some(authority)) => {
            // RFC 9112 §3.2.2: the target's host replaces the field.
            if authority.as_str().contains('@') {
                return Err(Fault::BadTarget);
            }
            valid_host(authority.as_str().as_bytes()).then_some(()).ok_or(Fault::BadHost)?;
            let host = HeaderValue::try_from(authority.as_str()).map_err(|_| Fault::BadTarget)?;
            (Some(host), absolute_form(request, serverwide))
        }
        _ => return Err(Fault::BadTarget),
    };
    Ok(Admitted { host: host.unwrap_or(NO_HOST), target })
}

/// The one `Host` field; HTTP/1.0 may do without.
fn host_field(request: &Parts, scan: &Scan<'_>) -> Result<Option<HeaderValue>, Fault> {
    match (scan.hosts, scan.host) {
        (1, Some(host)) => Ok(Some(host.clone())),
        (0, _) if request.version == Version::HTTP_10 => Ok(None),
        _ => Err(Fault::BadHost),
    }
}

fn origin_form(request: &Parts) -> Result<Uri, Fault> {
    match request.uri.path() {
        "*" if request.method == Method::OPTIONS => Ok(request.uri.clone()),
        path if path.starts_with('/') => Ok(request.uri.clone()),
        _ => Err(Fault::BadTarget),
    }
}

/// RFC 9112 §3.2.4: what is for the whole server goes on as `*`.
fn absolute_form(request: &Parts, serverwide: bool) -> Uri {
    let target = request.uri.path_and_query().filter(|_| !serverwide).cloned();
    let other = if serverwide { PathAndQuery::from_static("*") } else { PathAndQuery::from_static("/") };
    Uri::from(target.unwrap_or(other))
}

/// `uri-host [":" port]` (RFC 9110 §7.2), strictly: what two readers could read in two ways is refused.
fn valid_host(host: &[u8]) -> bool {
    let (name, port) = match host {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
            let literal = std::str::from_utf8(&rest[..end]).unwrap_or_default();
            if literal.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            (&b"ip"[..], &rest[end + 1..])
        }
        _ => host.iter().position(|&byte| byte == b':').map_or((host, &b""[..]), |colon| host.split_at(colon)),
    };
    let port_is_valid = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    !name.is_empty() && port_is_valid && valid_name(name)
}

/// `reg-name` (RFC 3986 §3.2.2) without the comma and the quote, which some readers split at.
fn valid_name(mut name: &[u8]) -> bool {
    while let [byte, rest @ ..] = name {
        name = match (byte, rest) {
            (byte, rest) if IN_NAME[usize::from(*byte)] => rest,
            (b'%', [a, b, rest @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => rest,
            _ => return false,
        };
    }
    true
}

/// Bytes that stand for themselves in a name.
const IN_NAME: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'(' | b')' | b'*' | b'+' | b';' | b'=');
        byte += 1;
    }
    allowed
};

/// For an HTTP/1.0 request without a host: HTTP/1.1 demands the field, which may be empty (RFC 9112 §3.2).
const NO_HOST: HeaderValue = HeaderValue::from_static("");

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(method: &str, target: &str, hosts: &[&str]) -> Result<(String, String), Fault> {
        let mut request = http::Request::builder().method(method).uri(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        let scan = Scan::of(&parts)?;
        admit(&parts, &scan, false)
            .map(|admitted| (admitted.host.to_str().unwrap().into(), admitted.target.to_string()))
    }

    #[test]
    fn every_target_form_is_taken_to_its_origin_form() {
        let ok = |host: &str, target: &str| Ok((host.to_owned(), target.to_owned()));
        assert_eq!(admitted("GET", "/a?b=c", &["x.test"]), ok("x.test", "/a?b=c"));
        assert_eq!(admitted("GET", "http://y.test:81/a?b", &["x.test"]), ok("y.test:81", "/a?b"));
        assert_eq!(admitted("GET", "http://y.test", &["x.test"]), ok("y.test", "/"));
        assert_eq!(admitted("OPTIONS", "*", &["x.test"]), ok("x.test", "*"));
        assert_eq!(admitted("OPTIONS", "http://y.test/", &["x.test"]), ok("y.test", "/"));
        assert_eq!(admitted("OPTIONS", "http://y.test?z", &["x.test"]), ok("y.test", "/?z"));
        assert_eq!(admitted("GET", "/a//../%2e", &["x.test"]), ok("x.test", "/a//../%2e"));
        for (method, target) in
            [("GET", "*"), ("GET", "ftp://y.test/"), ("GET", "http://u@y.test/"), ("GET", "y.test:80")]
        {
            assert_eq!(admitted(method, target, &["x.test"]), Err(Fault::BadTarget), "{method} {target}");
        }
        for method in ["CONNECT", "TRACE"] {
            assert_eq!(admitted(method, "y.test:80", &["x.test"]), Err(Fault::MethodRefused));
        }
    }

    #[test]
    fn host_is_there_once_and_well_formed() {
        for host in ["x", "x.test:8080", "127.0.0.1", "[::1]", "[::1]:80", "x_y.test", "x:", "a%41b"] {
            assert!(admitted("GET", "/", &[host]).is_ok(), "{host}");
        }
        for host in
            ["", "x y", "x/y", "u@x", "x?y", "x,y", "x\"y", "[::1", "::1", "[x]", "x:80a", "x:123456", "a%4", "x\\y"]
        {
            assert_eq!(admitted("GET", "/", &[host]), Err(Fault::BadHost), "{host:?}");
        }
        assert_eq!(admitted("GET", "/", &[]), Err(Fault::BadHost));
        assert_eq!(admitted("GET", "/", &["x", "x"]), Err(Fault::BadHost));
        assert_eq!(
            admitted("GET", "http://x/", &[]),
            Err(Fault::BadHost),
            "absolute-form needs the field all the same"
        );
    }

    #[test]
    fn only_the_one_expectation_is_known() {
        let expect = |value: &str| {
            let request = http::Request::builder().uri("/").header("host", "x").header("expect", value);
            Scan::of(&request.body(()).unwrap().into_parts().0).map(|scan| scan.expects_continue)
        };
        assert_eq!(expect("100-Continue"), Ok(true));
        assert_eq!(expect("200-ok"), Err(Fault::ExpectationFailed));
    }
}
