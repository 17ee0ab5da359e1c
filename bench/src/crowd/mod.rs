//! Clients that come whether or not anybody is served: each at its time, each on a connection of its own.
//!
//! Decides when a client sets out and what becomes of it. Called by [`crate::supermarket`], [`crate::overload`] and
//! [`crate::attack`]. Never waits for an answer before the next one goes: latency counts from the moment a request was due,
//! so a stall shows in all that were due meanwhile.

pub(crate) mod arrivals;
pub(crate) mod contender;
pub(crate) mod output;
pub(crate) mod site;
pub(crate) mod summary;
pub(crate) mod visit;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};

use arrivals::Arrival;
use visit::{End, Fault, Visit, visit};

use crate::events::Events;
use crate::failure::Failure;

/// What keeps a crowd from becoming a flood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections open at once; who comes while there are so many does not set out.
    pub(crate) connections_max: u32,
    /// A client that is not answered by then leaves.
    pub(crate) patience: Duration,
}

/// Sends the crowd to a port of 127.0.0.1 and waits until the last one has left. `paths` by [`Arrival::path`].
///
/// # Errors
/// A signal came, or one of the processes `watched` ended; its id is then returned in `Ok(Err(id))`.
pub(crate) fn send(
    arrivals: &[Arrival],
    paths: &[&'static str],
    port: u16,
    bounds: Bounds,
    watched: &[u32],
    events: &Events,
) -> Result<Result<Vec<Visit>, u32>, Failure> {
    let clients = Clients::start()?;
    let (sender, visits) = mpsc::channel();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let room = Arc::new(Semaphore::new(usize::try_from(bounds.connections_max).unwrap_or(usize::MAX)));
    let started = Instant::now();
    for arrival in arrivals {
        let due = started + arrival.due;
        // The condition variable behind this wakes within tens of microseconds; the runtime's own timer counts whole
        // milliseconds, which is a fifth of what a fast request takes.
        let left = due.saturating_duration_since(Instant::now());
        if let Some(pid) = events.wait_any(watched, left)? {
            return Ok(Err(pid));
        }
        let (sender, path) = (sender.clone(), arrival.path);
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            let _ = sender.send(Visit::over(path, started, due, due, End::Failed(Fault::NotSent)));
            continue;
        };
        let target = paths.get(path).copied().unwrap_or("/");
        clients.handle.spawn(async move {
            let set_out = Instant::now();
            let end = visit(address, target, bounds.patience).await;
            let _ = sender.send(Visit::over(path, started, due, set_out, end));
            drop(place);
        });
    }
    drop(sender);
    let mut all = Vec::with_capacity(arrivals.len());
    loop {
        match visits.recv_timeout(BETWEEN_LOOKS) {
            Ok(visit) => all.push(visit),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(pid) = events.wait_any(watched, Duration::ZERO)? {
                    return Ok(Err(pid));
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(Ok(all)),
        }
    }
}

/// A thread on which clients live; they end with this value.
pub(crate) struct Clients {
    pub(crate) handle: Handle,
    /// Dropping it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Clients {
    pub(crate) fn start() -> Result<Clients, Failure> {
        let starting = |e| Failure::system("start the clients' thread", e);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(starting)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("crowd".to_owned());
        thread.spawn(move || runtime.block_on(async { _ = stopped.await })).map_err(starting)?;
        Ok(Clients { handle, _stop: stop })
    }
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Answers connections one after the other with what `script` returns for the request's first line; `None` closes.
    fn server(script: impl Fn(&str) -> Option<&'static str> + Send + 'static) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut bytes) = (stream.unwrap(), [0; 1024]);
                let length = stream.read(&mut bytes).unwrap();
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                if let Some(answer) = script(text.lines().next().unwrap_or_default()) {
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        port
    }

    fn at(milliseconds: u64, path: usize) -> Arrival {
        Arrival { due: Duration::from_millis(milliseconds), path }
    }

    const BOUNDS: Bounds = Bounds { connections_max: 100, patience: Duration::from_secs(20) };

    #[test]
    fn each_client_tells_what_became_of_it() {
        let port = server(|line| match line {
            "GET /fast HTTP/1.1" => Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            "GET /full HTTP/1.1" => Some("HTTP/1.1 503 No\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n"),
            "GET /cut HTTP/1.1" => Some("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
            "GET /rubbish HTTP/1.1" => Some("SSH-2.0-x\r\n\r\n"),
            _ => None,
        });
        let paths = ["/fast", "/full", "/cut", "/rubbish", "/closed"];
        let arrivals: Vec<Arrival> = (0..5).map(|path| at(path as u64, path)).collect();
        let mut visits = send(&arrivals, &paths, port, BOUNDS, &[], &Events::default()).unwrap().unwrap();
        visits.sort_by_key(|visit| visit.path);
        let ends: Vec<End> = visits.iter().map(|visit| visit.end).collect();
        let answered = |status, retry_after| End::Answered { status, retry_after };
        let [cut, rubbish] = [Fault::Cut, Fault::Rubbish].map(End::Failed);
        assert_eq!(ends, [answered(200, false), answered(503, true), cut, rubbish, cut]);
    }

    #[test]
    fn latency_counts_from_when_a_request_was_due() {
        let (released, gate) = mpsc::channel::<()>();
        let port = server(move |_| {
            gate.recv().unwrap();
            Some("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        });
        // The first is held until the third has long been due; the server serves one after the other.
        let holder = thread::spawn(move || {
            let until = Instant::now() + Duration::from_millis(150);
            while Instant::now() < until {
                thread::yield_now();
            }
            (0..3).for_each(|_| released.send(()).unwrap());
        });
        let arrivals = [at(0, 0), at(10, 0), at(50, 0)];
        let visits = send(&arrivals, &["/"], port, BOUNDS, &[], &Events::default()).unwrap().unwrap();
        holder.join().unwrap();
        let mut latencies: Vec<_> = visits.iter().map(|visit| visit.latency.as_millis()).collect();
        latencies.sort_unstable();
        assert!(latencies[0] >= 90 && latencies[1] >= 130 && latencies[2] >= 140, "{latencies:?}");
    }

    #[test]
    fn nobody_waits_for_ever_and_no_more_come_than_allowed() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let bounds = Bounds { connections_max: 2, patience: Duration::from_millis(50) };
        let arrivals = [at(0, 0), at(0, 0), at(0, 0)];
        let visits = send(&arrivals, &["/"], port, bounds, &[], &Events::default()).unwrap().unwrap();
        let count = |fault| visits.iter().filter(|visit| visit.end == End::Failed(fault)).count();
        assert_eq!((count(Fault::TimedOut), count(Fault::NotSent)), (2, 1));
        drop(listener);
        let visits = send(&arrivals[..1], &["/"], port, bounds, &[], &Events::default()).unwrap().unwrap();
        assert_eq!(visits[0].end, End::Failed(Fault::Unconnected));
    }
}
