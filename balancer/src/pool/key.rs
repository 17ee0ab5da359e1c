//! What of a request decides its endpoint.

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64;

use super::Pool;
use crate::config::{HashKey, Policy};
use crate::http1::{Fields, Name};
use crate::net::ClientKey;

/// What a request wishes of [`Pool::claim`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// Hash of its key; 0 where the policy does not hash.
    pub key: u64,
    /// The tag of its affinity cookie.
    pub affinity: Option<u64>,
    /// Whose it is.
    pub client: ClientKey,
}

impl Wish {
    /// Reads the wish off a request for `target`. A request without the key hashes by client address, so that it too stays in
    /// place.
    pub fn of(pool: &Pool, target: &str, fields: &Fields, client: Option<IpAddr>) -> Self {
        let whose = ClientKey::of(client);
        let affinity = pool.affinity().and_then(|affinity| affinity.wanted(fields));
        let Policy::Hash(hash_key) = pool.policy() else { return Self { key: 0, affinity, client: whose } };
        let text = match hash_key {
            HashKey::ClientIp => None,
            HashKey::Uri => Some(target.as_bytes()),
            HashKey::Header(name) => fields.called(name.as_str()),
            HashKey::Cookie(name) => cookie(fields, name),
        };
        let key = match (text, client) {
            (Some(text), _) => xxh3_64(text),
            (None, Some(IpAddr::V4(ip))) => xxh3_64(&ip.octets()),
            (None, Some(IpAddr::V6(ip))) => xxh3_64(&ip.octets()),
            (None, None) => 0,
        };
        Self { key, affinity, client: whose }
    }
}

/// The value of a cookie (RFC 6265 §4.2), which is bytes; of several, the first.
pub(super) fn cookie<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    let mut pairs = fields.all(Name::Cookie).flat_map(|field| field.split(|&byte| byte == b';'));
    pairs.find_map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (key, value) = (&pair[..equals], &pair[equals + 1..]);
        (key.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_and_over_several_fields() {
        let mut fields = Fields::default();
        fields.append("Cookie", "name=ü; a=1; lb=x".as_bytes());
        fields.append("cookie", b"b = 2;c=;=;d");
        assert_eq!(cookie(&fields, "lb"), Some(&b"x"[..]));
        assert_eq!(cookie(&fields, "b"), Some(&b"2"[..]));
        assert_eq!(cookie(&fields, "c"), Some(&b""[..]));
        assert_eq!(cookie(&fields, "d"), None);
    }
}
