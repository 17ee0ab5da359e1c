//! Accepts connections, whatever keeps them from being accepted for a while.

use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};

use super::Socket;
use super::client::Peer;
use super::open::Queue;

/// A listener registered with this thread's runtime.
pub(super) enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    pub(super) fn new(queue: Queue) -> io::Result<Self> {
        Ok(match queue {
            Queue::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Queue::Unix(listener) => Self::Unix(UnixListener::from_std(listener)?),
        })
    }

    /// The next connection; waits out what keeps connections from being accepted, such as a lack of descriptors.
    pub(super) async fn accept(&self) -> (Socket, Peer) {
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

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
