//! The Unix socket over which one worker is handed its connections.
//!
//! Decides on the message: one line, with one descriptor (SCM_RIGHTS, unix(7)). Called by `desk` and by whoever asks a worker whether it
//! is ready. Never waits: who is full says so.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use socket2::SockRef;

/// Our end of it.
#[derive(Debug)]
pub(super) struct Channel(UnixStream);

impl Channel {
    /// Our end, and the worker's.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        SockRef::from(&ours).set_send_buffer_size(UNREAD_BYTES)?;
        Ok((Self(ours), theirs.into()))
    }

    /// Hands over a connection. It is the worker's as soon as that closes its own: what the worker has not read yet is closed by the
    /// kernel when it dies.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where it has not read those before; else it reads no more.
    pub(super) fn hand(&self, connection: BorrowedFd<'_>) -> io::Result<()> {
        let descriptors = [connection];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut room);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        // So short a message is taken whole or not at all.
        sendmsg(&self.0, &[IoSlice::new(MESSAGE)], &mut ancillary, flags)?;
        Ok(())
    }

    /// Our end of a connection to this worker alone, made over the loopback interface.
    pub(super) fn call(&self) -> io::Result<OwnedFd> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let ours = TcpStream::connect(listener.local_addr()?)?;
        let own = ours.local_addr()?;
        // Somebody else on this machine may have found the port.
        let theirs = loop {
            let (theirs, peer) = listener.accept()?;
            if peer == own {
                break theirs;
            }
        };
        self.hand(theirs.as_fd())?;
        ours.set_nonblocking(true)?;
        Ok(ours.into())
    }

    /// Another descriptor of our end.
    pub(super) fn try_clone(&self) -> io::Result<UnixStream> {
        self.0.try_clone()
    }

    /// The worker finds the end behind what it was handed.
    pub(super) fn end(&self) {
        // It fails when the worker is gone.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

/// What Node's own channel between processes takes for a socket that is sent; whoever else reads it needs to know only that it is a line.
const MESSAGE: &[u8] = b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":\"connection\"}\n";
/// Room for some forty connections that a worker has not read: enough for a burst, and few that hang with a worker that hangs.
const UNREAD_BYTES: usize = 16 << 10;
