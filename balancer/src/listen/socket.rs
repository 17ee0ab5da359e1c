//! A connected socket, whatever its family.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::Peer;

/// A connected stream socket, registered with the runtime of its thread.
#[derive(Debug)]
pub enum Socket {
    /// IPv4 or IPv6.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixStream),
}

impl Socket {
    /// Makes the close that follows a reset, so that the peer cannot take it for a clean end.
    pub fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            // Without the option the peer sees a FIN, which is what it would see on any other failure.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Takes that back: the close is a clean end.
    pub(super) fn end_on_close(&self) {
        if let Self::Tcp(stream) = self {
            let _ = SockRef::from(stream).set_linger(None);
        }
    }

    /// Waits until there is something to be read, be it the end.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Whether the peer has closed its side, as far as the runtime has heard, though there may be bytes to read before that.
    pub(super) fn has_ended(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let ready = match self {
            Self::Tcp(stream) => pin!(stream.ready(Interest::READABLE)).poll(&mut cx),
            Self::Unix(stream) => pin!(stream.ready(Interest::READABLE)).poll(&mut cx),
        };
        matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }
}

/// A connected stream socket that no runtime knows, and who is at its other end.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Unregistered,
    peer: Peer,
}

#[derive(Debug)]
enum Unregistered {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Stream {
    /// Takes the socket out of the runtime of this thread.
    ///
    /// # Errors
    /// When the runtime does not know it.
    pub(super) fn new(socket: Socket, peer: Peer) -> io::Result<Self> {
        let socket = match socket {
            Socket::Tcp(stream) => Unregistered::Tcp(stream.into_std()?),
            Socket::Unix(stream) => Unregistered::Unix(stream.into_std()?),
        };
        Ok(Self { socket, peer })
    }

    /// Registers it with the runtime of this thread.
    ///
    /// # Errors
    /// When the runtime cannot take one more.
    pub(super) fn into_socket(self) -> io::Result<(Socket, Peer)> {
        let socket = match self.socket {
            Unregistered::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream)?),
            Unregistered::Unix(stream) => Socket::Unix(UnixStream::from_std(stream)?),
        };
        Ok((socket, self.peer))
    }

    /// Whether the peer has closed its side and nothing of it is left to be read.
    pub(super) fn has_ended(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        matches!(SockRef::from(self).peek(&mut byte), Ok(0) | Err(_))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Unregistered::Tcp(stream) => stream.as_fd(),
            Unregistered::Unix(stream) => stream.as_fd(),
        }
    }
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Tcp($stream) => $call,
            Socket::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        match slices {
            [only] => self.poll_write(cx, only),
            // The kernel takes one small piece faster than two: a head and a short body go out as one.
            _ if length <= SMALL => {
                let mut joined = [0; SMALL];
                let mut end = 0;
                for slice in slices {
                    joined[end..end + slice.len()].copy_from_slice(slice);
                    end += slice.len();
                }
                self.poll_write(cx, &joined[..end])
            }
            _ => either!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

const SMALL: usize = 1024;
