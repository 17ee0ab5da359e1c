//! Accepts connections, whatever keeps them from being accepted for a while.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Socket;
use super::client::Peer;
use super::open::Queue;

/// A listener registered with this thread's runtime.
pub(super) struct Accepting {
    listener: Registered,
    spares: Rc<Spares>,
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

enum Registered {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    pub(super) fn new(queue: Queue, spares: &Rc<Spares>) -> io::Result<Self> {
        let listener = match queue {
            Queue::Tcp(listener) => Registered::Tcp(TcpListener::from_std(listener)?),
            Queue::Unix(listener) => Registered::Unix(UnixListener::from_std(listener)?),
        };
        Ok(Self { listener, spares: Rc::clone(spares) })
    }

    /// One that waits in the kernel's queue, if there is one. The kernel itself is asked: the runtime may not know of it yet, and
    /// lets a task have so many at once only.
    pub(super) fn accept_now(&self) -> Option<Accepted> {
        loop {
            match self.listener.accept_now() {
                Ok((socket, peer)) => return Some(Accepted { socket, peer, spare: None }),
                Err(error) if is_of_client(&error) => {}
                Err(_) => return None,
            }
        }
    }

    /// The next connection; waits out what keeps connections from being accepted, such as a lack of descriptors.
    pub(super) async fn accept(&self) -> Accepted {
        let mut pause = PAUSE_MIN;
        let mut spare = None;
        loop {
            match self.listener.accept().await {
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
                        tracing::warn!(%error, "cannot accept a connection; trying again in {pause:?}");
                    }
                    // Sooner, should a spare be there again.
                    let _ = timeout(pause, self.spares.filled.notified()).await;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }
}

impl Registered {
    fn accept_now(&self) -> io::Result<(Socket, Peer)> {
        let (socket, address) = match self {
            Self::Tcp(listener) => SockRef::from(listener).accept()?,
            Self::Unix(listener) => SockRef::from(listener).accept()?,
        };
        socket.set_nonblocking(true)?;
        match address.as_socket() {
            Some(peer) => Ok((Socket::Tcp(TcpStream::from_std(socket.into())?), Peer::Tcp(peer))),
            None => Ok((Socket::Unix(UnixStream::from_std(socket.into())?), Peer::Unix)),
        }
    }

    async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Socket::Tcp(stream), Peer::Tcp(peer)))
            }
            Self::Unix(listener) => Ok((Socket::Unix(listener.accept().await?.0), Peer::Unix)),
        }
    }
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
/// Clients that are told at the same time, per thread.
const SPARES: usize = 8;
