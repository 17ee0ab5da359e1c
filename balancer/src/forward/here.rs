//! Answers that need no endpoint.

use http::StatusCode;

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Here {
    /// That all is well.
    Nothing,
    /// The same, asked in another way: there.
    Elsewhere(Vec<u8>),
    /// This.
    Text(String),
}

impl Here {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Nothing | Self::Text(_) => StatusCode::OK,
            // The method stays (RFC 9110 §15.4.9).
            Self::Elsewhere(_) => StatusCode::PERMANENT_REDIRECT,
        }
    }

    pub(super) fn body(&self) -> &[u8] {
        match self {
            Self::Nothing | Self::Elsewhere(_) => b"",
            Self::Text(text) => text.as_bytes(),
        }
    }
}

/// Where the same is asked for over TLS; `None` where the host has no certificate.
///
/// Who has asked at the usual port finds the other usual one, whatever ours is called behind a mapping of ports.
pub(super) fn by_tls(host: &[u8], target: &str, port: u16, has_certificate: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let end = host.iter().rposition(|&byte| byte == b':').unwrap_or(host.len());
    let (name, asked_at) = host.split_at(end);
    if name.is_empty() || target == "*" || !has_certificate(name) {
        return None;
    }
    let mut place = [b"https://", name].concat();
    if !matches!(asked_at, b"" | b":" | b":80") && port != 443 {
        place.extend_from_slice(format!(":{port}").as_bytes());
    }
    place.extend_from_slice(target.as_bytes());
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_by_tls_has_the_same_target_and_a_port_only_where_one_was_asked_for() {
        let place = |host: &str, target, port| {
            let place = by_tls(host.as_bytes(), target, port, |name| name == b"a.test");
            place.map(|place| String::from_utf8(place).unwrap())
        };
        assert_eq!(place("a.test", "/x?y=1", 443).as_deref(), Some("https://a.test/x?y=1"));
        assert_eq!(place("a.test:80", "/", 8443).as_deref(), Some("https://a.test/"));
        assert_eq!(place("a.test", "/", 8443).as_deref(), Some("https://a.test/"));
        assert_eq!(place("a.test:8080", "/", 8443).as_deref(), Some("https://a.test:8443/"));
        assert_eq!(place("a.test:8080", "/", 443).as_deref(), Some("https://a.test/"));
        for (host, target) in [("b.test", "/"), ("", "/"), ("[::1]:80", "/"), ("a.test", "*")] {
            assert_eq!(place(host, target, 443), None, "{host}");
        }
    }
}
