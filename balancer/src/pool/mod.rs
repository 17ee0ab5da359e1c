//! A pool: a named group of interchangeable endpoints.
//!
//! Decides which endpoint serves the next attempt and takes a place there ([`Pool::claim`]). Called by `forward` for every
//! attempt, and by `supervise` and `app` when endpoints come and go. Never opens a connection and never judges one.

mod affinity;
mod forecast;
mod key;
mod lane;
mod line;
mod members;
mod overload;
mod panic;
mod place;
mod places;
mod query_of_death;
mod queue;
mod retry_budget;
mod slots;
mod waiting;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use http::Method;
use rand::Rng;
use tokio::sync::Notify;

use crate::config::{self, UpstreamTimeouts};
use crate::endpoint::{Endpoint, EndpointId, InFlight, Noted};
use crate::pick::Turn;
pub use affinity::Affinity;
pub use forecast::Kind;
pub use key::Wish;
use members::Members;
use panic::Panic;
pub use place::Place;
use query_of_death::QueryOfDeath;
use queue::Queue;
pub use queue::{Ask, Figures, Reason, Refused};
use retry_budget::RetryBudget;
pub use slots::Claim;
pub use waiting::Waiting;

/// A pool and what is remembered of it between requests.
#[derive(Debug)]
pub struct Pool {
    name: Arc<str>,
    policy: config::Policy,
    affinity: Option<Affinity>,
    timeouts: UpstreamTimeouts,
    attempts_max: u32,
    idle_connections_max: usize,
    health: config::Health,
    panic: Panic,
    members: ArcSwap<Members>,
    /// Told of every change of the members.
    changed: Notify,
    /// Held by whoever changes the members; readers never wait.
    change: Mutex<()>,
    cursors: Cursors,
    /// With slots only.
    queue: Option<Mutex<Queue>>,
    buffers: config::Buffers,
    requests: AtomicUsize,
    retries: Mutex<RetryBudget>,
    query_of_death: QueryOfDeath,
    /// The limit of a response's header is `hang_timeout`.
    hangs: bool,
}

/// Whose turn it is, for all threads.
#[derive(Debug, Default)]
struct Cursors {
    first: AtomicUsize,
    /// A retry takes nobody's turn: with one cursor and two endpoints, all first attempts would go to the one that fails.
    retry: AtomicUsize,
}

impl Pool {
    /// A pool with its fixed endpoints; workers are added as they become ready.
    pub fn new(pool: &config::Pool) -> Arc<Self> {
        let pool_name: Arc<str> = pool.name.as_str().into();
        let fixed = pool.endpoints.iter().map(|fixed| {
            let name = fixed.address.to_string();
            let endpoint = Endpoint::new(name, fixed.address.clone(), fixed.weight, fixed.backup);
            endpoint.judged_by(&pool_name, &pool.health);
            endpoint
        });
        let mut timeouts = pool.timeouts.clone();
        let hang_timeout = pool.workers.as_ref().and_then(|workers| workers.recycle.hang_timeout);
        timeouts.response = hang_timeout.unwrap_or(timeouts.response).min(timeouts.response);
        Arc::new(Self {
            members: ArcSwap::from_pointee(Members::new(&pool.policy, fixed.enumerate().collect())),
            name: Arc::clone(&pool_name),
            policy: pool.policy.clone(),
            affinity: pool.affinity.as_ref().map(Affinity::new),
            timeouts,
            attempts_max: pool.attempts_max,
            idle_connections_max: pool.idle_connections_max,
            panic: Panic::new(pool.health.panic_threshold),
            health: pool.health.clone(),
            changed: Notify::new(),
            change: Mutex::new(()),
            cursors: Cursors::default(),
            queue: pool.slots.clone().map(|slots| Mutex::new(Queue::new(slots, Instant::now()))),
            buffers: pool.buffers,
            requests: AtomicUsize::new(0),
            retries: Mutex::new(RetryBudget::new(pool.retry_budget, Instant::now())),
            query_of_death: QueryOfDeath::default(),
            hangs: hang_timeout.is_some(),
        })
    }

    /// Adds an endpoint; `position` orders the members (a worker's index), so that turns do not depend on who was ready
    /// first.
    pub fn add(&self, endpoint: Arc<Endpoint>, position: usize) {
        endpoint.judged_by(&self.name, &self.health);
        self.change_members(|members| members.with(&self.policy, endpoint, position));
        self.available_changed();
    }

    /// Takes an endpoint out of the list. Its requests in flight go on; see [`Endpoint::drain`] for waiting for them.
    pub fn remove(&self, id: EndpointId) {
        self.change_members(|members| members.without(&self.policy, id));
        self.tend(Instant::now());
    }

    /// Takes a place at an available endpoint that is none of `tried`, or at one of these where there is no other; `None`
    /// when no endpoint accepts requests. For a pool without slots; see [`Self::claim_slot`].
    pub fn claim(&self, wish: &Wish, tried: &[EndpointId], rng: &mut impl Rng) -> Option<InFlight> {
        let members = self.members.load();
        if let Some(place) = wish.affinity.and_then(|tag| members.tagged(tag, self.affinity.as_ref()?, tried)?.claim())
        {
            return Some(place);
        }
        let cursor = if tried.is_empty() { &self.cursors.first } else { &self.cursors.retry };
        let mut turn = Turn { cursor, key: wish.key, rng };
        // An endpoint may begin to drain between the pick and the claim, or another request be the one on probation; then it
        // is not picked again.
        for _ in 0..=members.len() {
            let Some(endpoint) = self.pick(&members, &mut turn, tried) else { break };
            if let Some(place) = endpoint.claim() {
                return Some(place);
            }
        }
        if tried.is_empty() { None } else { self.claim(wish, &[], turn.rng) }
    }

    /// Counts a request, of whose number a share may be retried.
    pub fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether one more retry stays within the budget; takes it if so.
    pub fn may_retry(&self, now: Instant) -> bool {
        let requests = self.requests.load(Ordering::Relaxed);
        self.retries.lock().unwrap_or_else(PoisonError::into_inner).withdraw(requests, now)
    }

    /// Whether requests like this have killed too many workers within the last minute.
    pub fn refuses(&self, method: &Method, path: &str) -> bool {
        self.query_of_death.refuses(method, path, Instant::now)
    }

    /// A worker has answered such a request.
    pub fn answered(&self, method: &Method, path: &str) {
        self.query_of_death.answered(method, path);
    }

    /// A worker has died with these requests in flight; returns the methods and paths that are refused from now on, after
    /// `deaths_max` deaths.
    pub fn worker_died(&self, requests: &[Noted], deaths_max: u32) -> Vec<(Method, String)> {
        let requests: Vec<_> = requests.iter().map(|noted| (noted.method.clone(), noted.target.path())).collect();
        self.query_of_death.died(&requests, deaths_max, Instant::now())
    }

    /// Whether a worker that does not answer within the time for that is to be replaced.
    pub fn hangs(&self) -> bool {
        self.hangs
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What a request's endpoint may depend on.
    pub fn policy(&self) -> &config::Policy {
        &self.policy
    }

    /// How a client is kept at its endpoint.
    pub fn affinity(&self) -> Option<&Affinity> {
        self.affinity.as_ref()
    }

    /// Time limits towards its endpoints.
    pub fn timeouts(&self) -> &UpstreamTimeouts {
        &self.timeouts
    }

    /// What is held for a slow client.
    pub fn buffers(&self) -> config::Buffers {
        self.buffers
    }

    /// Tries for one request.
    pub fn attempts_max(&self) -> u32 {
        self.attempts_max
    }

    /// Idle connections kept per endpoint and proxy thread.
    pub fn idle_connections_max(&self) -> usize {
        self.idle_connections_max
    }

    /// The endpoints of this moment, in order.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.members.load().endpoints().cloned().collect()
    }

    /// Returns when the members have changed since it returned the last time; for one caller at a time.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn pick<'m, R: Rng>(
        &self,
        members: &'m Members,
        turn: &mut Turn<'_, R>,
        tried: &[EndpointId],
    ) -> Option<&'m Arc<Endpoint>> {
        let mut despite = self.panic.holds() && self.panic.is_due(&self.name, members);
        loop {
            let (picked, kept_out) = members.pick(turn, tried, despite);
            if despite || !kept_out || !self.panic.is_due(&self.name, members) {
                return picked;
            }
            despite = true;
        }
    }

    fn change_members(&self, change: impl FnOnce(&Members) -> Members) {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&self.members.load());
        self.members.store(Arc::new(changed));
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod health_tests;
#[cfg(test)]
mod tests;

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod slots_tests;
