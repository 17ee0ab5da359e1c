//! Upstream connections: opened, kept for the next request, thrown away.
//!
//! Each proxy thread keeps its own, so that a request, its client and its worker meet on one thread and nothing is locked.

mod connection;
#[cfg(feature = "http2")]
mod driving;
mod opening;
mod reading;
#[cfg(feature = "http2")]
mod shared;
#[cfg(feature = "http2")]
mod streams;
#[cfg(not(feature = "http2"))]
#[path = "no_streams.rs"]
mod streams;
mod written;

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::error::Fault;
use super::way::Way;
use crate::endpoint::{Endpoint, EndpointId};
use crate::net::{Encryption, sleep};
pub(super) use connection::Upstream;
#[cfg(feature = "http2")]
use shared::Shared;
#[cfg(feature = "http2")]
use streams::Streamed;
pub(super) use streams::fits_frames;
pub(super) use written::Written;

/// The idle connections of one thread.
#[derive(Debug, Default)]
pub struct Upstreams {
    idle: RefCell<HashMap<EndpointId, IdleAtEndpoint, BuildHasherDefault<IdHasher>>>,
    #[cfg(feature = "http2")]
    shared: Shared,
}

/// Those of one endpoint, the one used last at the end.
#[derive(Debug)]
struct IdleAtEndpoint {
    endpoint: Arc<Endpoint>,
    connections: Vec<Idle>,
}

#[derive(Debug)]
struct Idle {
    upstream: Box<Upstream>,
    /// How long it may be idle.
    limit: Duration,
}

impl Upstreams {
    /// The idle connection used last, if one is still open and may carry the request, see
    /// [`IdleTime::may_carry`](crate::endpoint::IdleTime::may_carry), and for how long it has been idle; the others may age out.
    pub(super) fn check_out(
        &self,
        endpoint: &Endpoint,
        repeatable: bool,
        now: Instant,
    ) -> Option<(Box<Upstream>, Duration)> {
        if endpoint.uses_none() {
            return None;
        }
        let mut idle = self.idle.borrow_mut();
        let connections = &mut idle.get_mut(&endpoint.id())?.connections;
        let idle_time = endpoint.idle_time();
        if !repeatable
            && let Some(oldest) = connections.first_mut()
            && oldest.upstream.is_open()
        {
            idle_time.survived(oldest.upstream.idle(now));
        }
        loop {
            let idle = connections.last()?.upstream.idle(now);
            let last = connections.pop_if(|last| idle_time.may_carry(repeatable, idle, last.limit))?;
            if !last.upstream.is_current() {
                continue;
            }
            if last.upstream.is_quiet() {
                return Some((last.upstream, idle));
            }
            learn(endpoint, &last.upstream);
        }
    }

    /// Keeps a connection whose response has been read to its end. `idle_max` bounds how many, `keep_alive` how long from
    /// `since` on.
    pub(super) fn check_in(
        &self,
        endpoint: &Arc<Endpoint>,
        mut upstream: Box<Upstream>,
        idle_max: usize,
        (keep_alive, since): (Duration, Instant),
    ) {
        let limit = endpoint.idle_time().limit(keep_alive, since);
        if limit.is_zero() || endpoint.keeps_none() || !upstream.rests(since) {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let new = || IdleAtEndpoint { endpoint: Arc::clone(endpoint), connections: Vec::new() };
        let connections = &mut idle.entry(endpoint.id()).or_insert_with(new).connections;
        if connections.len() < idle_max {
            connections.push(Idle { upstream, limit });
        }
    }

    /// A connection for one request: one of its own, or in HTTP/2 a stream of one that others may use too.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn open(
        &self,
        endpoint: &Arc<Endpoint>,
        (within, encryption): (Duration, Encryption),
        way: Way,
    ) -> Result<Box<Upstream>, Fault> {
        #[cfg(feature = "http2")]
        if way != Way::Http1 {
            let (requests, held) = self.shared.stream(endpoint, (within, &encryption), way).await?;
            return Ok(Upstream::streamed(Streamed::new(requests, held)));
        }
        let _ = way;
        Upstream::open(endpoint, within, &encryption).await
    }

    /// Closes what has been idle for too long, has been closed by its worker or keeps others waiting, as long as the thread lives.
    pub async fn reap_for_ever(&self) {
        let mut on_trial = false;
        loop {
            tokio::select! {
                () = sleep(if on_trial { REAP_ON_TRIAL } else { REAP }) => {}
                () = LET_GO.notified() => {}
            }
            let now = Instant::now();
            on_trial = false;
            #[cfg(feature = "http2")]
            self.shared.reap(now, SHARED_IDLE);
            self.idle.borrow_mut().retain(|_, IdleAtEndpoint { endpoint, connections }| {
                connections.retain_mut(|kept| {
                    let (open, idle) = (kept.upstream.is_open(), kept.upstream.idle(now));
                    if !open {
                        learn(endpoint, &kept.upstream);
                        return false;
                    }
                    endpoint.idle_time().survived(idle);
                    match endpoint.lets_go(idle, now) {
                        Some(false) => idle < kept.limit && !endpoint.keeps_none(),
                        Some(true) => {
                            kept.upstream.let_go();
                            false
                        }
                        None => {
                            on_trial = true;
                            true
                        }
                    }
                });
                !connections.is_empty()
            });
        }
    }
}

/// A request has waited for long on a new connection to an endpoint: where idle ones may be why, every thread closes its own.
pub(super) fn let_go_for_who_waits(endpoint: &Endpoint, now: Instant) {
    if endpoint.keeps_waiting(now) {
        tracing::debug!(endpoint = &**endpoint.name(), "closes idle connections: a request waits on a new one");
        LET_GO.notify_waiters();
    }
}

/// The endpoint has closed a connection while nobody used it: others are not kept for that long.
pub(super) fn learn(endpoint: &Endpoint, upstream: &Upstream) {
    let Some(idle) = upstream.idle_until_closed() else { return };
    if let Some(limit) = endpoint.idle_time().closed_after(idle, Instant::now()) {
        tracing::debug!(endpoint = &**endpoint.name(), "closes idle connections after {idle:?}: kept for {limit:?}");
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

/// That some are to be closed at once; a thread that is busy sees it at its next look.
static LET_GO: Notify = Notify::const_new();
/// A connection of many requests is opened in two round trips. Endpoints that close sooner say so with GOAWAY, which costs no request.
#[cfg(feature = "http2")]
const SHARED_IDLE: Duration = Duration::from_secs(30);
const REAP: Duration = Duration::from_millis(500);
/// While it is to be seen whether a connection that rests keeps others waiting, which takes little more than a second.
const REAP_ON_TRIAL: Duration = Duration::from_millis(20);
