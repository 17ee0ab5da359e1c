//! A pool: a named group of interchangeable endpoints.
//!
//! Decides which endpoint serves the next attempt and takes a place there ([`Pool::claim`]). Called by `forward` for every
//! attempt, and by `supervise` and `app` when endpoints come and go. Never opens a connection and never judges one.

mod affinity;
mod arrivals;
mod claim;
mod configured;
mod cookie;
mod cursors;
mod deadly;
mod deaths;
mod encrypted;
mod gone;
mod holding;
mod holds;
mod hung;
mod key;
mod killers;
mod members;
mod moment;
mod one_at_a_time;
mod panic;
mod place;
mod query_of_death;
mod queue;
mod retry_budget;
mod serial;
mod slots;
mod suspects;
mod waiting;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;

use crate::config::{self, ProxyProtocol, UpstreamTimeouts};
use crate::endpoint::{Around, Endpoint, EndpointId, Stays};
use crate::net::ClientKey;
use crate::tls::EndpointTls;
pub use affinity::Affinity;
use arrivals::Arrivals;
pub use arrivals::Expecting;
use cursors::Cursors;
pub use deadly::{Asked, Barred, DeathRefusal, Led, Whom};
use holds::Holds;
pub use key::RoutingKey;
use members::Members;
use panic::Panic;
pub use place::Place;
use query_of_death::QueryOfDeath;
use queue::Queue;
pub use queue::ask::{Ask, Figures, Reason, Refused};
pub use queue::forecast::Kind;
pub use queue::lasting::Crowding;
pub use queue::learned::Learned;
pub use queue::pressure::Pressure;
use retry_budget::RetryBudget;
use serial::SerialFound;
pub use slots::{Reservation, SlotClaim};
pub use waiting::Waiting;

/// A pool and what is remembered of it between requests.
///
/// What is configured never changes: a reload makes a successor ([`Pool::succeed`]), which shares the rest.
#[derive(Debug)]
pub struct Pool {
    name: Arc<str>,
    policy: config::Policy,
    affinity: Option<Affinity>,
    timeouts: UpstreamTimeouts,
    proxy_protocol: Option<ProxyProtocol>,
    http2: bool,
    tls: Arc<ArcSwapOption<EndpointTls>>,
    attempts_max: u32,
    idle_connections_max: usize,
    panic: Panic,
    members: Arc<ArcSwap<Members>>,
    /// The members' own.
    around: Arc<Around>,
    /// Told of every change of the members.
    changed: Arc<Notify>,
    /// Locked by whoever changes the members; readers never wait.
    holds: Arc<Mutex<Holds>>,
    cursors: Arc<Cursors>,
    /// With slots only.
    queue: Option<Arc<Mutex<Queue>>>,
    buffers: config::Buffers,
    requests: Arc<AtomicUsize>,
    retries: Mutex<RetryBudget>,
    query_of_death: Arc<QueryOfDeath>,
    /// How long a request waits where nobody takes requests, and how many do at most.
    ready_wait: (Duration, usize),
    arrivals: Arc<Arrivals>,
    serial: Arc<SerialFound>,
    /// The limit of a response's header is `hang_timeout`.
    hangs: bool,
    /// Its workers' `query_of_death`; 0 without workers.
    deaths_max: u32,
}

/// What a successor has in common with its predecessor.
struct Inherited {
    members: Arc<ArcSwap<Members>>,
    changed: Arc<Notify>,
    holds: Arc<Mutex<Holds>>,
    cursors: Arc<Cursors>,
    queue: Option<Arc<Mutex<Queue>>>,
    requests: Arc<AtomicUsize>,
    query_of_death: Arc<QueryOfDeath>,
    arrivals: Arc<Arrivals>,
    serial: Arc<SerialFound>,
    tls: Arc<ArcSwapOption<EndpointTls>>,
}

impl Pool {
    /// A pool with its fixed endpoints; workers are added as they become ready.
    pub fn new(pool: &config::Pool) -> Arc<Self> {
        let name: Arc<str> = pool.name.as_str().into();
        let inherited = Inherited {
            members: Arc::new(ArcSwap::from_pointee(Members::of(pool, &name))),
            changed: Arc::default(),
            holds: Arc::default(),
            cursors: Arc::default(),
            queue: pool.slots.clone().map(|slots| Arc::new(Mutex::new(Queue::new(slots, Instant::now())))),
            requests: Arc::default(),
            query_of_death: Arc::default(),
            arrivals: Arc::default(),
            serial: Arc::default(),
            tls: Arc::default(),
        };
        Arc::new(Self::sharing(pool, name, inherited))
    }

    /// The same pool under another configuration: endpoints that it names still are the same objects, with all that is
    /// counted and known of them; so are workers, the turns and the queue go on. Endpoints it does not name any more drain.
    ///
    /// Requests that have found the predecessor already are served by its rules.
    pub fn succeed(&self, pool: &config::Pool) -> Arc<Self> {
        match &pool.slots {
            Some(slots) => self.configure_slots(slots.clone()),
            None => self.open_slots(),
        }
        let begun = |slots| Arc::new(Mutex::new(Queue::new(slots, Instant::now())));
        let queue = pool.slots.clone().map(|slots| self.queue.clone().unwrap_or_else(|| begun(slots)));
        let inherited = Inherited {
            members: Arc::clone(&self.members),
            changed: Arc::clone(&self.changed),
            holds: Arc::clone(&self.holds),
            cursors: Arc::clone(&self.cursors),
            queue,
            requests: Arc::clone(&self.requests),
            query_of_death: Arc::clone(&self.query_of_death),
            arrivals: Arc::clone(&self.arrivals),
            serial: Arc::clone(&self.serial),
            tls: Arc::clone(&self.tls),
        };
        let successor = Self::sharing(pool, Arc::clone(&self.name), inherited);
        let before = self.endpoints();
        self.change_members(|members, _| members.configured(pool, &self.name));
        // Only now: until here there was no other to go to.
        let after = self.endpoints();
        for gone in before.iter().filter(|one| !after.iter().any(|kept| kept.id() == one.id())) {
            gone.drain();
            self.holds.lock().unwrap_or_else(PoisonError::into_inner).forget(gone.name());
        }
        successor.tend(Instant::now());
        Arc::new(successor)
    }

    fn sharing(pool: &config::Pool, name: Arc<str>, inherited: Inherited) -> Self {
        let Inherited { members, changed, holds, cursors, queue, requests, query_of_death, arrivals, serial, tls } =
            inherited;
        let counted = requests.load(Ordering::Relaxed);
        let mut timeouts = pool.timeouts.clone();
        let hang_timeout = pool.workers.as_ref().and_then(|workers| workers.recycle.hang_timeout);
        timeouts.response = hang_timeout.unwrap_or(timeouts.response).min(timeouts.response);
        if pool.proxy_protocol.is_some() || pool.http2 {
            // A connection is one client's, and the next request may be another's; or it is a stream, and over.
            timeouts.keep_alive = Duration::ZERO;
        }
        Self {
            name,
            policy: pool.policy.clone(),
            affinity: pool.affinity.as_ref().map(Affinity::new),
            timeouts,
            proxy_protocol: pool.proxy_protocol,
            http2: pool.http2,
            tls,
            attempts_max: pool.attempts_max,
            idle_connections_max: pool.idle_connections_max,
            panic: Panic::new(pool.health.panic_threshold),
            around: Arc::clone(members.load().around()),
            members,
            changed,
            holds,
            cursors,
            queue,
            buffers: pool.buffers,
            requests,
            retries: Mutex::new(RetryBudget::new(pool.retry_budget, counted, Instant::now())),
            query_of_death,
            ready_wait: (pool.ready_wait(), pool.waiting_max),
            arrivals,
            serial,
            hangs: hang_timeout.is_some(),
            deaths_max: pool.workers.as_ref().map_or(0, |workers| workers.query_of_death),
        }
    }

    /// Adds an endpoint; `position` orders the members (a worker's index), so that turns do not depend on who was ready
    /// first.
    pub fn add(&self, endpoint: Arc<Endpoint>, position: usize) {
        self.change_members(|members, holds| {
            endpoint.judged_by(&self.name, members.health(), members.around());
            holds.apply(&endpoint);
            members.with(endpoint, position)
        });
        self.available_changed();
    }

    /// Has the members know the weights and roles that their endpoints have now.
    pub fn reweigh(&self) {
        self.change_members(|members, _| members.again());
        self.available_changed();
    }

    /// Takes an endpoint out of the list. Its requests in flight go on; see [`Endpoint::drain`] for waiting for them.
    pub fn remove(&self, id: EndpointId) {
        self.change_members(|members, _| members.without(id));
        self.tend(Instant::now());
    }

    /// Counts a request of `client`, of whose number a share may be retried.
    pub fn count_request(&self, client: ClientKey, now: Instant) {
        self.around.saw(client, now);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A request of `client` has ended, after however long.
    pub fn saw(&self, client: ClientKey, now: Instant) {
        self.around.saw(client, now);
    }

    /// A tunnel or an event stream of `client` has begun.
    pub fn stays(&self, client: ClientKey) -> Stays {
        self.around.stays(client)
    }

    /// Whether one more retry stays within the budget; takes it if so.
    pub fn may_retry(&self, now: Instant) -> bool {
        let requests = self.requests.load(Ordering::Relaxed);
        self.retries.lock().unwrap_or_else(PoisonError::into_inner).withdraw(requests, now)
    }

    /// Whether there are endpoints at this moment besides those that were `tried` and the `last` one.
    pub fn has_other_than(&self, tried: &[EndpointId], last: EndpointId) -> bool {
        self.members.load().endpoints().any(|one| one.id() != last && !tried.contains(&one.id()))
    }

    /// Requests it was asked to serve, ever.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// The endpoints of this moment, in order.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.members.load().endpoints().cloned().collect()
    }

    /// Returns when the members have changed since it returned the last time; for one caller at a time.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn change_members(&self, change: impl FnOnce(&Members, &Holds) -> Members) {
        let one_at_a_time = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&self.members.load(), &one_at_a_time);
        self.members.store(Arc::new(changed));
        self.changed.notify_one();
        self.arrivals.tell();
    }
}

#[cfg(test)]
mod health_tests;
#[cfg(test)]
mod tests;

#[cfg(test)]
mod slots_tests;
