//! Same client, same endpoint, by a cookie we set.

use std::hash::Hasher;
use std::path::Path;
use std::sync::OnceLock;

use siphasher::sip::SipHasher24;

use super::cookie::cookie;
use crate::config;
use crate::endpoint::Endpoint;
use crate::http1::Fields;

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
        let id = config::regular::read(Path::new("/etc/machine-id"), MACHINE_ID_MAX).ok();
        Self::with_machine_id(affinity, id.and_then(|id| String::from_utf8(id).ok()))
    }

    fn with_machine_id(affinity: &config::Affinity, id: Option<String>) -> Self {
        // Once a process: whatever of a pool is changed by a reload, its clients stay where they are.
        static DRAWN: OnceLock<u128> = OnceLock::new();
        let key = id.and_then(|id| u128::from_str_radix(id.trim(), 16).ok());
        let key = key.unwrap_or_else(|| *DRAWN.get_or_init(rand::random));
        Self { cookie: affinity.cookie.clone(), key }
    }

    /// The tag a request asks for, if it brings a cookie of ours.
    pub fn wanted(&self, fields: &Fields) -> Option<u64> {
        cookie(fields, &self.cookie)
            .filter(|value| value.len() == 16 && value.iter().all(u8::is_ascii_hexdigit))
            .and_then(|hex| u64::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok())
    }

    /// The tag of an endpoint.
    pub fn tag(&self, endpoint: &Endpoint) -> u64 {
        let mut hasher = SipHasher24::new_with_keys((self.key >> 64) as u64, self.key as u64);
        hasher.write(endpoint.name().as_bytes());
        hasher.finish()
    }

    /// The `Set-Cookie` value that keeps a client at an endpoint (RFC 6265 §4.1).
    pub fn set_cookie(&self, endpoint: &Endpoint) -> String {
        let tag = self.tag(endpoint);
        format!("{}={tag:016x}; Path=/; HttpOnly; SameSite=Lax", self.cookie)
    }
}

/// It is 33 bytes (machine-id(5)).
const MACHINE_ID_MAX: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;

    #[test]
    fn without_a_machine_id_a_changed_pool_keeps_its_clients_where_they_are() {
        let config = config::Pool {
            affinity: Some(config::Affinity { cookie: "lb".into() }),
            ..config::parse("listen = \"127.0.0.1:1\"\n[pool.app]\nendpoints = [\"127.0.0.1:8\"]", "lb.toml")
                .unwrap()
                .pools[0]
                .clone()
        };
        let tag = |pool: &Pool| {
            let affinity = Affinity::with_machine_id(config.affinity.as_ref().unwrap(), None);
            affinity.tag(&pool.endpoints()[0])
        };
        let pool = Pool::new(&config);
        let before = tag(&pool);
        let successor = pool.succeed(&config::Pool { attempts_max: 1, ..config.clone() });
        assert_eq!(tag(&successor), before);
        let machine = |id: &str| {
            let affinity = Affinity::with_machine_id(config.affinity.as_ref().unwrap(), Some(id.to_owned()));
            affinity.tag(&pool.endpoints()[0])
        };
        assert_eq!(machine("0123456789abcdef0123456789abcdef\n"), machine("0123456789abcdef0123456789abcdef"));
        assert_ne!(machine("0123456789abcdef0123456789abcdef"), before);
        assert_eq!(machine("no number"), before);
    }
}
