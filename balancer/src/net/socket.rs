//! A connected socket, whatever its family, registered with the runtime only once it has to wait.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected stream socket of this thread.
///
/// One that brings its request along and gets its answer at once is never known to the runtime, which saves two system calls.
#[derive(Debug)]
pub struct Socket(State);

#[derive(Debug)]
enum State {
    /// Non-blocking, and no runtime knows it.
    Bare(OwnedFd, Family),
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Between two of these.
    Moving,
}

/// The family of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 or IPv6.
    Tcp,
    /// Unix.
    Unix,
}

impl Socket {
    /// A socket that is non-blocking and that no runtime knows.
    pub fn bare(descriptor: OwnedFd, family: Family) -> Self {
        Self(State::Bare(descriptor, family))
    }

    /// Takes the socket out of the runtime of this thread.
    ///
    /// # Errors
    /// When the runtime does not know it.
    pub fn into_bare(self) -> io::Result<(OwnedFd, Family)> {
        match self.0 {
            State::Bare(descriptor, family) => Ok((descriptor, family)),
            State::Tcp(stream) => Ok((stream.into_std()?.into(), Family::Tcp)),
            State::Unix(stream) => Ok((stream.into_std()?.into(), Family::Unix)),
            State::Moving => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Has the runtime know it.
    ///
    /// # Errors
    /// When the runtime cannot take one more.
    pub fn register(&mut self) -> io::Result<()> {
        self.0 = match std::mem::replace(&mut self.0, State::Moving) {
            State::Bare(descriptor, Family::Tcp) => State::Tcp(TcpStream::from_std(descriptor.into())?),
            State::Bare(descriptor, Family::Unix) => State::Unix(UnixStream::from_std(descriptor.into())?),
            registered => registered,
        };
        Ok(())
    }

    /// Whether the runtime knows it, so that it wakes whoever waits.
    pub fn is_registered(&self) -> bool {
        !matches!(self.0, State::Bare(..))
    }

    /// Its family.
    pub fn family(&self) -> Family {
        match self.0 {
            State::Bare(_, family) => family,
            State::Unix(_) => Family::Unix,
            State::Tcp(_) | State::Moving => Family::Tcp,
        }
    }

    /// Reads what there is, at most as much as fits; 0 at the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let State::Bare(descriptor, _) = &self.0 {
            match recv(descriptor, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, length)) => return Poll::Ready(Ok(length)),
                Err(error) if would_block(error) => self.register()?,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        let mut read = ReadBuf::new(buffer);
        ready!(match &mut self.0 {
            State::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut read),
            State::Unix(stream) => Pin::new(stream).poll_read(cx, &mut read),
            State::Bare(..) | State::Moving => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        })?;
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Writes as much as the kernel takes at once.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let State::Bare(descriptor, _) = &self.0 {
            match send(descriptor, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(length) => return Poll::Ready(Ok(length)),
                Err(error) if would_block(error) => self.register()?,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        match &mut self.0 {
            State::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            State::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            State::Bare(..) | State::Moving => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Writes the beginning of `first` and `second`, of neither of which there is nothing.
    pub fn poll_write_both(&mut self, cx: &mut Context<'_>, first: &[u8], second: &[u8]) -> Poll<io::Result<usize>> {
        if !self.is_registered() {
            self.register()?;
        }
        let both = [IoSlice::new(first), IoSlice::new(second)];
        match &mut self.0 {
            State::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, &both),
            State::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, &both),
            State::Bare(..) | State::Moving => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Waits until there is something to be read, be it the end. A bare socket waits for nothing.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            State::Tcp(stream) => stream.poll_read_ready(cx),
            State::Unix(stream) => stream.poll_read_ready(cx),
            State::Bare(..) | State::Moving => Poll::Pending,
        }
    }

    /// Whether the peer has closed its side, as far as the runtime has heard, though there may be bytes to read before that.
    pub fn has_ended(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let ready = match &self.0 {
            State::Tcp(stream) => pin!(stream.ready(Interest::READABLE)).poll(&mut cx),
            State::Unix(stream) => pin!(stream.ready(Interest::READABLE)).poll(&mut cx),
            State::Bare(..) | State::Moving => return false,
        };
        matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    /// Waits until the peer of an idle connection says something, be it the end: then the connection is good for nothing. What it says
    /// is lost. No system call where the runtime has heard of nothing.
    pub fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Bare(descriptor, _) = &self.0 {
            let peeked = SockRef::from(descriptor).peek(&mut [MaybeUninit::uninit()]);
            let silent = peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
            return if silent { Poll::Pending } else { Poll::Ready(()) };
        }
        self.poll_read(cx, &mut [0]).map(drop)
    }

    /// Whether the peer has closed its side and nothing of it is left to be read. One system call.
    pub fn is_at_end(&self) -> bool {
        let peeked = self.options().map(|socket| socket.peek(&mut [MaybeUninit::uninit()]));
        matches!(peeked, Some(Ok(0) | Err(_)) | None)
    }

    /// Whether the peer has said nothing that is unread, not even its end, whatever the runtime has heard. One system call.
    pub fn is_silent(&self) -> bool {
        let peeked = self.options().map(|socket| socket.peek(&mut [MaybeUninit::uninit()]));
        matches!(peeked, Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Ends our side; what the peer still sends can be read.
    pub fn shut_down(&self) {
        if let Some(socket) = self.options() {
            // What fails here is a connection that is gone.
            let _ = socket.shutdown(std::net::Shutdown::Write);
        }
    }

    /// Makes the close that follows a reset, so that the peer cannot take it for a clean end.
    pub fn reset_on_close(&self) {
        if let (Family::Tcp, Some(socket)) = (self.family(), self.options()) {
            // Without the option the peer sees a FIN, which is what it would see on any other failure.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }

    /// Takes that back: the close is a clean end.
    pub fn end_on_close(&self) {
        if let (Family::Tcp, Some(socket)) = (self.family(), self.options()) {
            let _ = socket.set_linger(None);
        }
    }

    /// Acknowledges at once what has come. The kernel forgets it with the next acknowledgement, so that it does nothing when set
    /// earlier.
    pub fn acknowledge(&self) {
        if let (Family::Tcp, Some(socket)) = (self.family(), self.options()) {
            let _ = socket.set_tcp_quickack(true);
        }
    }

    fn options(&self) -> Option<SockRef<'_>> {
        match &self.0 {
            State::Bare(descriptor, _) => Some(SockRef::from(descriptor)),
            State::Tcp(stream) => Some(SockRef::from(stream)),
            State::Unix(stream) => Some(SockRef::from(stream)),
            State::Moving => None,
        }
    }
}

fn would_block(error: rustix::io::Errno) -> bool {
    error == rustix::io::Errno::AGAIN || error == rustix::io::Errno::WOULDBLOCK
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(State::Tcp(stream))
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self(State::Unix(stream))
    }
}
