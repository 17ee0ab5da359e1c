//! What of a request decides its endpoint. Decides what is hashed; read once a request, by `forward`. Never knows an endpoint.

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64;

use super::affinity::Affinity;
use super::cookie::cookie;
use crate::config::{HashKey, Policy};
use crate::http1::Fields;
use crate::net::ClientKey;

/// What of a request its endpoint depends on.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoutingKey {
    /// Hash of its key; 0 where the policy does not hash.
    pub key: u64,
    /// The tag of its affinity cookie.
    pub affinity: Option<u64>,
    /// Whose it is.
    pub client: ClientKey,
}

impl RoutingKey {
    /// That of a request for `target`. A request without the key hashes by client address, so that it too stays in
    /// place.
    pub(super) fn of(
        (policy, affinity): (&Policy, Option<&Affinity>),
        target: &str,
        fields: &Fields,
        client: Option<IpAddr>,
    ) -> Self {
        let whose = ClientKey::of(client);
        let affinity = affinity.and_then(|affinity| affinity.wanted(fields));
        let Policy::Hash(hash_key) = policy else { return Self { key: 0, affinity, client: whose } };
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
