//! What of a request decides its endpoint.

use std::net::IpAddr;

use http::request::Parts;
use http::{HeaderMap, header};
use xxhash_rust::xxh3::xxh3_64;

use super::Pool;
use crate::config::{HashKey, Policy};

/// What a request wishes of [`Pool::claim`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// Hash of its key; 0 where the policy does not hash.
    pub key: u64,
    /// The tag of its affinity cookie.
    pub affinity: Option<u64>,
}

impl Wish {
    /// Reads the wish off a request. A request without the key hashes by client address, so that it too stays in place.
    pub fn of(pool: &Pool, request: &Parts, client: Option<IpAddr>) -> Self {
        let affinity = pool.affinity().and_then(|affinity| affinity.wanted(&request.headers));
        let Policy::Hash(hash_key) = pool.policy() else { return Self { key: 0, affinity } };
        let headers = &request.headers;
        let text = match hash_key {
            HashKey::ClientIp => None,
            HashKey::Uri => request.uri.path_and_query().map(|target| target.as_str().as_bytes()),
            HashKey::Header(name) => headers.get(name.as_str()).map(|value| value.as_bytes()),
            HashKey::Cookie(name) => cookie(headers, name).map(str::as_bytes),
        };
        let key = match (text, client) {
            (Some(text), _) => xxh3_64(text),
            (None, Some(IpAddr::V4(ip))) => xxh3_64(&ip.octets()),
            (None, Some(IpAddr::V6(ip))) => xxh3_64(&ip.octets()),
            (None, None) => 0,
        };
        Self { key, affinity }
    }
}

/// The value of a cookie (RFC 6265 §4.2); of several, the first.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_and_over_several_fields() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=1; lb=x".parse().unwrap());
        headers.append(header::COOKIE, "b = 2;c=;=".parse().unwrap());
        assert_eq!(cookie(&headers, "lb"), Some("x"));
        assert_eq!(cookie(&headers, "b"), Some("2"));
        assert_eq!(cookie(&headers, "c"), Some(""));
        assert_eq!(cookie(&headers, "d"), None);
    }
}
