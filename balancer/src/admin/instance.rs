//! What the admin service knows of the running program. Kept up to date by `app`.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde_json::json;
use tokio::sync::watch;

use super::history::History;
use super::samples::{Recent, Sample, Samples};
use super::{AdminOrder, Introduction};
use crate::config::ListenAddress;
use crate::discover::NamesShown;
use crate::listen::Control;
use crate::observe::{Journal, Metrics, Stories, Writer, printable};
use crate::pool::Pool;
use crate::supervise::Supervisor;
use crate::tls::Certificates;

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
    /// Requests that somebody may ask about.
    pub stories: Arc<Stories>,
    /// Client connections.
    pub control: Arc<Control>,
    /// Who writes logs, and counts the lines that are lost.
    pub writer: Writer,
    /// What happened, one JSON object a line.
    pub events: Arc<Journal>,
    /// Listeners and pools, swapped whole.
    pub served: ArcSwap<Served>,
    /// Where orders go.
    pub orders: tokio::sync::mpsc::Sender<AdminOrder>,
    /// What clients are shown over TLS.
    pub certificates: Arc<Certificates>,
    stopping: OnceLock<Instant>,
    reloads: [AtomicU64; 2],
    last_reload_ok: AtomicBool,
    looks: AtomicU64,
    samples: Mutex<Samples>,
    history: Mutex<History>,
    /// What pages are shown, once a second while there are any.
    pub(super) live: watch::Sender<Bytes>,
}

/// What is being served.
#[derive(Debug, Default)]
pub struct Served {
    /// Where clients connect.
    pub listen: Vec<ListenAddress>,
    /// In the order of the configuration.
    pub pools: Vec<ServedPool>,
    /// What is known of the names of a pool, by pool, where it has some.
    pub names: BTreeMap<String, tokio::sync::watch::Receiver<NamesShown>>,
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

impl Instance {
    /// One that has just started.
    pub fn new(
        (name, origin, path): (String, String, Option<PathBuf>),
        (metrics, stories, control, writer): (Arc<Metrics>, Arc<Stories>, Arc<Control>, Writer),
        (orders, certificates): (tokio::sync::mpsc::Sender<AdminOrder>, Arc<Certificates>),
    ) -> Self {
        Self {
            name,
            origin,
            path,
            directory: std::env::current_dir().unwrap_or_default(),
            started: SystemTime::now(),
            metrics,
            stories,
            control,
            writer,
            events: Journal::new(EVENTS_BYTES),
            served: ArcSwap::default(),
            orders,
            certificates,
            stopping: OnceLock::new(),
            reloads: Default::default(),
            last_reload_ok: AtomicBool::new(true),
            looks: AtomicU64::new(0),
            samples: Mutex::default(),
            history: Mutex::default(),
            live: watch::Sender::default(),
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
        let _ = self.stopping.set(Instant::now());
    }

    /// Whether it is on its way down.
    pub fn is_stopping(&self) -> bool {
        self.stopping.get().is_some()
    }

    /// Since when it is.
    pub(super) fn stopping_since(&self) -> Option<Instant> {
        self.stopping.get().copied()
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

    /// Remembers the counters of this moment, for [`Self::recent`], and forgets those of endpoints that are gone; asked once a second.
    pub(super) fn sample(&self) {
        let now = Instant::now();
        if self.looks.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLES_A_LOOK) {
            self.forget_those_that_are_gone(now);
        }
        let sample = Sample::of(&self.metrics, now);
        let served = self.served.load();
        let queued = |pool: &str| {
            let found = served.pools.iter().find(|one| **one.pool.name() == *pool);
            found.and_then(|one| one.pool.figures()).map_or(0, |figures| figures.queued)
        };
        self.history.lock().unwrap_or_else(PoisonError::into_inner).add(&sample, queued);
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).add(sample);
    }

    /// What each pool and endpoint did during the last seconds.
    pub(super) fn recent(&self) -> Recent {
        let sample = Sample::of(&self.metrics, Instant::now());
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        sample.since(samples.first().unwrap_or(&sample))
    }

    /// What each pool did during the last minutes.
    pub(super) fn history(&self) -> &Mutex<History> {
        &self.history
    }

    fn forget_those_that_are_gone(&self, now: Instant) {
        let served = self.served.load();
        let mut there: HashSet<(Arc<str>, Arc<str>)> = HashSet::new();
        for one in &served.pools {
            let pool = one.pool.name();
            let workers = one.supervisor.iter().flat_map(|supervisor| supervisor.status().workers);
            let workers = workers.map(|worker| worker.name);
            let endpoints = one.pool.endpoints().into_iter().map(|endpoint| Arc::clone(endpoint.name()));
            there.extend(endpoints.chain(workers).map(|name| (Arc::clone(pool), name)));
        }
        self.metrics.look(|key| there.contains(key), now);
    }
}

/// An event as a line of the journal.
pub fn note(journal: &Journal, kind: &str, pool: Option<&str>, worker: Option<&str>, text: &str) {
    let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let line = json!({ "time": time, "kind": kind, "pool": pool, "worker": worker, "text": text }).to_string();
    journal.add(format!("{}\n", printable::in_json(&line)).as_bytes());
}

/// Time between two samples.
pub(super) const SAMPLE: Duration = Duration::from_secs(1);
/// Samples between two looks whose counters nobody needs any more.
const SAMPLES_A_LOOK: u64 = 10;
/// Some thousand events.
const EVENTS_BYTES: usize = 1 << 20;
