//! How a socket ends, and what the kernel is to find out about its peer. Decides nothing but the times; called by whoever owns the socket.
//! Never reads or writes.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::acknowledged::acknowledged;
use super::plain::{Family, Plain, Registration};

impl Plain {
    /// Ends our side; what the peer still sends can be read.
    pub(super) fn shut_down(&self) {
        if let Some(socket) = self.options() {
            // What fails here is a connection that is gone.
            let _ = socket.shutdown(std::net::Shutdown::Write);
        }
    }

    /// Makes the close that follows a reset, so that the peer cannot take it for a clean end.
    pub(super) fn reset_on_close(&self) {
        if let (Family::Tcp, Some(socket)) = (self.family, self.options()) {
            // Without the option the peer sees a FIN, which is what it would see on any other failure.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }

    /// Takes that back: the close is a clean end.
    pub(super) fn end_on_close(&self) {
        if let (Family::Tcp, Some(socket)) = (self.family, self.options()) {
            let _ = socket.set_linger(None);
        }
    }

    /// Has the kernel find out within two minutes that the peer is gone without a word: asked while nothing is under way (the kernel's
    /// own time for that is two hours), or with something under way that it does not take (else a quarter of an hour).
    pub(super) fn find_out_when_gone(&self) {
        if let (Family::Tcp, Some(socket)) = (self.family, self.options()) {
            // What fails here is a connection that is gone.
            let _ = socket.set_tcp_keepalive(&ASK_PEER);
            let _ = socket.set_tcp_user_timeout(Some(SILENT + ASK_AGAIN * ASKED));
        }
    }

    /// The address that it was connected to; `None` for a Unix socket. One system call.
    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        self.options()?.local_addr().ok()?.as_socket()
    }

    /// Acknowledges at once what has come. The kernel forgets it with the next acknowledgement, so that it does nothing when set
    /// earlier.
    pub(super) fn acknowledge(&self) {
        if let (Family::Tcp, Some(socket)) = (self.family, self.options()) {
            let _ = socket.set_tcp_quickack(true);
        }
    }

    /// Bytes that the peer has acknowledged, ever; `None` where the kernel does not tell. One system call.
    pub(super) fn acknowledged(&self) -> Option<u64> {
        match &self.state {
            Registration::Bare(descriptor) => acknowledged(descriptor),
            Registration::Registered(registered, _) => acknowledged(registered.get_ref()),
            Registration::Lost => None,
        }
    }

    /// Whether it is connected to itself: the kernel may give a connection to a port on which nobody listens that very port on our
    /// side.
    pub(super) fn is_its_own_peer(&self) -> bool {
        let ends =
            |socket: SockRef<'_>| Some((socket.local_addr().ok()?.as_socket()?, socket.peer_addr().ok()?.as_socket()?));
        self.options().and_then(ends).is_some_and(|(ours, theirs)| ours == theirs)
    }
}

/// A TCP peer that is silent is asked whether it is still there.
pub const ASK_PEER: TcpKeepalive = TcpKeepalive::new().with_time(SILENT).with_interval(ASK_AGAIN).with_retries(ASKED);
/// Before the peer is asked, until it is asked again, and how often.
const SILENT: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_secs(15);
const ASKED: u32 = 4;
