//! Starting threads and workers, and telling of it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use sd_notify::NotifyState;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_local};

use super::failure::Failure;
use super::memory::Memory;
use crate::admin::Instance;
use crate::config::{self, Config, ListenAddress, Pool as PoolConfig};
use crate::listen::{Listener, Server};
use crate::net::Timer;
use crate::observe::Writer;
use crate::probe::{Permits, Scout};
use crate::proxy::{Proxy, ProxyState};
use crate::spool::Spool;
use crate::supervise::Status;

/// Says what runs, from which file and within which limits.
pub(super) fn announce(
    config: &Config,
    origin: &str,
    listeners: &[Listener],
    descriptors: u64,
    connections_max: usize,
) {
    let threads = match config.threads {
        1 => "1 proxy thread".to_owned(),
        threads => format!("{threads} proxy threads"),
    };
    tracing::info!("balancer {} with {origin}, {threads}", env!("CARGO_PKG_VERSION"));
    tracing::info!("{descriptors} descriptors; at most {connections_max} client connections");
    if let Some(wanted) = config.connections_max.filter(|wanted| *wanted > connections_max) {
        tracing::warn!(
            "connections_max = {wanted} is limited to {connections_max} by {descriptors} descriptors (ulimit -n, LimitNOFILE=)"
        );
    }
    if descriptors < DESCRIPTORS_FEW {
        tracing::warn!("few descriptors: raise the limit (ulimit -n, LimitNOFILE=) before there is much traffic");
    }
    for pool in &config.pools {
        tracing::info!("pool {}: {}", pool.name, describe(pool));
        if geteuid().is_root() && pool.runs_as_root(&config.identity) {
            tracing::warn!("pool {}: {}", pool.name, config::Pool::AS_ROOT);
        }
    }
    for (configured, listener) in config.listen.iter().zip(listeners) {
        let whose = match configured.place() {
            ListenAddress::Passed(_) => format!("{configured}: "),
            _ => String::new(),
        };
        tracing::info!("{whose}listening on {}", listener.address);
    }
}

/// Starts proxy thread `index`; `ended` is told when it ends.
pub(super) fn thread(
    index: usize,
    server: Server,
    shared: &Arc<ProxyState>,
    writer: &Writer,
    timer: &Timer,
    ended: mpsc::UnboundedSender<io::Result<()>>,
) -> io::Result<()> {
    let (shared, writer, timer) = (Arc::clone(shared), writer.clone(), timer.clone());
    let body = move || {
        timer.serve_this_thread();
        let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default());
        let served = runtime.and_then(|runtime| {
            runtime.block_on(async {
                let proxy = Rc::new(Proxy::new(shared, &writer));
                let upstreams = Rc::clone(proxy.forwarder().upstreams());
                spawn_local(async move { upstreams.reap_for_ever().await });
                let following = Rc::clone(&proxy);
                spawn_local(async move { following.follow().await });
                server.run(proxy).await
            })
        });
        // Nobody listens only when the process is about to end.
        let _ = ended.send(served);
    };
    thread::Builder::new().name(format!("proxy-{index}")).spawn(body).map(drop)
}

/// Where bodies wait on the disk; `None` where there is no directory for it.
///
/// # Errors
/// When the directory that the configuration names cannot be used. One that is only the service manager's offer may be unusable.
pub(super) fn spool(config: &config::Spool) -> Result<Option<Spool>, Failure> {
    let offered = || {
        let all = std::env::var("CACHE_DIRECTORY").ok()?;
        // systemd.exec(5): several are separated by colons.
        Some(PathBuf::from(all.split(':').next()?)).filter(|path| path.is_absolute())
    };
    if config.bytes_max == 0 {
        return Ok(None);
    }
    let Some(directory) = config.directory.clone().or_else(offered) else { return Ok(None) };
    match Spool::start(directory.clone(), config.bytes_max) {
        Ok(spool) => {
            tracing::info!("large request bodies wait in {}", directory.display());
            Ok(Some(spool))
        }
        Err(error) if config.directory.is_some() => Err(Failure::System("cannot make files in `spool_dir`", error)),
        Err(error) => {
            tracing::warn!(%error, "cannot make files in {}, $CACHE_DIRECTORY: large request bodies stream", directory.display());
            Ok(None)
        }
    }
}

/// Looks after queues, idle connections that belong to no thread, ejected endpoints, and what is to be remembered.
pub(super) async fn tend(instance: Arc<Instance>, permits: Permits, memory: Arc<Memory>) {
    let mut scout = Scout::new(permits);
    let mut saving = JoinSet::new();
    for look in 1.. {
        tokio::time::sleep(TEND).await;
        let served = instance.served.load_full();
        served.pools.iter().for_each(|served| served.pool.tend(Instant::now()));
        scout.look(served.pools.iter().map(|served| &served.pool));
        while saving.try_join_next().is_some() {}
        if look % LOOKS == 0 {
            // Beside the rest: a disk may take its time. One at a time.
            let memory = Arc::clone(&memory);
            if saving.is_empty() {
                saving.spawn(async move { memory.save(served.pools.iter().map(|served| &served.pool)).await });
            }
        }
    }
}

/// Tells systemd once every pool with workers has one that is ready, and `hint` to whoever has typed the command.
pub(super) async fn tell_when_ready(mut pools: Vec<watch::Receiver<Status>>, hint: Option<String>) {
    for pool in &mut pools {
        // The supervisor is gone only when the process stops.
        let _ = pool.wait_for(|status| status.ready() > 0 || status.is_settled()).await;
    }
    notify(NotifyState::Ready);
    if let Some(hint) = hint {
        tracing::info!("{hint}");
    }
}

/// What somebody may do who has just started it.
pub(super) fn hint(listen: &ListenAddress, page: Option<SocketAddr>) -> String {
    // A certificate of nobody's: curl would refuse it.
    let scheme = if listen.encrypts() { "-k https" } else { "http" };
    let curl = match listen.place() {
        ListenAddress::Tcp(address) if address.ip().is_unspecified() => {
            format!("{scheme}://127.0.0.1:{}", address.port())
        }
        ListenAddress::Tcp(address) => format!("{scheme}://{address}"),
        ListenAddress::Unix(socket) => format!("--unix-socket {} {scheme}://localhost", socket.path.display()),
        // What is bound has an address.
        _ => format!("{scheme}://localhost"),
    };
    let page = page.map_or(String::new(), |page| format!(" · page http://{page}"));
    format!("Try curl {curl}{page} · Ctrl-C stops")
}

/// Tells systemd, where it asked to be told.
pub(super) fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}

fn describe(pool: &PoolConfig) -> String {
    let endpoints: Vec<String> = pool.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect();
    let workers = pool.workers.as_ref().map(|workers| format!("{} × {}", workers.count, workers.command.join(" ")));
    let name = pool.dns.name.as_ref().map(|name| format!("what {name} has"));
    endpoints.into_iter().chain(name).chain(workers).collect::<Vec<_>>().join(", ")
}

pub(super) const TEND: Duration = Duration::from_millis(500);
/// Below it a busy evening runs out of them.
const DESCRIPTORS_FEW: u64 = 4_096;
/// Looks of [`TEND`] from one writing to the next: what the last minute has taught is soon learned again.
const LOOKS: u128 = Duration::from_secs(60).as_millis() / TEND.as_millis();
