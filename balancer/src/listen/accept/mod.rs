//! Accepts connections, whatever keeps them from being accepted for a while.
//!
//! Decides how listeners are opened, how connections are spread over threads, and who is refused when there are too many. Called by the
//! server of each thread. Never reads what a client sends.

pub(super) mod open;
pub(super) mod passed;
pub(super) mod refusing;
pub(super) mod threads;
pub(super) mod unix;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use nix::errno::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::yield_now;

use crate::net::{Family, Peer, Socket, timeout};
use crate::shown;
use open::AcceptQueue;

/// A listener registered with this thread's runtime.
pub(super) struct Accepting {
    listener: AsyncFd<AcceptQueue>,
    spares: Rc<Spares>,
    /// Accepted since others had their turn.
    in_a_row: Cell<u32>,
}

/// A connection, and whether there is a descriptor for it.
pub(super) struct Accepted {
    pub(super) socket: Socket,
    pub(super) peer: Peer,
    /// There was none but one kept for this: all that can be done is to say so, soon.
    pub(super) spare: Option<Spare>,
}

/// Descriptors kept so that a client can be told that there are none.
#[derive(Debug, Default)]
pub(super) struct Spares {
    files: RefCell<Vec<File>>,
    filled: Notify,
}

/// A spare in use; when it is dropped, after the connection, its place is filled again.
#[derive(Debug)]
pub(super) struct Spare(Rc<Spares>);

impl Accepting {
    pub(super) fn new(queue: AcceptQueue, spares: &Rc<Spares>) -> io::Result<Self> {
        // Its successor is `unsafe`: it wants a promise that the descriptor stays open and the same, which `AcceptQueue` keeps.
        #[expect(deprecated, reason = "the successor is unsafe, which is denied")]
        let listener = AsyncFd::with_interest(queue, Interest::READABLE)?;
        Ok(Self { listener, spares: Rc::clone(spares), in_a_row: Cell::new(0) })
    }

    /// One that waits in the kernel's queue, if there is one. The kernel itself is asked: the runtime may not know of it yet, and
    /// lets a task have so many at once only.
    pub(super) fn accept_now(&self) -> Option<Accepted> {
        loop {
            match accept(self.listener.get_ref()) {
                Ok((socket, peer)) => return Some(Accepted { socket, peer, spare: None }),
                Err(error) if is_of_client(&error) => {}
                Err(_) => return None,
            }
        }
    }

    /// Whether whoever comes after us serves those that wait.
    pub(super) fn outlives_us(&self) -> bool {
        self.listener.get_ref().outlives_us
    }

    async fn next(&self) -> io::Result<(Socket, Peer)> {
        if self.in_a_row.get() >= IN_A_ROW {
            self.in_a_row.set(0);
            yield_now().await;
        }
        poll_fn(|cx| {
            loop {
                let mut ready = ready!(self.listener.poll_read_ready(cx))?;
                match accept(self.listener.get_ref()) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                    accepted => {
                        self.in_a_row.set(self.in_a_row.get() + 1);
                        return Poll::Ready(accepted);
                    }
                }
                self.in_a_row.set(0);
            }
        })
        .await
    }

    /// The next connection; waits out what keeps connections from being accepted, such as a lack of descriptors.
    pub(super) async fn accept(&self) -> Accepted {
        let mut pause = PAUSE_MIN;
        let mut spare = None;
        loop {
            match self.next().await {
                Ok((socket, peer)) => return Accepted { socket, peer, spare },
                Err(error) if is_of_client(&error) => {}
                Err(error) => {
                    let exhausted = is_exhausted(&error);
                    if exhausted && spare.is_none() {
                        spare = Spares::take(&self.spares);
                        if spare.is_some() {
                            continue;
                        }
                    }
                    // Whoever is being told so gives its descriptor back soon.
                    let longest = if exhausted { PAUSE_EXHAUSTED } else { PAUSE_MAX };
                    if !exhausted || pause >= longest {
                        tracing::warn!(%error, "cannot accept a connection; trying again in {}", shown::time(pause));
                    }
                    // Sooner, should a spare be there again.
                    let _ = timeout(pause, self.spares.filled.notified()).await;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }
}

/// Takes a connection that waits in the kernel's queue. It is non-blocking from its beginning. The runtime does not know it yet: a
/// client that brings its request along may be answered before it has to.
fn accept(queue: &AcceptQueue) -> io::Result<(Socket, Peer)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (descriptor, address) = acceptfrom_with(queue, flags)?;
    let address = address.and_then(|address| std::net::SocketAddr::try_from(address).ok());
    let (family, peer) = match address {
        Some(address) => (Family::Tcp, Peer::Tcp(address)),
        None => (Family::Unix, Peer::Unix),
    };
    Ok((Socket::bare(descriptor, family).greeting(queue.encrypts), peer))
}

impl Spares {
    fn take(this: &Rc<Self>) -> Option<Spare> {
        let file = this.files.borrow_mut().pop()?;
        drop(file);
        Some(Spare(Rc::clone(this)))
    }

    /// As many as can be had, at most [`SPARES`].
    pub(super) fn fill(&self) {
        let mut files = self.files.borrow_mut();
        while files.len() < SPARES {
            // Somebody else has taken it; one of those to come may be had.
            let Ok(file) = File::open("/dev/null") else { break };
            files.push(file);
            self.filled.notify_one();
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.0.fill();
    }
}

/// Whether the client left while it waited; the next one is not concerned.
fn is_of_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Whether the process or the system has no descriptor left.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EMFILE | Errno::ENFILE))
}

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_EXHAUSTED: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Before others have their turn.
const IN_A_ROW: u32 = 16;
/// Clients that are told at the same time, per thread.
const SPARES: usize = 8;
