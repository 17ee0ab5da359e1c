//! Counters of requests: each thread has its own and adds to them without a lock; whoever reads sums them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};

/// The counters of all threads.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Vec<Arc<Cells>>>);

/// The counters of one thread.
#[derive(Debug)]
pub(super) struct Counters {
    metrics: Arc<Metrics>,
    /// Of each pool it has served, found by its name's address: few, and most often the first.
    pools: RefCell<Vec<Arc<Cells>>>,
    /// Of requests that got to no pool.
    none: Arc<Cells>,
}

/// What one thread has counted of one pool. Written by that thread alone.
#[derive(Debug)]
pub(super) struct Cells {
    pool: Option<Arc<str>>,
    answers: Box<[Count]>,
    request: Histogram,
    upstream: Histogram,
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

/// A number with one writer.
#[derive(Debug, Default)]
struct Count(AtomicU64);

#[derive(Debug, Default)]
struct Histogram {
    /// The last is for what lies above every bound.
    buckets: [Count; BOUNDS.len() + 1],
    micros: Count,
}

/// What all threads have counted of one pool.
#[derive(Debug, Default, Clone)]
pub struct Totals {
    /// Requests by method and status.
    pub answers: BTreeMap<(&'static str, u16), u64>,
    /// How long clients waited for all of their answers.
    pub request: Times,
    /// How long endpoints took, from the request's place there to the last byte.
    pub upstream: Times,
    /// How long those waited for a slot that had to.
    pub queue: Times,
    /// By what happened and why.
    pub words: BTreeMap<(Word, &'static str), u64>,
}

/// A histogram as it is told.
#[derive(Debug, Default, Clone)]
pub struct Times {
    /// How many lie below each of [`BOUNDS`] and above the one before; then how many lie above all.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// All of them together, in seconds.
    pub sum: f64,
}

/// What is counted of one request.
#[derive(Debug)]
pub(super) struct Served<'a> {
    pub(super) pool: Option<&'a Arc<str>>,
    pub(super) method: MethodLabel,
    pub(super) status: StatusCode,
    pub(super) took: Duration,
    pub(super) upstream: Option<Duration>,
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
        for cells in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            cells.add_to(totals.entry(cells.pool.clone()).or_default());
        }
        totals
    }

    /// Forgets what was counted of pools that are gone.
    pub fn retain(&self, is_there: impl Fn(&Arc<str>) -> bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|cells| cells.pool.as_ref().is_none_or(&is_there));
    }

    fn cells(&self, pool: Option<Arc<str>>) -> Arc<Cells> {
        let cells = Arc::new(Cells {
            pool,
            answers: (0..METHODS.len() * CODES).map(|_| Count::default()).collect(),
            request: Histogram::default(),
            upstream: Histogram::default(),
            queue: Histogram::default(),
            words: Mutex::default(),
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&cells));
        cells
    }
}

impl Counters {
    pub(super) fn new(metrics: &Arc<Metrics>) -> Self {
        Self { none: metrics.cells(None), metrics: Arc::clone(metrics), pools: RefCell::default() }
    }

    pub(super) fn count(&self, served: &Served<'_>) {
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
    fn count(&self, served: &Served<'_>) {
        let code = usize::from(served.status.as_u16()).saturating_sub(100).min(CODES - 1);
        self.answers[usize::from(served.method.0) * CODES + code].add(1);
        // How long a tunnel is open is no time that anybody has waited.
        if served.status != StatusCode::SWITCHING_PROTOCOLS {
            self.request.add(served.took);
            served.upstream.iter().for_each(|upstream| self.upstream.add(*upstream));
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
        self.request.add_to(&mut totals.request);
        self.upstream.add_to(&mut totals.upstream);
        self.queue.add_to(&mut totals.queue);
        for (word, count) in self.words.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            *totals.words.entry(*word).or_default() += count;
        }
    }
}

impl Count {
    /// Not a read-modify-write: nobody else writes.
    fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Histogram {
    fn add(&self, time: Duration) {
        let micros = time.as_secs() * 1_000_000 + u64::from(time.subsec_micros());
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].add(1);
        self.micros.add(micros);
    }

    fn add_to(&self, times: &mut Times) {
        for (total, bucket) in times.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.get();
        }
        times.sum += self.micros.get() as f64 / 1e6;
    }
}

impl Times {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The bound in seconds below which a share of them lies; `None` without any, or above the last bound.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (self.count() as f64 * share).ceil().max(1.0);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|bucket| {
            seen += bucket;
            seen as f64 >= wanted
        })?;
        BOUNDS.get(bucket).map(|bound| *bound as f64 / 1e6)
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

/// Upper bounds of a histogram's buckets in microseconds: half a millisecond is what a local worker's short answer takes.
pub const BOUNDS: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];
const METHODS: [&str; 10] = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "other"];
/// Statuses have three digits, and we write none above 599.
const CODES: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn served(pool: Option<&Arc<str>>, millis: u64) -> Served<'_> {
        let (method, status, took) = (MethodLabel::from(&Method::GET), StatusCode::OK, Duration::from_millis(millis));
        Served { pool, method, status, took, upstream: Some(took), queued: Duration::ZERO, word: None }
    }

    #[test]
    fn threads_count_apart_and_are_summed() {
        let (metrics, app): (Arc<Metrics>, Arc<str>) = (Arc::default(), "app".into());
        let (one, other) = (Counters::new(&metrics), Counters::new(&metrics));
        one.count(&served(Some(&app), 3));
        other.count(&served(Some(&app), 700));
        other.count(&Served { word: Some((Word::Rejected, "no_route")), ..served(None, 1) });
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
    fn a_tunnel_is_counted_and_its_time_is_none_that_anybody_has_waited() {
        let metrics: Arc<Metrics> = Arc::default();
        let counters = Counters::new(&metrics);
        let word = Some((Word::Broken, "client_gone"));
        counters.count(&Served { status: StatusCode::SWITCHING_PROTOCOLS, word, ..served(None, 60_000) });
        let totals = &metrics.totals()[&None];
        assert_eq!((totals.answers[&("GET", 101)], totals.words.len()), (1, 1));
        assert_eq!((totals.request.count(), totals.upstream.count(), totals.request.quantile(0.5)), (0, 0, None));
    }

    #[test]
    fn any_method_and_status_have_a_place() {
        let metrics: Arc<Metrics> = Arc::default();
        let counters = Counters::new(&metrics);
        let method = MethodLabel::from(&Method::from_bytes(b"BREW").unwrap());
        let status = StatusCode::from_u16(999).unwrap();
        counters.count(&Served { method, status, took: Duration::MAX / 1_000_000, ..served(None, 0) });
        assert_eq!(metrics.totals()[&None].answers, BTreeMap::from([(("other", 599), 1)]));
    }
}
