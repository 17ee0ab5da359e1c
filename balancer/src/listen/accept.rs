//! Accepts connections and gives each to a thread.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_local};

use super::client::Peer;
use super::connection::{self, Refusal};
use super::open::{Listener, Queue};
use super::registry::{Registry, tick_for};
use super::{Client, Service, Socket, close};
use crate::config::ClientLimits;
use crate::drain::{Draining, Stage};

/// What all threads share: how many connections each has, and how to hand one over.
#[derive(Debug)]
pub struct Threads {
    open: Vec<AtomicUsize>,
    hand_over: Vec<mpsc::UnboundedSender<Handed>>,
    connections_max: usize,
}

/// Serves connections on one thread.
#[derive(Debug)]
pub struct Server {
    index: usize,
    threads: Arc<Threads>,
    handed: mpsc::UnboundedReceiver<Handed>,
    queues: Vec<Queue>,
    limits: ClientLimits,
    shortest: Duration,
    draining: Draining,
}

/// A connection on its way to another thread, taken out of the runtime it was accepted on.
#[derive(Debug)]
enum Handed {
    Tcp(std::net::TcpStream, SocketAddr),
    Unix(std::os::unix::net::UnixStream),
}

/// A place among a thread's connections.
struct Counted {
    threads: Arc<Threads>,
    index: usize,
}

impl Threads {
    /// One [`Server`] a thread, for the same `listeners`. `shortest` is the shortest time limit a service may wait for.
    ///
    /// # Errors
    /// When a listener's descriptor cannot be duplicated.
    pub fn servers(
        count: usize,
        connections_max: usize,
        listeners: &[Listener],
        limits: &ClientLimits,
        shortest: Duration,
        draining: &Draining,
    ) -> io::Result<Vec<Server>> {
        let (hand_over, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let open = (0..count).map(|_| AtomicUsize::new(0)).collect();
        let threads = Arc::new(Self { open, hand_over, connections_max });
        let server = |(index, handed)| {
            let of_thread = listeners.iter().filter_map(|listener| listener.queues.get(index));
            Ok(Server {
                index,
                threads: Arc::clone(&threads),
                handed,
                queues: of_thread.map(Queue::try_clone).collect::<io::Result<_>>()?,
                limits: limits.clone(),
                shortest,
                draining: draining.clone(),
            })
        };
        receivers.into_iter().enumerate().map(server).collect()
    }

    /// Connections on all threads.
    fn total(&self) -> usize {
        self.open.iter().map(|open| open.load(Ordering::Relaxed)).sum()
    }

    /// The thread that shall serve a connection accepted by thread `own`.
    ///
    /// The kernel spreads connections by a hash, which with few of them leaves a thread idle; handing over costs a wake-up,
    /// which a connection per request would feel. So a connection moves only where the imbalance is worth it: two and an
    /// eighth more than the least loaded thread.
    fn place(&self, own: usize) -> usize {
        let load = |index: usize| self.open[index].load(Ordering::Relaxed);
        let least = (0..self.open.len()).min_by_key(|&index| load(index)).unwrap_or(own);
        let slack = 2 + load(least) / 8;
        if load(own) > load(least) + slack { least } else { own }
    }

    fn count(self: &Arc<Self>, index: usize) -> Counted {
        self.open[index].fetch_add(1, Ordering::Relaxed);
        Counted { threads: Arc::clone(self), index }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.threads.open[self.index].fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    /// Accepts and serves until the drain has let the last request finish or its time is over.
    ///
    /// # Errors
    /// When a listener cannot be registered with the thread's runtime.
    pub async fn run<S: Service>(mut self, service: Rc<S>) -> io::Result<()> {
        let registry = Rc::new(Registry::default());
        let header_bytes_max = self.limits.header_bytes_max;
        let mut http = http1::Builder::new();
        http.max_header_size(header_bytes_max)
            .max_buf_size(header_bytes_max.max(READ_BUFFER))
            .header_read_timeout(None);
        let serve = {
            let (service, registry, threads) = (Rc::clone(&service), Rc::clone(&registry), Arc::clone(&self.threads));
            Rc::new(move |socket: Socket, peer: Peer, counted: Counted| {
                let full = threads.total() > threads.connections_max;
                let (service, registry, http) = (Rc::clone(&service), Rc::clone(&registry), http.clone());
                spawn_local(async move {
                    if full {
                        service.refused(&Client::new(peer), Refusal::ConnectionsMax);
                        let refusal = Refusal::ConnectionsMax;
                        Box::pin(close::with_answer(socket, refusal.status(), refusal.reason())).await;
                    } else {
                        connection::run(socket, peer, service, registry, http, header_bytes_max).await;
                    }
                    drop(counted);
                });
            })
        };
        let mut accepting = JoinSet::new();
        for queue in std::mem::take(&mut self.queues) {
            let queue = Accepting::new(queue)?;
            let (threads, own, serve) = (Arc::clone(&self.threads), self.index, Rc::clone(&serve));
            accepting.spawn_local(async move {
                loop {
                    let (socket, peer) = queue.accept().await;
                    match threads.place(own) {
                        place if place == own => serve(socket, peer, threads.count(own)),
                        place => hand_over(&threads, place, socket),
                    }
                }
            });
        }
        let (limits, tick) = (self.limits.clone(), tick_for(self.shortest.min(shortest(&self.limits))));
        let ticking = Rc::clone(&registry);
        spawn_local(async move { ticking.tick(tick, &limits).await });
        let mut draining = self.draining.clone();
        loop {
            tokio::select! {
                Some(handed) = self.handed.recv() => {
                    let counted = self.threads.count(self.index);
                    match handed.arrive() {
                        Ok((socket, peer)) => serve(socket, peer, counted),
                        Err(error) => tracing::warn!(%error, "a connection was lost on its way to another thread"),
                    }
                }
                () = draining.reached(Stage::Draining) => break,
            }
        }
        // Listeners close with the tasks that hold them; what waits in their queues goes to the next instance or is refused.
        accepting.shutdown().await;
        registry.drain();
        tokio::select! {
            () = registry.emptied() => {}
            () = draining.reached(Stage::Stopped) => {}
        }
        Ok(())
    }
}

fn hand_over(threads: &Threads, place: usize, socket: Socket) {
    let handed = match socket {
        Socket::Tcp(stream) => stream.peer_addr().and_then(|peer| Ok(Handed::Tcp(stream.into_std()?, peer))),
        Socket::Unix(stream) => stream.into_std().map(Handed::Unix),
    };
    // A client that is gone already, or a thread that ended with the process: nothing to serve either way.
    if let Ok(handed) = handed {
        let _ = threads.hand_over[place].send(handed);
    }
}

impl Handed {
    fn arrive(self) -> io::Result<(Socket, Peer)> {
        Ok(match self {
            Self::Tcp(stream, peer) => (Socket::Tcp(TcpStream::from_std(stream)?), Peer::Tcp(peer)),
            Self::Unix(stream) => (Socket::Unix(UnixStream::from_std(stream)?), Peer::Unix),
        })
    }
}

/// A listener registered with this thread's runtime.
enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    fn new(queue: Queue) -> io::Result<Self> {
        Ok(match queue {
            Queue::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Queue::Unix(listener) => Self::Unix(UnixListener::from_std(listener)?),
        })
    }

    /// The next connection; waits out what keeps connections from being accepted, such as a lack of descriptors.
    async fn accept(&self) -> (Socket, Peer) {
        let mut pause = PAUSE_MIN;
        loop {
            let accepted = match self {
                Self::Tcp(listener) => {
                    listener.accept().await.map(|(stream, peer)| (Socket::Tcp(stream), Peer::Tcp(peer)))
                }
                Self::Unix(listener) => listener.accept().await.map(|(stream, _)| (Socket::Unix(stream), Peer::Unix)),
            };
            match accepted {
                Ok(connection) => return connection,
                // The client left while it waited; the next one is not concerned.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again in {pause:?}");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
}

fn shortest(limits: &ClientLimits) -> Duration {
    limits.header_timeout.min(limits.keep_alive_timeout).min(limits.body_timeout)
}

/// What hyper reads at once and holds for a client at most, besides a header section of the greatest length.
const READ_BUFFER: usize = 64 * 1024;
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
