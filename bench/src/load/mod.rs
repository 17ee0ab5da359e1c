//! The one load generator: clients that ask at their moments, or again and again, and what became of each request.
//!
//! Decides when a client sets out and that latency counts from the moment a request was due. Called by every scenario that
//! sends load from this program. Never waits for an answer before the next one is due: a stall shows in all that were due
//! meanwhile.

pub(crate) mod answer;
pub(crate) mod arrivals;
pub(crate) mod get;
mod party;
mod queue;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, rc::Rc, sync::mpsc, thread};

use tokio::runtime::{Builder, LocalOptions};
use tokio::{net::TcpStream, sync::oneshot};

use crate::{events::Events, failure::Failure};
use answer::End;
use arrivals::Arrival;
use party::{Party, serve};

/// Asks once for a client.
pub(crate) trait Visitor: Send + 'static {
    /// `kept` has the connection of this client's visit before, where one was left; who leaves one there keeps it.
    fn visit(&self, turn: Turn, kept: &mut Option<TcpStream>) -> impl Future<Output = Told>;
}

/// Which request it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Among all of this load, from 0.
    pub(crate) number: u64,
    /// Whose, from 0; 0 of a client that asks but once.
    pub(crate) client: u32,
    /// As in [`Arrival`]; 0 where nothing arrives.
    pub(crate) kind: usize,
}

/// What a visitor tells.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) end: End,
    /// What was answered where it was no 200.
    pub(crate) said: Option<String>,
    /// The last moment at which all was well, where that is later than when it set out.
    pub(crate) well: Option<Instant>,
}

/// A request that has ended; moments are since the start of the load.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) number: u64,
    pub(crate) kind: usize,
    pub(crate) due: Duration,
    pub(crate) set_out: Duration,
    /// The last moment at which all was well.
    pub(crate) well: Duration,
    pub(crate) at: Duration,
    pub(crate) end: End,
    pub(crate) said: Option<String>,
}

/// Who asks, and when.
pub(crate) struct Plan {
    pub(crate) pace: Pace,
    pub(crate) clients: Clients,
    /// A request that is not answered by then has failed.
    pub(crate) patience: Duration,
}

/// When requests are due.
pub(crate) enum Pace {
    /// At these moments, whether or not others are answered.
    At(Box<dyn Iterator<Item = Arrival> + Send>),
    /// Each client asks again so long after its answer; the first set out `between` each other.
    Again { pause: Duration, after_failure: Duration, between: Duration },
}

/// Clients and their connections.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clients {
    /// One for each request; who comes while there are so many does not set out.
    Fresh(u32),
    /// So many, each with its connection. A request for which none is free waits, and its wait counts.
    Kept(u32),
    /// The same; when one has waited so long, all that wait are left out, so that a slow minute is not followed by a flood.
    Forgetful(u32, Duration),
}

impl Pace {
    /// Each client asks again as soon as it is answered.
    pub(crate) const CLOSED: Pace =
        Pace::Again { pause: Duration::ZERO, after_failure: Duration::ZERO, between: Duration::ZERO };

    pub(crate) fn at(arrivals: impl IntoIterator<Item = Arrival, IntoIter: Send + 'static>) -> Pace {
        Pace::At(Box::new(arrivals.into_iter()))
    }
}

impl From<End> for Told {
    fn from(end: End) -> Told {
        Told { end, said: None, well: None }
    }
}

impl Sent {
    pub(crate) fn latency(&self) -> Duration {
        self.at.saturating_sub(self.due)
    }

    /// How much later than due it set out: our own fault.
    pub(crate) fn late(&self) -> Duration {
        self.set_out.saturating_sub(self.due)
    }

    pub(crate) fn is_served(&self) -> bool {
        self.end.is_served()
    }
}

/// A load that is under way on a thread of its own; its clients are gone with this value.
pub(crate) struct Load {
    shared: Arc<Shared>,
    /// Dropping it ends the thread.
    _gone: oneshot::Sender<()>,
}

struct Shared {
    started: Instant,
    patience: Duration,
    issued: AtomicU64,
    skipped: AtomicU64,
    stopping: AtomicBool,
    ended: AtomicBool,
    sent: Mutex<Vec<Sent>>,
}

/// Says that every client has left.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
    }
}

impl Load {
    pub(crate) fn start(plan: Plan, visitor: impl Visitor) -> Result<Load, Failure> {
        let starting = |e| Failure::system("start the clients", e);
        let (gone, dropped) = oneshot::channel();
        let shared = Arc::new(Shared {
            started: Instant::now(),
            patience: plan.patience,
            issued: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            sent: Mutex::default(),
        });
        let ours = Arc::clone(&shared);
        let (sender, built) = mpsc::channel();
        let thread = thread::Builder::new().name("load".to_owned()).spawn(move || {
            // It can be built on its own thread only.
            let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => runtime,
                Err(e) => return drop(sender.send(Err(e))),
            };
            let _ = sender.send(Ok(()));
            // Who waits for the clients is told even if this thread panics.
            let _ended = Ended(Arc::clone(&ours));
            let all = serve(Rc::new(Party { shared: ours, visitor }), plan.pace, plan.clients);
            runtime.block_on(async {
                tokio::select! { () = all => {}, _ = dropped => {} }
            });
        });
        thread.map_err(starting)?;
        built.recv().unwrap_or_else(|e| Err(io::Error::other(e))).map_err(starting)?;
        Ok(Load { shared, _gone: gone })
    }

    /// Since its start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.shared.started.elapsed()
    }

    pub(crate) fn started(&self) -> Instant {
        self.shared.started
    }

    /// Requests that were left out because too many waited: more than the machine could do.
    pub(crate) fn skipped(&self) -> u64 {
        self.shared.skipped.load(Ordering::Relaxed)
    }

    /// Requests that fell due until now and were not left out.
    pub(crate) fn issued(&self) -> u64 {
        self.shared.issued.load(Ordering::Relaxed) - self.skipped()
    }

    /// No request more; those under way are waited for.
    pub(crate) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
    }

    /// All that have ended until now.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until every client has left; after [`Load::stop`], or when there are no more arrivals. The second value is what
    /// ended of the processes `watched`.
    pub(crate) fn wait(&self, watched: &[u32], events: &Events) -> Result<Result<Vec<Sent>, u32>, Failure> {
        while !self.shared.ended.load(Ordering::SeqCst) {
            if let Some(pid) = events.wait_any(watched, BETWEEN_LOOKS)? {
                return Ok(Err(pid));
            }
        }
        Ok(Ok(self.sent()))
    }

    /// Whether every client has left.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::SeqCst)
    }
}

/// A port of 127.0.0.1.
pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
