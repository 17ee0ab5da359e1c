//! A connected socket, whatever its family, and encrypted or not: whoever reads and writes need not know.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use super::bare::Bare;
use super::buffer::Buffer;
use super::plain::{Family, Plain};
use super::session::Session;

/// A connected stream socket of this thread.
#[derive(Debug)]
pub struct Socket {
    way: Way,
    /// Whether a handshake comes first.
    greets: bool,
}

#[derive(Debug)]
enum Way {
    Plain(Plain),
    /// The session has the socket.
    Encrypted(Box<Session>),
}

impl Socket {
    /// A socket that is non-blocking and that no runtime knows.
    pub fn bare(descriptor: OwnedFd, family: Family) -> Self {
        Self { way: Way::Plain(Plain::bare(descriptor, family)), greets: false }
    }

    /// The same of a client who has to shake hands before anything else.
    pub fn greeting(self, greets: bool) -> Self {
        Self { greets, ..self }
    }

    /// Whether a handshake comes first.
    pub fn greets(&self) -> bool {
        self.greets
    }

    /// The same with the bytes through a session, whose handshake may not be over; `incoming` came behind what it has seen of it.
    #[cfg(feature = "tls")]
    pub fn encrypted(self, tls: impl Into<rustls::Connection>, incoming: Buffer) -> Self {
        let plain = match self.way {
            Way::Plain(plain) => plain,
            Way::Encrypted(mut session) => session.take_socket(),
        };
        Self { way: Way::Encrypted(Session::new(plain, tls, incoming)), greets: false }
    }

    /// The session, where it is encrypted.
    pub fn session(&self) -> Option<&Session> {
        match &self.way {
            Way::Plain(_) => None,
            Way::Encrypted(session) => Some(session),
        }
    }

    /// Shakes hands to the end, where it is encrypted.
    ///
    /// # Errors
    /// Those of the connection; [`io::ErrorKind::InvalidData`] where one side refuses the other, with rustls's error within.
    #[cfg(feature = "tls")]
    pub fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Plain(_) => Poll::Ready(Ok(())),
            Way::Encrypted(session) => session.poll_handshake(cx),
        }
    }

    /// Whether nothing of it is lost while it is at rest: of what was read, and of what is to be written.
    pub fn may_rest(&self) -> bool {
        self.session().is_none_or(Session::is_quiet)
    }

    /// Takes the socket out; what is left is lost.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::none())
    }

    /// No socket: what has one reads and writes elsewhere.
    pub fn none() -> Self {
        Self { way: Way::Plain(Plain::lost()), greets: false }
    }

    /// Takes the socket out of the runtime of this thread; `None` when it was lost.
    pub fn into_bare(self) -> Option<Bare> {
        let greets = self.greets;
        let (plain, session) = match self.way {
            Way::Plain(plain) => (plain, None),
            Way::Encrypted(mut session) => (session.take_socket(), Some(session)),
        };
        let (descriptor, family) = plain.into_bare()?;
        Some(Bare { descriptor, family, greets, session })
    }

    /// Takes the socket to this thread, from whichever it was used on; `None` when it was lost.
    pub fn to_this_thread(self) -> Option<Self> {
        if self.plain().is_elsewhere()? { self.into_bare().map(Self::from) } else { Some(self) }
    }

    /// Has the runtime know it.
    ///
    /// # Errors
    /// When the runtime cannot take one more.
    pub fn register(&mut self) -> io::Result<()> {
        match &mut self.way {
            Way::Plain(plain) => plain.register(),
            Way::Encrypted(session) => session.socket_mut().register(),
        }
    }

    /// Reads what there is, behind the bytes of `buffer`; 0 at the end. Where nothing is to be read, `buffer` takes no room for it.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::Plain(plain) => plain.poll_read(cx, buffer),
            Way::Encrypted(session) => session.poll_read(cx, buffer),
        }
    }

    /// Writes as much as the kernel takes at once. Who has been told to wait comes back with the same bytes, or more behind them: where
    /// they are encrypted, they are by then.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::Plain(plain) => plain.poll_write(cx, bytes),
            Way::Encrypted(session) => session.poll_write(cx, bytes, &[]),
        }
    }

    /// Writes the beginning of `first` and `second`; as [`Self::poll_write`].
    pub fn poll_write_both(&mut self, cx: &mut Context<'_>, first: &[u8], second: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::Plain(plain) => plain.poll_write_both(cx, first, second),
            Way::Encrypted(session) => session.poll_write(cx, first, second),
        }
    }

    /// Writes these few bytes as they are, if the kernel takes them at once: the last words of a connection.
    pub fn write_now(&self, bytes: &[u8]) {
        self.plain().write_now(bytes);
    }

    /// Waits until there is something to be read, be it the end. A bare socket waits for nothing.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.way {
            Way::Plain(plain) => plain.poll_readable(cx),
            Way::Encrypted(session) => session.poll_readable(cx),
        }
    }

    /// Whether the peer has closed its side, as far as the runtime has heard, though there may be bytes to read before that.
    pub fn has_ended(&self) -> bool {
        self.plain().has_ended()
    }

    /// Waits until the peer of an idle connection says something, be it the end: then the connection is good for nothing. What it says
    /// is lost. No system call where the runtime has heard of nothing.
    pub fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.way {
            Way::Plain(plain) => plain.poll_broken(cx),
            Way::Encrypted(session) => session.poll_read(cx, &mut Buffer::default()).map(drop),
        }
    }

    /// Whether the peer has closed its side and nothing of it is left to be read. One system call.
    pub fn is_at_end(&self) -> bool {
        self.plain().is_at_end()
    }

    /// Whether the peer has said nothing that is unread, not even its end, whatever the runtime has heard. One system call.
    pub fn is_silent(&self) -> bool {
        self.session().is_none_or(Session::has_read_all) && self.plain().is_silent()
    }

    /// Ends our side, once the kernel has taken what tells the peer of that; what the peer still sends can be read.
    pub fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_goodbye(cx));
        self.plain().shut_down();
        Poll::Ready(())
    }

    /// Waits until the kernel has taken what tells the peer that nothing follows, where that is told.
    pub fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.way {
            Way::Plain(_) => Poll::Ready(()),
            Way::Encrypted(session) => session.poll_goodbye(cx),
        }
    }

    /// Makes the close that follows a reset, so that the peer cannot take it for a clean end.
    pub fn reset_on_close(&mut self) {
        if let Way::Encrypted(session) = &mut self.way {
            session.ends_cleanly(false);
        }
        self.plain().reset_on_close();
    }

    /// Takes that back: the close is a clean end.
    pub fn end_on_close(&mut self) {
        if let Way::Encrypted(session) = &mut self.way {
            session.ends_cleanly(true);
        }
        self.plain().end_on_close();
    }

    /// Has the kernel find out within two minutes that the peer is gone without a word: asked while nothing is under way (the kernel's
    /// own time for that is two hours), or with something under way that it does not take (else a quarter of an hour).
    pub fn find_out_when_gone(&self) {
        self.plain().find_out_when_gone();
    }

    /// The address that it was connected to; `None` for a Unix socket. One system call.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.plain().local_address()
    }

    /// Acknowledges at once what has come. The kernel forgets it with the next acknowledgement, so that it does nothing when set
    /// earlier.
    pub fn acknowledge(&self) {
        self.plain().acknowledge();
    }

    /// Bytes that the peer has acknowledged, ever; `None` where the kernel does not tell. One system call.
    pub fn acknowledged(&self) -> Option<u64> {
        self.plain().acknowledged()
    }

    /// Waits until a connection that was begun is there, or has failed.
    pub(super) async fn connected(&mut self) -> io::Result<()> {
        match &mut self.way {
            Way::Plain(plain) => plain.connected().await,
            Way::Encrypted(session) => session.socket_mut().connected().await,
        }
    }

    /// Whether it is connected to itself: the kernel may give a connection to a port on which nobody listens that very port on our
    /// side.
    pub(super) fn is_its_own_peer(&self) -> bool {
        self.plain().is_its_own_peer()
    }

    fn plain(&self) -> &Plain {
        match &self.way {
            Way::Plain(plain) => plain,
            Way::Encrypted(session) => session.socket(),
        }
    }
}

impl From<Bare> for Socket {
    fn from(Bare { descriptor, family, greets, session }: Bare) -> Self {
        let plain = Plain::bare(descriptor, family);
        let way = match session {
            None => Way::Plain(plain),
            Some(mut session) => {
                session.put_socket(plain);
                Way::Encrypted(session)
            }
        };
        Self { way, greets }
    }
}
