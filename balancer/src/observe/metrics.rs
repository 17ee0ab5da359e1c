//! Counters of requests: each thread has its own and adds to them without a lock; whoever reads sums them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use super::by_endpoint::{ByEndpoint, EndpointCells, EndpointKey, EndpointTotals, Met};
use super::failures::{OF_ENDPOINTS, OURS, STATUS};
use super::histogram::{Count, Histogram, Times};

/// The counters of all threads.
#[derive(Debug, Default)]
pub struct Metrics {
    pools: Mutex<Vec<Arc<Cells>>>,
    endpoints: ByEndpoint,
}

/// The counters of one thread.
#[derive(Debug)]
pub(super) struct Counters {
    metrics: Arc<Metrics>,
    /// Of each pool it has served, found by its name's address: few, and most often the first.
    pools: RefCell<Vec<Arc<Cells>>>,
    /// Of requests that got to no pool.
    none: Arc<Cells>,
    endpoints: RefCell<Met>,
}

/// What one thread has counted of one pool. Written by that thread alone.
#[derive(Debug)]
pub(super) struct Cells {
    pool: Option<Arc<str>>,
    answers: Box<[Count]>,
    /// Answers of endpoints above 499.
    status: Count,
    request: Histogram,
    queue: Histogram,
    /// Seldom used: its lock is this thread's but while somebody reads.
    words: Mutex<BTreeMap<(Word, &'static str), u64>>,
}

/// What a reason word stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// Answered by us and not by an endpoint.
    Rejected,
    /// The answer had begun and was not finished.
    Broken,
    /// Tried once more.
    Retried,
}

/// What all threads have counted of one pool.
#[derive(Debug, Default, Clone)]
pub struct Totals {
    /// Requests by method and status.
    pub answers: BTreeMap<(&'static str, u16), u64>,
    /// Of these, those above 499 that an endpoint has answered.
    pub status: u64,
    /// How long clients waited for all of their answers.
    pub request: Times,
    /// How long those waited for a slot that had to.
    pub queue: Times,
    /// By what happened and why.
    pub words: BTreeMap<(Word, &'static str), u64>,
}

/// What is counted of one request.
#[derive(Debug)]
pub(super) struct ServedRequest<'a> {
    pub(super) pool: Option<&'a Arc<str>>,
    pub(super) method: MethodLabel,
    pub(super) status: StatusCode,
    /// How long the client waited, where that says how fast the pool is.
    pub(super) took: Option<Duration>,
    pub(super) queued: Duration,
    pub(super) word: Option<(Word, &'static str)>,
}

/// A method as a label: a closed set, for clients may send any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodLabel(u8);

impl Metrics {
    /// What was counted so far, by pool; `None` stands for requests that got to no pool.
    pub fn totals(&self) -> BTreeMap<Option<Arc<str>>, Totals> {
        let mut totals: BTreeMap<_, Totals> = BTreeMap::new();
        for cells in self.pools.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            cells.add_to(totals.entry(cells.pool.clone()).or_default());
        }
        totals
    }

    /// What was counted so far of each endpoint.
    pub fn endpoints(&self) -> BTreeMap<EndpointKey, EndpointTotals> {
        self.endpoints.totals()
    }

    /// Forgets what was counted of endpoints, by pool and name, that are gone for a while; asked now and then.
    pub fn look(&self, is_there: impl Fn(&EndpointKey) -> bool, now: Instant) {
        self.endpoints.look(is_there, now);
    }

    /// Forgets what was counted of pools that are gone.
    pub fn retain(&self, is_there: impl Fn(&Arc<str>) -> bool) {
        let mut all = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|cells| cells.pool.as_ref().is_none_or(&is_there));
    }

    fn cells(&self, pool: Option<Arc<str>>) -> Arc<Cells> {
        let cells = Arc::new(Cells {
            pool,
            answers: (0..METHODS.len() * CODES).map(|_| Count::default()).collect(),
            status: Count::default(),
            request: Histogram::default(),
            queue: Histogram::default(),
            words: Mutex::default(),
        });
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&cells));
        cells
    }
}

impl Counters {
    pub(super) fn new(metrics: &Arc<Metrics>) -> Self {
        let (pools, endpoints) = Default::default();
        Self { none: metrics.cells(None), metrics: Arc::clone(metrics), pools, endpoints }
    }

    /// The cells of an endpoint, by its name and its number, which is never used twice.
    pub(super) fn endpoint(&self, pool: &Arc<str>, endpoint: (&Arc<str>, u64)) -> Arc<EndpointCells> {
        Arc::clone(self.endpoints.borrow_mut().cells(&self.metrics.endpoints, pool, endpoint))
    }

    pub(super) fn count(&self, served: &ServedRequest<'_>) {
        self.with(served.pool, |cells| cells.count(served));
    }

    /// Counts a retry of a request to `pool`.
    pub(super) fn retried(&self, pool: Option<&Arc<str>>, why: &'static str) {
        self.with(pool, |cells| cells.word((Word::Retried, why)));
    }

    fn with(&self, pool: Option<&Arc<str>>, act: impl FnOnce(&Cells)) {
        let Some(pool) = pool else { return act(&self.none) };
        let mut pools = self.pools.borrow_mut();
        let known = pools.iter().position(|cells| cells.pool.as_ref().is_some_and(|name| Arc::ptr_eq(name, pool)));
        let index = known.unwrap_or_else(|| {
            // What nobody else has was forgotten with its pool.
            pools.retain(|cells| Arc::strong_count(cells) > 1);
            pools.push(self.metrics.cells(Some(Arc::clone(pool))));
            pools.len() - 1
        });
        act(&pools[index]);
    }
}

impl Cells {
    fn count(&self, served: &ServedRequest<'_>) {
        let code = usize::from(served.status.as_u16()).saturating_sub(100).min(CODES - 1);
        self.answers[usize::from(served.method.0) * CODES + code].add(1);
        if let Some(took) = served.took {
            self.request.add(took);
        }
        if served.status.is_server_error() && !matches!(served.word, Some((Word::Rejected, _))) {
            self.status.add(1);
        }
        if !served.queued.is_zero() {
            self.queue.add(served.queued);
        }
        if let Some(word) = served.word {
            self.word(word);
        }
    }

    fn word(&self, word: (Word, &'static str)) {
        *self.words.lock().unwrap_or_else(PoisonError::into_inner).entry(word).or_default() += 1;
    }

    fn add_to(&self, totals: &mut Totals) {
        for (index, count) in self.answers.iter().enumerate().filter(|(_, count)| count.get() > 0) {
            let code = (index % CODES + 100) as u16;
            *totals.answers.entry((METHODS[index / CODES], code)).or_default() += count.get();
        }
        totals.status += self.status.get();
        self.request.add_to(&mut totals.request);
        self.queue.add_to(&mut totals.queue);
        for (word, count) in self.words.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            *totals.words.entry(*word).or_default() += count;
        }
    }
}

impl Totals {
    /// All requests.
    pub fn requests(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Those that got no good answer through no fault of their client, by reason: [`OF_ENDPOINTS`] and [`OURS`].
    pub fn errors(&self) -> BTreeMap<&'static str, u64> {
        let is_error = |reason: &str| OF_ENDPOINTS.contains(&reason) || OURS.contains(&reason);
        let mut errors = BTreeMap::new();
        for ((word, reason), count) in &self.words {
            if *word != Word::Retried && is_error(reason) {
                *errors.entry(*reason).or_default() += count;
            }
        }
        if self.status > 0 {
            errors.insert(STATUS, self.status);
        }
        errors
    }
}

impl MethodLabel {
    /// As it is written; `other` for those that are not counted apart.
    pub fn as_str(self) -> &'static str {
        METHODS.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

impl From<&Method> for MethodLabel {
    fn from(method: &Method) -> Self {
        let known = METHODS.iter().position(|known| *known == method.as_str());
        Self(known.unwrap_or(METHODS.len() - 1) as u8)
    }
}

impl Default for MethodLabel {
    fn default() -> Self {
        Self((METHODS.len() - 1) as u8)
    }
}

impl Word {
    /// The metric that counts it, without prefix.
    pub fn metric(self) -> &'static str {
        match self {
            Self::Rejected => "rejected_total",
            Self::Broken => "broken_total",
            Self::Retried => "retries_total",
        }
    }
}

const METHODS: [&str; 10] = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "other"];
/// Statuses have three digits, and we write none above 599.
const CODES: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn served(pool: Option<&Arc<str>>, millis: u64) -> ServedRequest<'_> {
        let (method, status, took) = (MethodLabel::from(&Method::GET), StatusCode::OK, Duration::from_millis(millis));
        ServedRequest { pool, method, status, took: Some(took), queued: Duration::ZERO, word: None }
    }

    #[test]
    fn threads_count_apart_and_are_summed() {
        let (metrics, app): (Arc<Metrics>, Arc<str>) = (Arc::default(), "app".into());
        let (one, other) = (Counters::new(&metrics), Counters::new(&metrics));
        one.count(&served(Some(&app), 3));
        other.count(&served(Some(&app), 700));
        other.count(&ServedRequest { word: Some((Word::Rejected, "no_route")), ..served(None, 1) });
        one.retried(Some(&app), "connect_failed");
        let totals = metrics.totals();
        let app_totals = &totals[&Some(Arc::clone(&app))];
        assert_eq!(app_totals.answers, BTreeMap::from([(("GET", 200), 2)]));
        assert_eq!((app_totals.request.count(), app_totals.request.sum), (2, 0.703));
        assert_eq!((app_totals.request.quantile(0.5), app_totals.request.quantile(0.99)), (Some(0.005), Some(1.0)));
        assert_eq!(app_totals.words, BTreeMap::from([((Word::Retried, "connect_failed"), 1)]));
        assert_eq!(totals[&None].words, BTreeMap::from([((Word::Rejected, "no_route"), 1)]));
    }

    #[test]
    fn a_pool_that_is_gone_is_forgotten_and_may_come_back() {
        let metrics: Arc<Metrics> = Arc::default();
        let counters = Counters::new(&metrics);
        let first: Arc<str> = "app".into();
        counters.count(&served(Some(&first), 1));
        metrics.retain(|name| !Arc::ptr_eq(name, &first));
        assert!(!metrics.totals().contains_key(&Some("app".into())));
        let second: Arc<str> = "app".into();
        counters.count(&served(Some(&second), 1));
        assert_eq!(metrics.totals()[&Some(second)].request.count(), 1);
        assert_eq!(counters.pools.borrow().len(), 1, "what was forgotten is given back");
    }

    #[test]
    fn what_says_nothing_of_the_pools_pace_is_counted_all_the_same() {
        let metrics: Arc<Metrics> = Arc::default();
        let counters = Counters::new(&metrics);
        let word = Some((Word::Broken, "client_gone"));
        let status = StatusCode::SWITCHING_PROTOCOLS;
        counters.count(&ServedRequest { status, word, took: None, ..served(None, 0) });
        let totals = &metrics.totals()[&None];
        assert_eq!((totals.answers[&("GET", 101)], totals.words.len(), totals.requests()), (1, 1, 1));
        assert_eq!((totals.request.count(), totals.request.quantile(0.5)), (0, None));
    }

    #[test]
    fn errors_are_what_is_no_fault_of_the_client_each_once() {
        let metrics: Arc<Metrics> = Arc::default();
        let counters = Counters::new(&metrics);
        let bad = |status: u16, word| ServedRequest {
            status: StatusCode::from_u16(status).unwrap(),
            word,
            ..served(None, 1)
        };
        for (status, word) in [
            (500, None),
            (502, Some((Word::Rejected, "closed_early"))),
            (503, Some((Word::Rejected, "queue_full"))),
            (200, Some((Word::Broken, "truncated"))),
            (499, Some((Word::Rejected, "client_gone"))),
            (413, Some((Word::Rejected, "body_too_large"))),
        ] {
            counters.count(&bad(status, word));
        }
        counters.retried(None, "connect_failed");
        let errors = metrics.totals()[&None].errors();
        let expected = [("closed_early", 1), ("queue_full", 1), ("status_5xx", 1), ("truncated", 1)];
        assert_eq!(errors, BTreeMap::from(expected));
    }

    #[test]
    fn any_method_and_status_have_a_place() {
        let metrics: Arc<Metrics> = Arc::default();
        let counters = Counters::new(&metrics);
        let method = MethodLabel::from(&Method::from_bytes(b"BREW").unwrap());
        let status = StatusCode::from_u16(999).unwrap();
        counters.count(&ServedRequest { method, status, took: Some(Duration::MAX / 1_000_000), ..served(None, 0) });
        assert_eq!(metrics.totals()[&None].answers, BTreeMap::from([(("other", 599), 1)]));
    }
}
