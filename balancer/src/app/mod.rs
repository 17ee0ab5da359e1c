//! The whole program: wire the rooms, run, stop.
//!
//! Decides the order in which things start and end. Called by `cli` with a checked configuration. The only room that knows
//! every other; never does any of their work.

mod act;
#[cfg(feature = "tls")]
mod certificates;
#[cfg(not(feature = "tls"))]
#[path = "no_certificates.rs"]
mod certificates;
mod draining;
mod failure;
mod limits;
mod listeners;
mod listening;
mod live;
mod memory;
mod names;
mod open;
#[cfg(feature = "tls")]
mod ordering;
mod plan;
mod pool_change;
mod privileges;
mod reload;
mod replacing;
mod serial;
mod sharing;
mod signals;
mod start;
mod stop;
mod trial;
mod upstream_tls;
mod waiting_orders;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::admin::{AdminAction, AdminOrder, AdminServer, Instance, Outcome, note};
use crate::config::Config;
use crate::discover::Resolver;
use crate::drain::{Drain, Draining, drain};
use crate::listen::{Passed, Server};
use crate::net::Timer;
use crate::observe::Writer;
use crate::pool::Pool;
use crate::probe::Permits;
use crate::proxy::{ProxyState, Settings};
use crate::route::Table;
use crate::shown;
use crate::supervise::{Files, Ports, Reaper, Standings};
use act::{HangUp, Stops};
pub use failure::Failure;
use listening::Listening;
use live::Live;
use memory::Memory;
use open::OpenedAtStart;
use signals::{ControlOrder, Signals};
use trial::Trial;
use waiting_orders::WaitingOrders;

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// What commands find the instance by: `lb` for `lb.toml`.
    pub name: String,
    /// In words.
    pub shown: String,
    /// The file that a reload reads again.
    pub path: Option<PathBuf>,
}

/// Runs until a signal has ended it: serves, supervises, drains.
///
/// Must be called on the main thread: workers die with the thread that started them. `passed` are listeners that are open already.
///
/// # Errors
/// See [`Failure`]. Whatever has been started by then is stopped.
pub fn run(config: &Config, origin: &Origin, passed: Passed, writer: &Writer) -> Result<(), Failure> {
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let control = control.map_err(|error| Failure::System("cannot start the control thread", error))?;
    let outcome = control.block_on(serve(config, origin, passed, writer));
    // A disk that does not answer is not waited for.
    control.shutdown_timeout(memory::PATIENCE);
    outcome
}

async fn serve(config: &Config, origin: &Origin, passed: Passed, writer: &Writer) -> Result<(), Failure> {
    let (asking, asked) = mpsc::channel(ORDERS_MAX);
    // First of all: from here on a signal is an order and not the end.
    let mut signals = Signals::new(asked).map_err(|error| Failure::System("cannot listen to signals", error))?;
    let opened = OpenedAtStart::new(config, (&origin.name, origin.path.as_deref()), passed)?;
    let page = opened.admin.page();
    let (drain, draining) = drain();
    let (mut live, servers) = set_up(config, origin, opened, (writer, asking), &draining)?;
    live.keyring.order(config);
    let _reaper = Reaper::start().map_err(|error| Failure::System("cannot collect ended processes", error))?;
    live.pools = config.pools.iter().map(|pool| live.begin(pool)).collect();
    let pools: Vec<Arc<Pool>> = live.pools.iter().map(|served| Arc::clone(&served.pool)).collect();
    live.shared.table.store(Arc::new(Table::new(&config.routes, &pools)));
    live.probe(None);
    live.listens();
    live.discover();
    live.publish();
    let timer = Timer::start().map_err(|error| Failure::System("cannot start the timer thread", error))?;
    let (ended, mut ends) = mpsc::unbounded_channel();
    for (index, server) in servers.into_iter().enumerate() {
        start::thread(index, server, &live.shared, writer, &timer, ended.clone())
            .map_err(|error| Failure::System("cannot start a proxy thread", error))?;
    }
    drop(ended);
    let hint = live.listening.first().filter(|_| origin.path.is_none()).map(|one| start::hint(&one.bound, page));
    let watched = live.supervisors().iter().map(|supervisor| supervisor.watch()).collect();
    let notifier = tokio::spawn(start::tell_when_ready(watched, hint));

    let instance = Arc::clone(&live.instance);
    let tending = tokio::spawn(start::tend(Arc::clone(&instance), live.permits.clone(), Arc::clone(&live.memory)));
    let (now, outcome) = until_stopped(&mut live, &mut signals, &mut ends, writer).await;
    notifier.abort();
    tending.abort();
    stopping(&live, &instance, &mut signals, (&drain, &mut ends), now).await;
    // It is said no more than this: what is written is written whole or not at all.
    let _ = timeout(memory::PATIENCE, live.memory.save(live.pools.iter().map(|served| &served.pool))).await;
    // Whoever waits for the end learns it by the end of the connection.
    live.admin = None;
    outcome
}

/// All that runs, with no pool yet, and the proxy threads' servers, none of which has begun.
fn set_up(
    config: &Config,
    origin: &Origin,
    opened: OpenedAtStart,
    (writer, asking): (&Writer, mpsc::Sender<AdminOrder>),
    draining: &Draining,
) -> Result<(Live, Vec<Server>), Failure> {
    let OpenedAtStart { here, descriptors_before, descriptors, listeners, keyring, admin, sockets, shares } = opened;
    let shared = Arc::new(ProxyState {
        table: ArcSwap::from_pointee(Table::new(&[], &[])),
        settings: watch::Sender::new(Settings::of(config, start::spool(&config.spool)?)),
        metrics: Arc::default(),
        stories: Arc::default(),
        certificates: Arc::clone(keyring.certificates()),
    });
    let connections_max = limits::connections_max(config, descriptors);
    let shortest = limits::shortest(config);
    let (threads, client, shown) = (config.threads, &config.client, keyring.certificates());
    let servers = Server::for_threads(threads, connections_max, &listeners, client, shortest, draining, shown);
    let (servers, control) =
        servers.map_err(|error| Failure::System("cannot share a listener among threads", error))?;
    let control = Arc::new(control);
    let counted = (Arc::clone(&shared.metrics), Arc::clone(&shared.stories), Arc::clone(&control), writer.clone());
    let named = (admin.name().to_owned(), origin.shown.clone(), origin.path.clone());
    let instance = Arc::new(Instance::new(named, counted, (asking, Arc::clone(shown))));
    let admin = AdminServer::start(&instance, admin);
    let admin = admin.map_err(|error| Failure::System("cannot start the admin service", error))?;
    start::announce(config, &origin.shown, &listeners, descriptors, connections_max);
    if let Some(sockets) = &sockets {
        tracing::info!("workers' sockets are in {}", sockets.path().display());
    }
    // Each thread has its own duplicate of the queues, and the last to close closes.
    let listening = config.listen.iter().cloned().zip(listeners);
    let listening = listening.map(|(configured, listener)| Listening::new(configured, listener, &control)).collect();
    let live = Live {
        config: config.clone(),
        file: config.clone(),
        path: origin.path.clone(),
        memory: Memory::open(&instance.name, config),
        shared,
        control,
        instance,
        admin: Some(admin),
        keyring,
        pools: Vec::new(),
        listening,
        retiring: Vec::new(),
        descriptors,
        descriptors_before,
        here,
        drain_timeout: watch::Sender::new(config.drain_timeout),
        probers: BTreeMap::new(),
        discoverers: BTreeMap::new(),
        resolver: Arc::new(Resolver::default()),
        listens: watch::Sender::default(),
        permits: Permits::default(),
        writer: writer.clone(),
        files: Files::default(),
        standings: Standings::default(),
        ports: Ports::default(),
        sockets,
        shares,
        guard: None,
        trial: origin.path.is_none().then(Arc::default),
    };
    Ok((live, servers))
}

/// Acts on signals and orders until one of them is to stop; whether at once.
async fn until_stopped(
    live: &mut Live,
    signals: &mut Signals,
    ends: &mut mpsc::UnboundedReceiver<io::Result<()>>,
    writer: &Writer,
) -> (bool, Result<(), Failure>) {
    let instance = Arc::clone(&live.instance);
    let drain_timeout = live.drain_timeout.subscribe();
    let (queue, orders) = mpsc::channel(ORDERS_MAX);
    let (hang_up, stops, waiting) = (HangUp::default(), Stops::default(), WaitingOrders::default());
    let trial = live.trial.clone();
    // What takes its time goes on beside; a stop ends it where it is.
    let mut acting = pin!(act::act(live, orders, &hang_up, (&stops, &waiting)));
    let enqueue = |asked: AdminOrder| {
        waiting.add(asked.reporter.clone());
        if let Err(refused) = queue.try_send(asked) {
            waiting.take_last();
            refused.into_inner().reporter.done(Outcome::failed("too many commands wait already; try again"));
        }
    };
    let ended = loop {
        tokio::select! {
            order = signals.next() => match order {
                ControlOrder::Stop(signal) => {
                    let patience = *drain_timeout.borrow();
                    let patience = shown::time(patience);
                    tracing::info!("{signal}: stopping; requests in flight may finish within {patience}");
                    break (false, Ok(()));
                }
                ControlOrder::Asked(AdminOrder { action: AdminAction::Stop { now }, reporter }) => {
                    tracing::info!("asked to stop{}", if now { " at once" } else { "" });
                    signals.keep(reporter).await;
                    break (now, Ok(()));
                }
                ControlOrder::Asked(AdminOrder { action: AdminAction::Drain { endpoint, yes }, reporter }) => {
                    draining::drain(&instance, &endpoint, yes, *drain_timeout.borrow(), reporter);
                }
                ControlOrder::Asked(AdminOrder { action: AdminAction::Undrain { endpoint }, reporter }) => {
                    draining::undrain(&instance, &endpoint, &reporter);
                }
                ControlOrder::Asked(asked) => enqueue(asked),
                // Without a file it is what it is to every other command: its terminal is gone.
                ControlOrder::Reload if instance.path.is_none() && signals.hup_ignored() => {
                    tracing::info!("HUP: ignored, as nohup asks for; there is no file to read again");
                }
                ControlOrder::Reload if instance.path.is_none() => {
                    tracing::info!("HUP: there is no file to read again; stopping");
                    break (false, Ok(()));
                }
                ControlOrder::Reload if hang_up.came() => tracing::info!("HUP: reloading"),
                ControlOrder::Reload => {}
                ControlOrder::Reopen => writer.reopen(),
            },
            Some(end) = ends.recv() => break (false, Err(Failure::Thread(end.err()))),
            first = failed(trial.as_deref()) => break (true, Err(Failure::NeverReady(first))),
            () = &mut acting => {}
        }
    };
    stops.set(true);
    drop(queue);
    stop::wind_up(&instance).await;
    // Whoever waits for a command is told how far it came; what takes longer than that ends where it is.
    let _ = timeout(TOLD_WITHIN, acting).await;
    ended
}

/// How the first worker died of an instance that gives up; never where it does not.
async fn failed(trial: Option<&Trial>) -> String {
    match trial {
        Some(trial) => trial.failed().await,
        None => std::future::pending().await,
    }
}

async fn stopping(
    live: &Live,
    instance: &Instance,
    signals: &mut Signals,
    (drain, ends): (&Drain, &mut mpsc::UnboundedReceiver<io::Result<()>>),
    now: bool,
) {
    instance.stops();
    note(&instance.events, "stopping", None, None, "the balancer stops");
    stop::everything(live.config.drain_timeout, drain, ends, &live.supervisors(), signals, now).await;
}

/// A roll that is ended says so without delay.
const TOLD_WITHIN: Duration = Duration::from_millis(500);
/// Orders that wait behind the one being carried out.
const ORDERS_MAX: usize = 16;
