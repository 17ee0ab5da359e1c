//! Same client, same endpoint, by a cookie we set.

use std::hash::Hasher;

use http::{HeaderMap, HeaderValue};
use siphasher::sip::SipHasher24;

use super::key::cookie;
use crate::config;
use crate::endpoint::Endpoint;

/// Writes and reads the affinity cookie.
///
/// Its value is a keyed hash (SipHash-2-4) of the endpoint's name: the signature is all there is, so a client learns
/// nothing of our endpoints and cannot choose one. The key comes from the machine's own id, which outlives a restart;
/// without one it is drawn at random, and clients are placed anew after a restart.
#[derive(Debug)]
pub struct Affinity {
    cookie: String,
    key: u128,
}

impl Affinity {
    /// The cookie is called as the configuration says.
    pub fn new(affinity: &config::Affinity) -> Self {
        let id = std::fs::read_to_string("/etc/machine-id").ok();
        let key = id.and_then(|id| u128::from_str_radix(id.trim(), 16).ok()).unwrap_or_else(rand::random);
        Self { cookie: affinity.cookie.clone(), key }
    }

    /// The tag a request asks for, if it brings a cookie of ours.
    pub fn wanted(&self, headers: &HeaderMap) -> Option<u64> {
        cookie(headers, &self.cookie)
            .filter(|value| value.len() == 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
    }

    /// The tag of an endpoint.
    pub fn tag(&self, endpoint: &Endpoint) -> u64 {
        let mut hasher = SipHasher24::new_with_keys((self.key >> 64) as u64, self.key as u64);
        hasher.write(endpoint.name().as_bytes());
        hasher.finish()
    }

    /// The `Set-Cookie` value that keeps a client at an endpoint (RFC 6265 §4.1).
    pub fn set_cookie(&self, endpoint: &Endpoint) -> Option<HeaderValue> {
        let tag = self.tag(endpoint);
        HeaderValue::try_from(format!("{}={tag:016x}; Path=/; HttpOnly; SameSite=Lax", self.cookie)).ok()
    }
}
