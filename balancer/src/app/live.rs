//! What runs, and what it takes to start more of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::certificates::Keyring;
use super::listening::Listening;
use super::memory::Memory;
use super::privileges::may_gain;
use super::sharing::Shares;
use super::trial::Trial;
use crate::admin::{AdminServer, Instance, Served, ServedPool, note};
use crate::config::{self, Config, ListenAddress};
use crate::discover::{Discoverer, Resolver};
use crate::listen::Control;
use crate::observe::{Destination, Journal, Writer};
use crate::pool::Pool;
use crate::probe::{Permits, Prober};
use crate::proxy::ProxyState;
use crate::supervise::{
    Files, Guard, OutputSink, OutputStream, Ports, Sockets, Standings, StartDirectory, Supervisor, Surroundings, TRIAL,
    WorkerEvent, own_program,
};

/// Everything that a reload can change, owned by whoever carries out orders one after another.
pub(super) struct Live {
    /// What is served: the configuration as it was read, but for what a command or a failed roll has made of it.
    pub(super) config: Config,
    /// What the file said the last time, for telling whether it says something else now.
    pub(super) file: Config,
    /// The file to read again, if it came from one.
    pub(super) path: Option<PathBuf>,
    pub(super) shared: Arc<ProxyState>,
    pub(super) control: Arc<Control>,
    pub(super) instance: Arc<Instance>,
    /// Until the very end.
    pub(super) admin: Option<AdminServer>,
    /// What clients of encrypted listeners are shown.
    pub(super) keyring: Keyring,
    pub(super) pools: Vec<ServedPool>,
    pub(super) listening: Vec<Listening>,
    /// Those of pools that are gone, until the last of their workers is.
    pub(super) retiring: Vec<Arc<Supervisor>>,
    /// What the descriptor limit allows.
    pub(super) descriptors: u64,
    /// What it allowed when we were started.
    pub(super) descriptors_before: Option<u64>,
    /// Where we were started.
    pub(super) here: StartDirectory,
    /// That of the configuration, for those who begin a drain.
    pub(super) drain_timeout: watch::Sender<Duration>,
    /// By pool.
    pub(super) probers: BTreeMap<String, Prober>,
    /// By pool, where there are names to follow.
    pub(super) discoverers: BTreeMap<String, Discoverer>,
    pub(super) resolver: Arc<Resolver>,
    /// Where we listen, for whoever must not lead requests there.
    pub(super) listens: watch::Sender<Vec<ListenAddress>>,
    pub(super) permits: Permits,
    pub(super) memory: Arc<Memory>,
    pub(super) writer: Writer,
    pub(super) files: Files,
    pub(super) standings: Standings,
    pub(super) ports: Ports,
    /// Dropped behind the workers.
    pub(super) sockets: Option<Sockets>,
    /// Addresses where workers take connections without us in between.
    pub(super) shares: Shares,
    /// Dropped last: it is what ends the workers when this process is killed.
    pub(super) guard: Option<Guard>,
    /// Of an instance that gives up when its workers never come to be ready.
    pub(super) trial: Option<Arc<Trial>>,
}

impl Live {
    /// A pool with whatever belongs to it, its workers on their way.
    pub(super) fn begin(&mut self, config: &config::Pool) -> ServedPool {
        let pool = Pool::new(config);
        // Before anybody connects.
        pool.encrypt(self.keyring.endpoints.of(&config.name));
        self.memory.recall(&pool);
        self.begin_with(pool, Journal::new(LOG_BYTES), config)
    }

    /// The same for a pool that is there and gets workers.
    pub(super) fn begin_with(&mut self, pool: Arc<Pool>, log: Arc<Journal>, config: &config::Pool) -> ServedPool {
        let supervisor = config.workers.as_ref().map(|workers| {
            if !may_gain() {
                tracing::warn!(
                    "pool {}: its workers cannot gain privileges (sudo, sendmail), because balancer started without \
                     workers; restart balancer to allow that",
                    config.name
                );
            }
            self.guard.get_or_insert_with(|| Guard::start(own_program()));
            let surroundings = self.surroundings(&config.name, Arc::clone(&log));
            Arc::new(Supervisor::start(Arc::clone(&pool), workers.clone(), surroundings))
        });
        ServedPool { pool, supervisor, log }
    }

    /// Asks the endpoints of every pool that wants it, from now on as `config` says; what is asked already is not interrupted.
    pub(super) fn probe(&mut self, before: Option<&Config>) {
        let is_there = |name: &String| self.config.pools.iter().any(|pool| pool.name == *name);
        self.probers.retain(|name, _| is_there(name));
        for (config, served) in self.config.pools.iter().zip(&self.pools) {
            let old = before.and_then(|before| before.pools.iter().find(|known| known.name == config.name));
            let (old, new) = (old.and_then(|old| old.health.probe.as_ref()), config.health.probe.as_ref());
            if old == new {
                continue;
            }
            self.probers.remove(&config.name);
            if let Some(probe) = new {
                let prober = Prober::start(Arc::clone(&served.pool), probe.clone(), self.permits.clone());
                self.probers.insert(config.name.clone(), prober);
            } else {
                // Nobody asks those any more that were down; without a rule, one good answer is enough.
                served.pool.endpoints().iter().for_each(|endpoint| endpoint.probed(Ok(())));
            }
        }
    }

    /// Shows the admin service what is served now.
    pub(super) fn publish(&self) {
        let listen = self.listening.iter().map(|one| one.bound.clone()).collect();
        let names = self.discoverers.iter().map(|(pool, discoverer)| (pool.clone(), discoverer.watch())).collect();
        self.instance.served.store(Arc::new(Served { listen, pools: self.pools.clone(), names }));
    }

    /// All there are, also those of pools that are gone.
    pub(super) fn supervisors(&self) -> Vec<Arc<Supervisor>> {
        let present = self.pools.iter().filter_map(|served| served.supervisor.clone());
        present.chain(self.retiring.iter().cloned()).collect()
    }

    /// Tells of something that is about no single worker.
    pub(super) fn note(&self, kind: &str, pool: Option<&str>, text: &str) {
        note(&self.instance.events, kind, pool, None, text);
    }

    fn surroundings(&self, pool: &str, log: Arc<Journal>) -> Surroundings {
        let (events, trial) = (Arc::clone(&self.instance.events), self.trial.clone());
        Surroundings {
            output: output_to(&self.writer, log),
            events: Arc::new(move |event: &WorkerEvent| {
                note(&events, event.kind.as_str(), Some(&event.pool), Some(&event.worker), &event.text);
                if let Some(trial) = &trial {
                    trial.saw(event);
                }
            }),
            files: self.files.clone(),
            standings: self.standings.clone(),
            ports: self.ports.clone(),
            sockets: self.sockets.clone(),
            share: self.shares.get(pool).cloned(),
            shim: own_program(),
            here: self.here.clone(),
            trial: TRIAL,
            descriptors: self.descriptors_before,
            drain_timeout: self.drain_timeout.subscribe(),
        }
    }
}

/// Lines of workers go to our own output, and are remembered.
fn output_to(writer: &Writer, log: Arc<Journal>) -> OutputSink {
    let writer = writer.clone();
    Arc::new(move |stream, lines: &[u8]| {
        let destination = match stream {
            OutputStream::Stdout => Destination::Stdout,
            OutputStream::Stderr => Destination::Stderr,
        };
        log.add(lines);
        writer.write(destination, lines.to_vec());
    })
}

/// How long a pool that nobody is sent to any more must have been empty to be taken away: who has found it just before may
/// still be on the way to an endpoint.
pub(super) const SETTLED: Duration = Duration::from_millis(500);
/// Some thousand lines of a pool's workers.
const LOG_BYTES: usize = 1 << 20;
