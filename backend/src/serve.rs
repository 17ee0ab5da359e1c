//! The life of the process: start, accept, drain.
//!
//! Decides when the worker listens, accepts and ends. Called by the program's `main`. Never looks into a connection.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::unconstrained;
use tokio::time::{sleep, timeout};

use crate::listen::{Address, Listener};
use crate::models::Server;
use crate::socket::Socket;
use crate::worker::Worker;
use crate::{Model, Options, connection};

/// Serves until TERM or INT, then drains for at most 10 s (a second signal ends that). Blocks.
///
/// Prints `NAME listening on ADDRESS` on stdout when it listens: the first line it prints, and, but for the route
/// `/log`, the only one.
///
/// # Errors
/// It cannot listen (the message says where, and why), was told to fail, or the system lacks what it needs to run at all.
pub fn run(options: &Options) -> io::Result<()> {
    if options.fail_start {
        return Err(io::Error::other("told to fail at start"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(live(options))
}

async fn live(options: &Options) -> io::Result<()> {
    let mut stop = Stop::new(options)?;
    tokio::select! {
        () = sleep(options.start_delay) => {}
        () = stop.asked() => return Ok(()),
    }
    let listener = Listener::bind(options)?;
    let worker = Worker::new(options, &listener.address)?;
    if options.model == Model::EventLoop {
        event_loop(&worker, listener, &mut stop).await
    } else {
        let address = listener.address.clone();
        let server = Server::start(worker.clone(), listener)?;
        announce(&worker, &address);
        stop.asked().await;
        stop.limit(server.drain()).await;
        Ok(())
    }
}

async fn event_loop(worker: &Arc<Worker>, listener: Listener, stop: &mut Stop) -> io::Result<()> {
    let acceptor = Acceptor::new(&listener)?;
    let (drain, draining) = watch::channel(false);
    let (alive, mut ended) = mpsc::channel(1);
    announce(worker, &listener.address);
    let connections = Connections { worker: worker.clone(), draining, alive };
    tokio::select! {
        () = accept(&acceptor, &connections) => {}
        () = stop.asked() => {}
    }
    // Whoever is in the backlog connected before the listener closes, and would be reset.
    let _ = timeout(LAST_ACCEPT_TIME, unconstrained(accept(&acceptor, &connections))).await;
    drop((acceptor, listener, connections));
    // Without a connection left there is nobody to tell.
    let _ = drain.send(true);
    // Every connection holds a sender; the last one to end ends this.
    stop.limit(async { ended.recv().await.unwrap_or(()) }).await;
    Ok(())
}

/// Accepts for ever.
async fn accept(acceptor: &Acceptor, connections: &Connections) {
    loop {
        let accepted = match acceptor {
            Acceptor::Tcp(listener) => listener.accept().await.map(|(socket, _)| {
                // Fails for a connection that is gone already.
                let _ = socket.set_nodelay(true);
                connections.spawn(socket);
            }),
            Acceptor::Unix(listener) => listener.accept().await.map(|(socket, _)| connections.spawn(socket)),
        };
        if accepted.is_err() {
            // Out of descriptors or memory; connections that end give some back.
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// What each connection is given.
struct Connections {
    worker: Arc<Worker>,
    draining: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
}

impl Connections {
    fn spawn<S: Socket>(&self, socket: S) {
        let (worker, draining, alive) = (self.worker.clone(), self.draining.clone(), self.alive.clone());
        tokio::spawn(async move {
            connection::serve(socket, worker, draining).await;
            drop(alive);
        });
    }
}

enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    fn new(listener: &Listener) -> io::Result<Acceptor> {
        let socket = OwnedFd::from(listener.socket.try_clone()?);
        listener.socket.set_nonblocking(true)?;
        Ok(match listener.address {
            Address::Tcp(_) => Acceptor::Tcp(TcpListener::from_std(socket.into())?),
            Address::Unix(_) => Acceptor::Unix(UnixListener::from_std(socket.into())?),
        })
    }
}

/// TERM and INT.
struct Stop {
    term: Signal,
    interrupt: Signal,
    ignore_term: bool,
}

impl Stop {
    fn new(options: &Options) -> io::Result<Stop> {
        Ok(Stop {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            ignore_term: options.ignore_term,
        })
    }

    async fn asked(&mut self) {
        loop {
            tokio::select! {
                _ = self.term.recv() => if !self.ignore_term { return },
                _ = self.interrupt.recv() => return,
            }
        }
    }

    /// Waits for a drain, but not for ever, and not past a second signal.
    async fn limit(&mut self, drain: impl Future<Output = ()>) {
        tokio::select! {
            () = drain => {}
            () = self.asked() => {}
            () = sleep(DRAIN_TIME_MAX) => {}
        }
    }
}

fn announce(worker: &Worker, address: &Address) {
    let mut stdout = io::stdout().lock();
    // A reader that is gone is no reason not to serve.
    let _ = writeln!(stdout, "{} listening on {address}", worker.name).and_then(|()| stdout.flush());
}

const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// One look at the socket needs a turn of the event loop.
const LAST_ACCEPT_TIME: Duration = Duration::from_millis(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
