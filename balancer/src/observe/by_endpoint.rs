//! What is counted of each endpoint, by its name: a worker that comes back goes on where the one before it has stopped.
//!
//! Decides what an attempt counts as. Called by [`super::metrics`] and [`super::Record`]. Never locks where a request passes but the first
//! time a thread meets an endpoint.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::failures::{OF_ENDPOINTS, of_endpoint};
use super::histogram::{Count, Histogram, Times};

/// The counters of all threads.
#[derive(Debug, Default)]
pub(super) struct ByEndpoint(Mutex<Vec<Registered>>);

#[derive(Debug)]
struct Registered {
    cells: Arc<EndpointCells>,
    /// Since when there is no such endpoint.
    gone: Option<Instant>,
}

/// What one thread has counted of the endpoints of one name in one pool. Written by that thread alone.
#[derive(Debug)]
pub(super) struct EndpointCells {
    key: EndpointKey,
    given: Count,
    ended: Count,
    seconds: Histogram,
    errors: [Count; OF_ENDPOINTS.len()],
    /// Opened and ended, by [`Lasting`].
    lasting: [[Count; 2]; Lasting::ALL.len()],
    /// Nobody reads it any more.
    forgotten: AtomicBool,
}

/// What lasts for as long as its client likes, so that its time says nothing of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// A WebSocket, or another protocol behind a 101.
    Tunnel,
    /// Server-sent events.
    EventStream,
}

/// The cells that a thread has met, by the number of the endpoint.
#[derive(Debug, Default)]
pub(super) struct Met {
    found: HashMap<u64, Arc<EndpointCells>, BuildHasherDefault<Spread>>,
    own: BTreeMap<(Arc<str>, Arc<str>), Arc<EndpointCells>>,
}

/// What all threads have counted of the endpoints of one name in one pool.
#[derive(Debug, Default, Clone)]
pub struct EndpointTotals {
    /// Requests that it was given.
    pub requests: u64,
    /// Those of them that are over.
    pub ended: u64,
    /// From a request's place there to the last byte of its answer.
    pub seconds: Times,
    /// Failures, by the words of [`OF_ENDPOINTS`].
    pub errors: [u64; OF_ENDPOINTS.len()],
    /// Opened and ended, by [`Lasting`].
    lasting: [[u64; 2]; Lasting::ALL.len()],
}

/// Pool and endpoint.
pub type EndpointKey = (Arc<str>, Arc<str>);

impl ByEndpoint {
    pub(super) fn totals(&self) -> BTreeMap<EndpointKey, EndpointTotals> {
        let mut totals: BTreeMap<EndpointKey, EndpointTotals> = BTreeMap::new();
        for Registered { cells, .. } in self.lock().iter() {
            cells.add_to(totals.entry(cells.key.clone()).or_default());
        }
        totals
    }

    /// Forgets what was counted of endpoints that are gone for a while.
    pub(super) fn look(&self, is_there: impl Fn(&EndpointKey) -> bool, now: Instant) {
        self.lock().retain_mut(|one| {
            if is_there(&one.cells.key) {
                one.gone = None;
                return true;
            }
            let kept = now.saturating_duration_since(*one.gone.get_or_insert(now)) < KEPT;
            one.cells.forgotten.store(!kept, Ordering::Relaxed);
            kept
        });
    }

    fn register(&self, pool: &Arc<str>, name: &Arc<str>) -> Arc<EndpointCells> {
        let cells = Arc::new(EndpointCells {
            key: (Arc::clone(pool), Arc::clone(name)),
            given: Count::default(),
            ended: Count::default(),
            seconds: Histogram::default(),
            errors: Default::default(),
            lasting: Default::default(),
            forgotten: AtomicBool::new(false),
        });
        self.lock().push(Registered { cells: Arc::clone(&cells), gone: None });
        cells
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Registered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Met {
    /// The cells of an endpoint: `number` is its own, never used twice.
    pub(super) fn cells(
        &mut self,
        all: &ByEndpoint,
        pool: &Arc<str>,
        (name, number): (&Arc<str>, u64),
    ) -> &Arc<EndpointCells> {
        let is_known = self.found.get(&number).is_some_and(|cells| !cells.forgotten.load(Ordering::Relaxed));
        if !is_known {
            self.meet(all, pool, (name, number));
        }
        // It was put there just now, if it was not there.
        self.found.entry(number).or_insert_with(|| all.register(pool, name))
    }

    fn meet(&mut self, all: &ByEndpoint, pool: &Arc<str>, (name, number): (&Arc<str>, u64)) {
        self.own.retain(|_, cells| !cells.forgotten.load(Ordering::Relaxed));
        // Workers come back under another number again and again.
        if self.found.len() >= FOUND_MAX.max(2 * self.own.len()) {
            self.found.clear();
        }
        let key = (Arc::clone(pool), Arc::clone(name));
        let cells = self.own.entry(key).or_insert_with(|| all.register(pool, name));
        self.found.insert(number, Arc::clone(cells));
    }
}

impl EndpointCells {
    /// Its name, to be kept.
    pub(super) fn shared_name(&self) -> &Arc<str> {
        &self.key.1
    }

    /// The name of the endpoint.
    pub(super) fn name(&self) -> &str {
        &self.key.1
    }

    /// It was given a request.
    pub(super) fn given(&self) {
        self.given.add(1);
    }

    /// An attempt there is over: how long it took, where that says something of the endpoint, and why it failed, if it did.
    pub(super) fn ended(&self, took: Option<Duration>, reason: Option<&str>) {
        self.ended.add(1);
        if let Some(took) = took {
            self.seconds.add(took);
        }
        if let Some(error) = reason.and_then(of_endpoint) {
            self.errors[error].add(1);
        }
    }

    pub(super) fn opened(&self, lasting: Lasting) {
        self.lasting[lasting as usize][0].add(1);
    }

    pub(super) fn closed(&self, lasting: Lasting) {
        self.lasting[lasting as usize][1].add(1);
    }

    fn add_to(&self, totals: &mut EndpointTotals) {
        totals.requests += self.given.get();
        totals.ended += self.ended.get();
        self.seconds.add_to(&mut totals.seconds);
        totals.errors.iter_mut().zip(&self.errors).for_each(|(total, own)| *total += own.get());
        let pairs = totals.lasting.iter_mut().flatten().zip(self.lasting.iter().flatten());
        pairs.for_each(|(total, own)| *total += own.get());
    }
}

impl EndpointTotals {
    /// How many were opened.
    pub fn opened(&self, lasting: Lasting) -> u64 {
        self.lasting[lasting as usize][0]
    }

    /// How many are open.
    pub fn open(&self, lasting: Lasting) -> u64 {
        let [opened, ended] = self.lasting[lasting as usize];
        opened.saturating_sub(ended)
    }

    /// All failures.
    pub fn failed(&self) -> u64 {
        self.errors.iter().sum()
    }

    /// What came since `before`; all, where the counters have begun anew since.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        if self.requests < before.requests {
            return self.clone();
        }
        let mut since = self.clone();
        since.requests -= before.requests;
        since.ended = self.ended.saturating_sub(before.ended);
        since.seconds = self.seconds.since(&before.seconds);
        since.errors.iter_mut().zip(before.errors).for_each(|(now, before)| *now = now.saturating_sub(before));
        since
    }
}

impl Lasting {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tunnel, Self::EventStream];

    /// Its name as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tunnel => "tunnel",
            Self::EventStream => "event_stream",
        }
    }
}

/// Numbers that are given in turn, spread over all bits: nobody chooses them, so nothing stronger is needed.
#[derive(Debug, Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming 3, 6.4).
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// An endpoint that was away for so long and comes back begins at nought; a scrape or two have seen it gone by then.
const KEPT: Duration = Duration::from_secs(300);
/// Numbers that a thread remembers, where there are few endpoints.
const FOUND_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> EndpointKey {
        ("app".into(), "app.1".into())
    }

    #[test]
    fn a_worker_that_comes_back_goes_on_counting() {
        let (all, mut met, (pool, name)) = (ByEndpoint::default(), Met::default(), key());
        for number in 1..=600 {
            let cells = met.cells(&all, &pool, (&name, number));
            cells.given();
            cells.ended(Some(Duration::from_millis(3)), (number % 2 == 0).then_some("closed_early"));
        }
        let totals = &all.totals()[&key()];
        assert_eq!((totals.requests, totals.ended, totals.failed(), totals.seconds.count()), (600, 600, 300, 600));
        assert!(met.found.len() <= FOUND_MAX + 1 && met.own.len() == 1, "{}", met.found.len());
    }

    #[test]
    fn threads_count_apart_and_words_of_others_are_no_failures_of_an_endpoint() {
        let (all, mut one, mut other, (pool, name)) = (ByEndpoint::default(), Met::default(), Met::default(), key());
        for met in [&mut one, &mut other] {
            let cells = met.cells(&all, &pool, (&name, 7));
            cells.opened(Lasting::Tunnel);
            cells.ended(None, Some("client_gone"));
        }
        one.cells(&all, &pool, (&name, 7)).closed(Lasting::Tunnel);
        let totals = &all.totals()[&key()];
        assert_eq!((totals.opened(Lasting::Tunnel), totals.open(Lasting::Tunnel)), (2, 1));
        assert_eq!((totals.open(Lasting::EventStream), totals.failed(), totals.seconds.count()), (0, 0, 0));
        let since = totals.since(&EndpointTotals { ended: 1, ..EndpointTotals::default() });
        assert_eq!(since.ended, 1);
    }

    #[test]
    fn who_is_gone_for_long_is_forgotten_and_may_come_back() {
        let (all, mut met, (pool, name)) = (ByEndpoint::default(), Met::default(), key());
        met.cells(&all, &pool, (&name, 1)).given();
        let now = Instant::now();
        all.look(|_| false, now);
        all.look(|_| true, now + KEPT / 2);
        all.look(|_| false, now + KEPT);
        assert_eq!(all.totals().len(), 1, "it was there in between");
        all.look(|_| false, now + 2 * KEPT);
        assert!(all.totals().is_empty());
        met.cells(&all, &pool, (&name, 1)).given();
        assert_eq!(all.totals()[&key()].requests, 1);
        assert_eq!(met.own.len(), 1);
    }
}
