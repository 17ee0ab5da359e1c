//! The whole program: wire the rooms, run, stop.
//!
//! Decides the order in which things start and end. Called by `cli` with a checked configuration. The only room that knows
//! every other; never does any of their work.

mod failure;
mod limits;
mod privileges;
mod signals;
mod start;
mod stop;

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use crate::config::{Config, ListenAddress};
use crate::drain::drain;
use crate::listen::{self, Listener, Server};
use crate::observe::Writer;
use crate::pool::Pool;
use crate::proxy::Shared;
use crate::route::Table;
use crate::supervise::{Guard, Reaper, Sockets, own_program, who_listens};
pub use failure::Failure;
use signals::{Order, Signals};

/// Runs until a signal has ended it: serves, supervises, drains.
///
/// `origin` names the configuration for people. Must be called on the main thread: workers die with the thread that
/// started them.
///
/// # Errors
/// See [`Failure`]. Whatever has been started by then is stopped.
pub fn run(config: &Config, origin: &str, writer: &Writer) -> Result<(), Failure> {
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let control = control.map_err(|error| Failure::System("cannot start the control thread", error))?;
    control.block_on(serve(config, origin, writer))
}

async fn serve(config: &Config, origin: &str, writer: &Writer) -> Result<(), Failure> {
    // First of all: from here on a signal is an order and not the end.
    let mut signals = Signals::new().map_err(|error| Failure::System("cannot listen to signals", error))?;
    let descriptors = limits::raise_descriptors();
    let listeners = open(config)?;
    privileges::take_on(&config.identity).map_err(Failure::Identity)?;
    // Of the account that uses it. Dropped behind the workers.
    let sockets = Sockets::make(&config.pools).map_err(Failure::Sockets)?;

    let pools: Vec<Arc<Pool>> = config.pools.iter().map(Pool::new).collect();
    let shared = Arc::new(Shared {
        table: ArcSwap::from_pointee(Table::new(&config.routes, &pools)),
        limits: config.client.clone(),
        trusted: config.trusted_proxies.clone(),
        access_log: config.access_log.clone(),
        metrics: Arc::default(),
    });
    let (drain, draining) = drain();
    let allowed = limits::connections_max(descriptors);
    let connections_max = config.connections_max.map_or(allowed, |wanted| wanted.min(allowed));
    let shortest = limits::shortest(config);
    let (servers, _control) = Server::for_threads(config.threads, connections_max, &listeners, &config.client, shortest, &draining)
        .map_err(|error| Failure::System("cannot share a listener among threads", error))?;
    start::announce(config, origin, &listeners, descriptors, connections_max);
    if let Some(sockets) = &sockets {
        tracing::info!("workers' sockets are in {}", sockets.path().display());
    }
    // Each thread has its own duplicate, and the last to close closes.
    drop(listeners);

    let _reaper = Reaper::start().map_err(|error| Failure::System("cannot collect ended processes", error))?;
    let has_workers = config.pools.iter().any(|pool| pool.workers.is_some());
    // Dropped last: it is what ends the workers when this process is killed.
    let _guard = has_workers.then(|| Guard::start(own_program()));
    let supervisors = start::supervisors(config, &pools, sockets.as_ref(), writer);
    let (ended, mut ends) = mpsc::unbounded_channel();
    for (index, server) in servers.into_iter().enumerate() {
        start::thread(index, server, &shared, writer, ended.clone())
            .map_err(|error| Failure::System("cannot start a proxy thread", error))?;
    }
    drop(ended);
    let notifier =
        tokio::spawn(start::tell_when_ready(supervisors.iter().map(|supervisor| supervisor.watch()).collect()));

    let outcome = loop {
        tokio::select! {
            order = signals.next() => match order {
                Order::Stop(signal) => {
                    tracing::info!("{signal}: stopping; requests in flight may finish within {:?}", config.drain_timeout);
                    break Ok(());
                }
                Order::Reload => tracing::warn!("reload is not supported yet; nothing has changed"),
                Order::Reopen => writer.reopen(),
            },
            Some(end) = ends.recv() => break Err(Failure::Thread(end.err())),
        }
    };
    notifier.abort();
    stop::everything(config.drain_timeout, &drain, &mut ends, &supervisors, &mut signals).await;
    outcome
}

fn open(config: &Config) -> Result<Vec<Listener>, Failure> {
    let open = |address: &ListenAddress| {
        listen::open(address, config.threads).map_err(|error| {
            let holder = match (address, error.kind()) {
                (ListenAddress::Tcp(address), io::ErrorKind::AddrInUse) => who_listens(*address),
                _ => None,
            };
            Failure::Listen(address.clone(), error, holder)
        })
    };
    config.listen.iter().map(open).collect()
}
