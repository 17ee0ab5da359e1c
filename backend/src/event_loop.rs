//! The event loop: one thread that serves all its connections at once.
//!
//! Decides when a connection is accepted and when the loop is over. Called by `serve` on its own thread, and by `multi` on several. Never
//! looks into a connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::unconstrained;
use tokio::time::{sleep, timeout};

use crate::connection;
use crate::socket::Socket;
use crate::source::Source;
use crate::worker::Worker;

/// Serves until `stop` says so, and all that is in flight is answered.
///
/// # Errors
/// The runtime does not take the source.
pub(crate) async fn event_loop(
    worker: Arc<Worker>,
    source: Arc<Source>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let is_channel = source.is_channel();
    let (drain, draining) = watch::channel(false);
    let (alive, mut ended) = mpsc::channel(1);
    // A listener has to be closed before its connections are.
    let told = is_channel.then(|| source.clone());
    let connections = Connections { worker, told, draining, alive };
    // Its successor is `unsafe`: it wants a promise that the descriptor stays open and the same, which a source keeps.
    #[expect(deprecated, reason = "the successor is unsafe, which is denied")]
    let incoming = AsyncFd::with_interest(source, Interest::READABLE)?;
    let has_more = tokio::select! {
        () = accept(&incoming, &connections) => false,
        () = asked(&mut stop) => true,
    };
    asked(&mut stop).await;
    if has_more && is_channel {
        // What was handed over is ours; whoever does that says when it was the last.
        accept(&incoming, &connections).await;
    } else if has_more {
        // Whoever is in the backlog connected before the listener closes, and would be reset.
        let _ = timeout(LAST_ACCEPT_TIME, unconstrained(accept(&incoming, &connections))).await;
    }
    drop((incoming, connections));
    // Without a connection left there is nobody to tell.
    let _ = drain.send(true);
    // Every connection holds a sender; the last one to end ends this.
    ended.recv().await.unwrap_or(());
    Ok(())
}

/// Returns once it is time to stop, or whoever would say so is gone.
pub(crate) async fn asked(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Accepts until no more come.
async fn accept(incoming: &AsyncFd<Arc<Source>>, connections: &Connections) {
    loop {
        let accepted = match incoming.readable().await {
            Ok(mut ready) => match ready.try_io(|source| source.get_ref().next()) {
                Ok(accepted) => accepted,
                Err(_would_block) => continue,
            },
            Err(error) => Err(error),
        };
        match accepted.and_then(|socket| socket.map(|socket| connections.begin(socket)).transpose()) {
            Ok(Some(())) => {}
            Ok(None) => return,
            // Out of descriptors or memory; connections that end give some back.
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// What each connection is given.
struct Connections {
    worker: Arc<Worker>,
    /// Who is told of a connection that is closed.
    told: Option<Arc<Source>>,
    draining: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
}

impl Connections {
    fn begin(&self, socket: socket2::Socket) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        match socket.domain()? {
            socket2::Domain::UNIX => self.spawn(UnixStream::from_std(socket.into())?),
            _ => self.spawn(TcpStream::from_std(socket.into())?),
        }
        Ok(())
    }

    fn spawn<S: Socket>(&self, socket: S) {
        let (worker, draining, alive) = (self.worker.clone(), self.draining.clone(), self.alive.clone());
        let told = self.told.clone();
        tokio::spawn(async move {
            connection::serve(socket, worker, draining).await;
            if let Some(told) = told {
                told.closed();
            }
            drop(alive);
        });
    }
}

/// One look at the socket needs a turn of the event loop.
const LAST_ACCEPT_TIME: Duration = Duration::from_millis(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
