//! What a request must be to be forwarded at all (RFC 9112 §3, RFC 9110 §7.6, §10.1.1).

use std::borrow::Cow;

use http::Method;

use super::error::Fault;
use super::scan::Scan;
use crate::http1::{Name, RequestHead, RequestTarget, Version};

/// What a request's head says of its way.
#[derive(Debug, Clone)]
pub struct Admitted<'a> {
    /// What goes on as `Host`.
    pub host: &'a [u8],
    /// The target in the form an origin server gets it: path and query, or `*`.
    pub target: Cow<'a, str>,
    /// Where its query begins, or it ends.
    path_end: usize,
}

impl Admitted<'_> {
    /// The target without its query.
    pub fn path(&self) -> &str {
        &self.target[..self.path_end]
    }
}

/// Reads host and target off a head that is strictly HTTP.
///
/// # Errors
/// The client's fault, if a gateway must refuse the request.
pub fn admit<'a>(head: &'a RequestHead, scan: &Scan) -> Result<Admitted<'a>, Fault> {
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        return Err(Fault::MethodRefused);
    }
    let host = host_field(head, scan)?;
    if let Some(host) = host {
        valid_host(host).then_some(()).ok_or(Fault::BadHost)?;
    }
    let is_options = head.method == Method::OPTIONS;
    let (host, target): (_, Cow<'_, str>) = match RequestTarget::of(head.target()) {
        RequestTarget::Origin(target) => (host, target.into()),
        RequestTarget::Asterisk if is_options => (host, "*".into()),
        // RFC 9112 §3.2.2: the target's host replaces the field.
        RequestTarget::Absolute { authority, rest } if !authority.contains('@') => {
            valid_host(authority.as_bytes()).then_some(()).ok_or(Fault::BadHost)?;
            (Some(authority.as_bytes()), origin_form(rest, is_options))
        }
        RequestTarget::Absolute { .. } | RequestTarget::Asterisk | RequestTarget::Other => {
            return Err(Fault::BadTarget);
        }
    };
    // HTTP/1.1 demands the field, which may be empty (RFC 9112 §3.2).
    let path_end = target.bytes().position(|byte| byte == b'?').unwrap_or(target.len());
    Ok(Admitted { host: host.unwrap_or_default(), target, path_end })
}

/// The one `Host` field; HTTP/1.0 may do without.
fn host_field<'a>(head: &'a RequestHead, scan: &Scan) -> Result<Option<&'a [u8]>, Fault> {
    match scan.hosts {
        1 => Ok(head.fields.first(Name::Host)),
        0 if head.version == Version::Http10 => Ok(None),
        _ => Err(Fault::BadHost),
    }
}

/// What stands behind an authority. RFC 9112 §3.2.4: an OPTIONS request with nothing there is for the whole server.
fn origin_form(rest: &str, is_options: bool) -> Cow<'_, str> {
    match rest.chars().next() {
        None if is_options => "*".into(),
        None => "/".into(),
        Some('/') => rest.into(),
        Some(_) => format!("/{rest}").into(),
    }
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
        _ => host.split_at(host.iter().position(|&byte| byte == b':').unwrap_or(host.len())),
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
    // Without an early exit, which is faster for nearly all of them.
    if name.iter().fold(true, |all, byte| all & IN_NAME[usize::from(*byte)]) {
        return true;
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Fields;

    fn admitted(method: &str, target: &str, hosts: &[&str]) -> Result<(String, String), Fault> {
        let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        let head =
            RequestHead::parse(format!("{method} {target} HTTP/1.1\r\n{hosts}\r\n").as_bytes(), Fields::default())
                .unwrap();
        let admitted = admit(&head, &Scan::of(&head, &[])?)?;
        Ok((String::from_utf8(admitted.host.to_vec()).unwrap(), admitted.target.into_owned()))
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
        assert_eq!(admitted("OPTIONS", "http://y.test", &["x.test"]), ok("y.test", "*"));
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
            let head = format!("GET / HTTP/1.1\r\nHost: x\r\nExpect: {value}\r\n\r\n");
            let head = RequestHead::parse(head.as_bytes(), Fields::default()).unwrap();
            Scan::of(&head, &[]).map(|scan| scan.expects_continue)
        };
        assert_eq!(expect("100-Continue"), Ok(true));
        assert_eq!(expect("200-ok"), Err(Fault::ExpectationFailed));
    }
}
