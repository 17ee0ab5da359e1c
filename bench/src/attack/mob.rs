//! Many attackers at once.
//!
//! Decides when each comes, and that who was cut comes again. Called by [`super::attack`]. Never waits for a good client.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::attacker::Attacker;
use crate::crowd::Clients;
use crate::failure::Failure;

/// Attackers; they leave with this value.
pub(super) struct Mob {
    tally: Arc<Tally>,
    _clients: Clients,
}

/// What became of them.
#[derive(Default)]
struct Tally {
    open: AtomicUsize,
    /// Those that have been at it at least once.
    come: AtomicUsize,
    ends: Mutex<BTreeMap<String, usize>>,
}

/// One that is at it.
struct Open(Arc<Tally>);

impl Mob {
    /// Sends `count` of them, [`BETWEEN`] each other.
    pub(super) fn gather(attacker: Attacker, count: u32) -> Result<Mob, Failure> {
        let (clients, tally) = (Clients::start()?, Arc::<Tally>::default());
        for nth in 0..count {
            let tally = Arc::clone(&tally);
            clients.handle.spawn(async move {
                sleep(BETWEEN * nth).await;
                let mut first = true;
                loop {
                    let end = attacker.attack(|| Open::new(&tally, std::mem::take(&mut first))).await;
                    *tally.ends.lock().unwrap_or_else(PoisonError::into_inner).entry(end.name()).or_default() += 1;
                    sleep(PAUSE).await;
                }
            });
        }
        Ok(Mob { tally, _clients: clients })
    }

    /// How many are at it now.
    pub(super) fn open(&self) -> usize {
        self.tally.open.load(Ordering::Relaxed)
    }

    /// How many have been at it at least once.
    pub(super) fn come(&self) -> usize {
        self.tally.come.load(Ordering::Relaxed)
    }

    /// How often each end came so far.
    pub(super) fn ends(&self) -> BTreeMap<String, usize> {
        self.tally.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Open {
    fn new(tally: &Arc<Tally>, first: bool) -> Open {
        tally.open.fetch_add(1, Ordering::Relaxed);
        tally.come.fetch_add(usize::from(first), Ordering::Relaxed);
        Open(Arc::clone(tally))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Five hundred a second.
const BETWEEN: Duration = Duration::from_millis(2);
/// Before one that was cut comes again.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::mpsc;
    use std::thread;

    use super::super::attacker::Kind;
    use super::*;

    /// A server that takes what comes, sends `answer` and closes; what it got is told for each connection.
    fn server(answer: &'static str) -> (SocketAddr, mpsc::Receiver<String>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heard) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut bytes) = (stream.unwrap(), [0; 1024]);
                let length = stream.read(&mut bytes).unwrap();
                let _ = stream.write_all(answer.as_bytes());
                if sender.send(String::from_utf8_lossy(&bytes[..length]).into_owned()).is_err() {
                    return;
                }
            }
        });
        (address, heard)
    }

    #[test]
    fn whoever_is_cut_is_counted_and_comes_again() {
        for (kind, answer, opening, end) in [
            (Kind::Header, "HTTP/1.1 408 x\r\nContent-Length: 0\r\n\r\n", "X-Slow: ", "408"),
            (Kind::Body, "HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n", "Content-Length: 100000\r\n\r\n", "413"),
            (Kind::Read, "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", "GET /bytes?n=77 HTTP/1.1\r\n", "503"),
            (Kind::Idle, "HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n", "GET / HTTP/1.1\r\n", "closed"),
        ] {
            let (address, heard) = server(answer);
            let mob = Mob::gather(Attacker { kind, address, response: 77 }, 2).unwrap();
            // Each of the two at least twice, as the others' pause is long.
            for _ in 0..5 {
                let text = heard.recv_timeout(Duration::from_secs(20)).unwrap();
                assert!(text.contains(opening), "{kind:?}: {text:?}");
            }
            let counted = || mob.ends().get(end).copied().unwrap_or(0);
            while counted() < 2 {
                thread::yield_now();
            }
            assert_eq!((mob.ends().into_keys().collect::<Vec<_>>(), mob.come()), (vec![end.to_owned()], 2), "{kind:?}");
        }
    }
}
