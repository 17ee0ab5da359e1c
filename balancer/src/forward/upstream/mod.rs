//! Upstream connections: opened, kept for the next request, thrown away.
//!
//! Each proxy thread keeps its own, so that a request, its client and its worker meet on one thread and nothing is locked.

mod connection;
mod driver;
mod interim;
mod wire;

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

use crate::endpoint::EndpointId;
pub(super) use connection::Upstream;

/// The idle connections of one thread.
#[derive(Debug, Default)]
pub struct Upstreams {
    idle: RefCell<HashMap<EndpointId, Vec<Idle>, BuildHasherDefault<IdHasher>>>,
}

#[derive(Debug)]
struct Idle {
    upstream: Box<Upstream>,
    until: Instant,
}

impl Upstreams {
    /// The idle connection used last, if one is still open: the others may age out.
    pub(super) fn check_out(&self, endpoint: EndpointId, now: Instant) -> Option<Box<Upstream>> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&endpoint)?;
        while let Some(Idle { upstream, until }) = connections.pop() {
            if now < until && upstream.is_ready() {
                return Some(upstream);
            }
        }
        None
    }

    /// Keeps a connection whose response has been read to its end. `idle_max` bounds how many, `until` how long.
    pub(super) fn check_in(&self, endpoint: EndpointId, mut upstream: Box<Upstream>, idle_max: usize, until: Instant) {
        if !upstream.rests() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let connections = idle.entry(endpoint).or_default();
        if connections.len() < idle_max {
            connections.push(Idle { upstream, until });
        }
    }

    /// Closes what has been idle for too long or has been closed by its worker, as long as the thread lives.
    pub async fn reap_for_ever(&self) {
        loop {
            tokio::time::sleep(REAP).await;
            let now = Instant::now();
            self.idle.borrow_mut().retain(|_, connections| {
                connections.retain_mut(|idle| now < idle.until && idle.upstream.is_open());
                !connections.is_empty()
            });
        }
    }
}

/// Endpoint numbers are unique already; a hash against attackers would buy nothing.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, id: u64) {
        // Spread over the high bits, which the map looks at too.
        self.0 = (self.0 ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

const REAP: Duration = Duration::from_millis(500);
