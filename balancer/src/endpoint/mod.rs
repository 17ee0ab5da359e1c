//! An endpoint: one address of a pool with what is counted there and what is thought of it.
//!
//! Decides whether it takes one more request ([`Endpoint::claim`]), and keeps the one verdict on its health, whoever started
//! it. Called by `pool`, which chooses among endpoints, by `forward` and `probe`, which bring news of it, and by whoever
//! drains one. Never opens a connection and never chooses.

mod around;
mod connected;
mod draining;
mod evidence;
mod found;
mod health;
mod idle_time;
mod in_flight;
mod ledger;
mod named;
mod one_at_a_time;
mod reach;
mod serial;
mod slow_start;
mod standing;
mod verdict;

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::{self, Address};
pub use around::{Around, Stays};
pub use connected::Connected;
use found::Found;
use health::HealthEvent;
pub use idle_time::IdleTime;
pub use in_flight::{InFlight, Tunnel};
use ledger::Ledger;
pub use ledger::{Noted, ReplaceCause};
pub use one_at_a_time::Answered;
use reach::Reach;
use serial::Serial;
pub use slow_start::WHOLE;
pub use verdict::Shown;
use verdict::Verdict;

/// One address of a pool, shared by every thread for as long as a request, a member list or a worker refers to it.
#[derive(Debug)]
pub struct Endpoint {
    id: EndpointId,
    name: Arc<str>,
    name_hash: u64,
    address: Address,
    reach: Reach,
    weight: AtomicU16,
    backup: AtomicBool,
    /// Why no request gets a place: see `draining`; 0 while they do.
    closed: AtomicU8,
    in_flight: AtomicUsize,
    requests: AtomicU64,
    connections: AtomicUsize,
    /// Of those in flight.
    tunnels: AtomicUsize,
    drained: Notify,
    verdict: Verdict,
    idle_time: IdleTime,
    serial: Serial,
    /// When it was told the last time what is wrong with it.
    told: Mutex<Option<Instant>>,
    /// Of a worker's.
    ledger: Option<Ledger>,
    /// Of one to which a name has led.
    found: Option<Found>,
}

/// Number of an endpoint, never used twice in the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(u64);

impl Endpoint {
    /// A new endpoint that accepts requests.
    ///
    /// `name` tells it apart for people and for hashing, and stays the same when a worker comes back at another port:
    /// `app.2` for a worker, the address for a fixed endpoint. `weight` is at least 1.
    pub fn new(name: String, address: Address, weight: u16, backup: bool) -> Arc<Self> {
        Arc::new(Self::make(name, address, weight, backup))
    }

    /// The endpoint of a worker: it remembers what is in flight, and raises [`Self::alarmed`] after `requests_max`.
    pub fn of_worker(name: String, address: Address, requests_max: Option<u64>) -> Arc<Self> {
        Arc::new(Self { ledger: Some(Ledger::new(requests_max)), ..Self::make(name, address, 1, false) })
    }

    /// Whether it is the endpoint of a worker of ours.
    pub fn is_of_worker(&self) -> bool {
        self.ledger.is_some()
    }

    fn make(name: String, address: Address, weight: u16, backup: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: EndpointId(NEXT.fetch_add(1, Ordering::Relaxed)),
            name_hash: xxh3_64(name.as_bytes()),
            name: name.into(),
            reach: Reach::new(&address),
            address,
            weight: AtomicU16::new(weight.max(1)),
            backup: AtomicBool::new(backup),
            closed: AtomicU8::new(0),
            in_flight: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            tunnels: AtomicUsize::new(0),
            drained: Notify::new(),
            verdict: Verdict::new(),
            idle_time: IdleTime::default(),
            serial: Serial::default(),
            told: Mutex::default(),
            ledger: None,
            found: None,
        }
    }

    /// From now on `pool`, with the clients `around`, judges it by `rules`; as a fresh member, it begins with a slow start.
    pub fn judged_by(&self, pool: &Arc<str>, rules: &config::Health, around: &Arc<Around>) {
        self.verdict.judged_by(pool, rules, around);
    }

    /// A probe was answered, or not, and why.
    pub fn probed(&self, answer: Result<(), &dyn Display>) {
        match answer {
            _ if self.is_retired() => {}
            Ok(()) => self.verdict.step(&self.name, HealthEvent::ProbeOk, &""),
            Err(why) => self.verdict.step(&self.name, HealthEvent::ProbeFailed, why),
        }
    }

    /// Whether its probes say that it is down.
    pub fn is_down(&self) -> bool {
        self.verdict.is_down()
    }

    /// What is thought of it, for people.
    pub fn shown(&self) -> Shown {
        self.verdict.shown(Instant::now())
    }

    /// Whether its health keeps requests away: it is down, ejected, or on probation with a request under way.
    pub fn is_out(&self) -> bool {
        self.verdict.is_out()
    }

    /// Whether failed requests keep others away: it is ejected, or on probation with a request under way.
    pub fn is_ejected(&self) -> bool {
        self.verdict.is_ejected()
    }

    /// Somebody who is no request has tried to connect to it: whether it took the connection.
    pub fn reached(&self, took: bool) {
        self.verdict.step(&self.name, if took { HealthEvent::Reachable } else { HealthEvent::Unreachable }, &"");
    }

    /// Whether the last that is known of it is a failure: that it is empty says nothing then.
    pub fn is_suspect(&self) -> bool {
        self.verdict.is_suspect()
    }

    /// Its share of [`WHOLE`], less only while it ramps up.
    pub fn share(&self) -> u32 {
        self.verdict.share()
    }

    /// For how long a connection to it may be idle.
    pub fn idle_time(&self) -> &IdleTime {
        &self.idle_time
    }

    /// A request was not answered in time: no more come, and whoever waits for [`Self::alarmed`] is told. Says whether
    /// somebody may replace it, which is so for a worker.
    pub fn report_hang(&self) -> bool {
        let Some(ledger) = &self.ledger else { return false };
        self.drain();
        ledger.report_hang();
        true
    }

    /// Waits until there is a reason to replace the worker; for ever where it is none. One may wait.
    pub async fn alarmed(&self) -> ReplaceCause {
        match &self.ledger {
            Some(ledger) => ledger.alarmed().await,
            None => std::future::pending().await,
        }
    }

    /// The requests at a worker that can be named, those that it cut off within the last second among them, oldest first.
    pub fn requests(&self) -> Vec<Noted> {
        self.ledger.as_ref().map_or(Vec::new(), |ledger| ledger.requests(Instant::now()))
    }

    /// Requests at this endpoint, until their last body byte.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Requests it was given a place for, ever.
    pub fn claims(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Open connections for requests: those that carry one, and those that wait for the next.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Another share and role, for the next member list that is made of it.
    pub fn configure(&self, weight: u16, backup: bool) {
        self.weight.store(weight.max(1), Ordering::Relaxed);
        self.backup.store(backup, Ordering::Relaxed);
    }

    /// Its number.
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// Its name, see [`Self::new`].
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// A hash of its name that is the same in every process and version.
    pub fn name_hash(&self) -> u64 {
        self.name_hash
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Share of picks, at least 1.
    pub fn weight(&self) -> u16 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Whether it is used only when no other is available.
    pub fn backup(&self) -> bool {
        self.backup.load(Ordering::Relaxed)
    }
}

impl EndpointId {
    /// As a number, for who keeps something by it.
    pub fn number(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::net::ClientKey;

    fn endpoint() -> Arc<Endpoint> {
        Endpoint::new("app.1".into(), Address::Unix(PathBuf::from("/s")), 1, false)
    }

    #[test]
    fn a_place_is_counted_until_it_is_dropped() {
        let endpoint = endpoint();
        let first = endpoint.claim().unwrap();
        let second = endpoint.claim().unwrap();
        assert_eq!(endpoint.in_flight(), 2);
        drop((first, second));
        assert_eq!(endpoint.in_flight(), 0);
    }

    #[test]
    fn a_draining_endpoint_gives_no_place_and_counts_none() {
        let endpoint = endpoint();
        endpoint.drain();
        assert!(endpoint.claim().is_none());
        assert_eq!(endpoint.in_flight(), 0);
    }

    #[test]
    fn whoever_is_retired_is_not_judged_any_more() {
        let pool: Arc<str> = "app".into();
        let rules = config::Health { eject_after: 1, ..config::Health::default() };
        for retired in [false, true] {
            let endpoint = endpoint();
            endpoint.judged_by(&pool, &rules, &Arc::default());
            let mut places = [endpoint.claim().unwrap(), endpoint.claim().unwrap()];
            if retired {
                endpoint.drain();
            }
            places[0].failed(&"reset");
            endpoint.probed(Err(&"silent"));
            assert_eq!(endpoint.is_out(), !retired);
            assert_eq!(endpoint.is_down(), !retired);
        }
    }

    #[test]
    fn connections_that_one_client_gets_too_late_eject_nobody_from_others_and_refused_ones_do() {
        let client = |last: u8| ClientKey::of(Some([192, 0, 2, last].into()));
        let around = Arc::new(Around::default());
        [1, 2].into_iter().for_each(|last| around.saw(client(last), Instant::now()));
        let rules = config::Health { eject_after: 3, ..config::Health::default() };
        let after = |last: [u8; 3], fail: fn(&mut InFlight)| {
            let endpoint = endpoint();
            endpoint.judged_by(&"app".into(), &rules, &around);
            last.into_iter().for_each(|last| fail(&mut endpoint.claim_for(client(last)).unwrap()));
            endpoint.is_ejected()
        };
        let late: fn(&mut InFlight) = |place| place.unheard(&"connect_timeout");
        assert!(!after([1, 1, 1], late) && after([1, 1, 2], late));
        assert!(after([1, 1, 1], |place| place.unreachable(&"connect_failed")));
    }

    #[test]
    fn a_held_endpoint_comes_back_unless_it_drains_too() {
        let endpoint = endpoint();
        endpoint.hold();
        assert!(endpoint.claim().is_none() && endpoint.is_held());
        endpoint.release();
        assert!(endpoint.claim().is_some());
        endpoint.hold();
        endpoint.drain();
        endpoint.release();
        assert!(endpoint.claim().is_none());
        assert_eq!(endpoint.claims(), 1);
    }

    #[tokio::test]
    async fn a_tunnel_is_no_request_that_a_drain_waits_for_but_is_in_flight() {
        let endpoint = endpoint();
        let [request, upgraded] = [endpoint.claim().unwrap(), endpoint.claim().unwrap()];
        let tunnel = endpoint.begin_tunnel();
        endpoint.drain();
        let mut requests = tokio_test_pending(endpoint.drained_but_for_tunnels());
        assert!(requests.poll_once().await);
        drop(request);
        requests.finish().await;
        let mut all = tokio_test_pending(endpoint.drained());
        assert!(all.poll_once().await);
        drop(tunnel);
        drop(upgraded);
        all.finish().await;
    }

    #[tokio::test]
    async fn drained_waits_for_the_last_request() {
        let endpoint = endpoint();
        let place = endpoint.claim().unwrap();
        endpoint.drain();
        let mut drained = tokio_test_pending(endpoint.drained());
        assert!(drained.poll_once().await);
        drop(place);
        drained.finish().await;
    }

    #[tokio::test]
    async fn who_waits_for_a_held_endpoint_hears_that_it_was_released() {
        let endpoint = endpoint();
        let _place = endpoint.claim().unwrap();
        endpoint.hold();
        let mut waiting = tokio_test_pending(endpoint.drained_or_released());
        assert!(waiting.poll_once().await);
        endpoint.release();
        waiting.finish().await;
    }

    #[tokio::test]
    async fn an_idle_endpoint_is_drained_at_once() {
        let endpoint = endpoint();
        endpoint.drain();
        endpoint.drained().await;
    }

    /// A future that can be asked once whether it still waits.
    struct Waiting<F>(std::pin::Pin<Box<F>>);

    fn tokio_test_pending<F: Future<Output = ()>>(future: F) -> Waiting<F> {
        Waiting(Box::pin(future))
    }

    impl<F: Future<Output = ()>> Waiting<F> {
        async fn poll_once(&mut self) -> bool {
            std::future::poll_fn(|cx| std::task::Poll::Ready(self.0.as_mut().poll(cx).is_pending())).await
        }

        async fn finish(self) {
            self.0.await;
        }
    }
}
