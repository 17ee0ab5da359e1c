//! What the admin service knows of the running program. Kept up to date by `app`.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use serde_json::json;

use super::{Introduction, Order};
use crate::config::ListenAddress;
use crate::discover::Shown;
use crate::listen::Control;
use crate::observe::{Journal, Metrics, Times, Totals, Writer, printable};
use crate::pool::Pool;
use crate::supervise::Supervisor;

/// The running program, as far as it can be asked about.
#[derive(Debug)]
pub struct Instance {
    /// What its configuration is called: `lb` for `lb.toml`.
    pub name: String,
    /// Where its configuration comes from, for people.
    pub origin: String,
    /// Its file, if it comes from one, from the root, with links as they were written.
    pub path: Option<PathBuf>,
    /// Where it was started.
    directory: PathBuf,
    /// When it started.
    pub started: SystemTime,
    /// Counters of requests.
    pub metrics: Arc<Metrics>,
    /// Client connections.
    pub control: Arc<Control>,
    /// Who writes logs, and counts the lines that are lost.
    pub writer: Writer,
    /// What happened, one JSON object a line.
    pub events: Arc<Journal>,
    /// Listeners and pools, swapped whole.
    pub served: ArcSwap<Served>,
    /// Where orders go.
    pub orders: tokio::sync::mpsc::Sender<Order>,
    stopping: AtomicBool,
    reloads: [AtomicU64; 2],
    last_reload_ok: AtomicBool,
    samples: Mutex<VecDeque<Sample>>,
}

/// What is being served.
#[derive(Debug, Default)]
pub struct Served {
    /// Where clients connect.
    pub listen: Vec<ListenAddress>,
    /// In the order of the configuration.
    pub pools: Vec<ServedPool>,
    /// What is known of the names of a pool, by pool, where it has some.
    pub names: BTreeMap<String, tokio::sync::watch::Receiver<Shown>>,
}

/// One pool.
#[derive(Debug, Clone)]
pub struct ServedPool {
    /// It.
    pub pool: Arc<Pool>,
    /// Who keeps its workers, if it has some.
    pub supervisor: Option<Arc<Supervisor>>,
    /// What its workers printed.
    pub log: Arc<Journal>,
}

/// What a pool did during the last seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recent {
    /// Requests per second.
    pub(super) rate: f64,
    /// Seconds below which half of them lay, and 99 of a hundred.
    pub(super) quantiles: [Option<f64>; 2],
}

type Sample = (Instant, BTreeMap<Option<Arc<str>>, Totals>);

impl Instance {
    /// One that has just started.
    pub fn new(
        (name, origin, path): (String, String, Option<PathBuf>),
        (metrics, control, writer): (Arc<Metrics>, Arc<Control>, Writer),
        orders: tokio::sync::mpsc::Sender<Order>,
    ) -> Self {
        Self {
            name,
            origin,
            path,
            directory: std::env::current_dir().unwrap_or_default(),
            started: SystemTime::now(),
            metrics,
            control,
            writer,
            events: Journal::new(EVENTS_BYTES),
            served: ArcSwap::default(),
            orders,
            stopping: AtomicBool::new(false),
            reloads: Default::default(),
            last_reload_ok: AtomicBool::new(true),
            samples: Mutex::default(),
        }
    }

    /// Who it is.
    pub(super) fn introduction(&self) -> Introduction {
        Introduction {
            name: self.name.clone(),
            pid: std::process::id().into(),
            listen: self.served.load().listen.iter().map(ToString::to_string).collect(),
            origin: self.origin.clone(),
            file: self.path.clone(),
            directory: self.directory.clone(),
            uptime_seconds: self.started.elapsed().unwrap_or_default().as_secs(),
        }
    }

    /// Whether `file` is what it serves: by its name, or by what both lead to now.
    pub(super) fn serves(&self, file: &Path) -> bool {
        let Some(own) = &self.path else { return false };
        own == file || own.canonicalize().is_ok_and(|own| file.canonicalize().is_ok_and(|file| own == file))
    }

    /// From now on it is on its way down.
    pub fn stops(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether it is on its way down.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// A reload has ended.
    pub fn reloaded(&self, ok: bool) {
        self.reloads[usize::from(!ok)].fetch_add(1, Ordering::Relaxed);
        self.last_reload_ok.store(ok, Ordering::Relaxed);
    }

    /// Reloads that were done, and those that were not.
    pub(super) fn reloads(&self) -> (u64, u64, bool) {
        let count = |index: usize| self.reloads[index].load(Ordering::Relaxed);
        (count(0), count(1), self.last_reload_ok.load(Ordering::Relaxed))
    }

    /// Whether every pool has an endpoint that takes requests, or would if it were its turn; of those that take none, whether all
    /// workers run.
    pub(super) fn is_ready(&self) -> bool {
        let serves = |served: &ServedPool| {
            if let Some(supervisor) = served.supervisor.as_ref().filter(|supervisor| !supervisor.serves()) {
                return supervisor.status().is_settled();
            }
            served.pool.endpoints().iter().any(|endpoint| endpoint.accepts() && !endpoint.is_down())
        };
        !self.is_stopping() && self.served.load().pools.iter().all(serves)
    }

    /// Remembers the counters of this moment, for [`Self::recent`].
    pub(super) fn sample(&self) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back((Instant::now(), self.metrics.totals()));
        while samples.len() > SAMPLES {
            samples.pop_front();
        }
    }

    /// What each pool did during the last seconds.
    pub(super) fn recent(&self) -> BTreeMap<Option<Arc<str>>, Recent> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, totals) = (Instant::now(), self.metrics.totals());
        let Some((since, before)) = samples.front() else { return BTreeMap::new() };
        let seconds = now.saturating_duration_since(*since).as_secs_f64().max(0.001);
        let recent = totals.into_iter().map(|(pool, totals)| {
            let before = before.get(&pool).map(|totals| totals.request.clone()).unwrap_or_default();
            let mut times = totals.request;
            // A pool that was away has begun anew.
            let pairs = times.buckets.iter_mut().zip(before.buckets);
            pairs.for_each(|(now, before)| *now = now.saturating_sub(before));
            (pool, Recent { rate: times.count() as f64 / seconds, quantiles: quantiles(&times) })
        });
        recent.collect()
    }
}

/// An event as a line of the journal.
pub fn note(journal: &Journal, kind: &str, pool: Option<&str>, worker: Option<&str>, text: &str) {
    let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let line = json!({ "time": time, "kind": kind, "pool": pool, "worker": worker, "text": text }).to_string();
    journal.add(format!("{}\n", printable::in_json(&line)).as_bytes());
}

fn quantiles(times: &Times) -> [Option<f64>; 2] {
    [0.5, 0.99].map(|share| times.quantile(share))
}

/// Time between two samples.
pub(super) const SAMPLE: Duration = Duration::from_secs(1);
const SAMPLES: usize = 10;
/// Some thousand events.
const EVENTS_BYTES: usize = 1 << 20;
