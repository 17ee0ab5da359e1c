//! A connected socket without encryption, whatever its family, registered with the runtime only once it has to wait.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use socket2::SockRef;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

use super::Buffer;

/// A connected stream socket of this thread.
///
/// One that brings its request along and gets its answer at once is never known to the runtime, which saves two system calls.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) state: Registration,
    pub(super) family: Family,
    /// Whether the kernel took less than it was given the last time.
    full: bool,
}

#[derive(Debug)]
pub(super) enum Registration {
    /// No runtime knows it.
    Bare(OwnedFd),
    /// With the runtime of that thread.
    Registered(AsyncFd<OwnedFd>, Thread),
    /// It could not be registered.
    Lost,
}

/// The family of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 or IPv6.
    Tcp,
    /// Unix.
    Unix,
}

impl Plain {
    /// A socket that is non-blocking and that no runtime knows.
    pub(super) fn bare(descriptor: OwnedFd, family: Family) -> Self {
        Self { state: Registration::Bare(descriptor), family, full: false }
    }

    /// One that was lost.
    pub(super) fn lost() -> Self {
        Self { state: Registration::Lost, family: Family::Unix, full: false }
    }

    /// Takes the socket out of the runtime of this thread; `None` when it was lost.
    pub(super) fn into_bare(self) -> Option<(OwnedFd, Family)> {
        match self.state {
            Registration::Bare(descriptor) => Some((descriptor, self.family)),
            Registration::Registered(descriptor, _) => Some((descriptor.into_inner(), self.family)),
            Registration::Lost => None,
        }
    }

    /// Whether the runtime of another thread knows it; `None` when it was lost.
    pub(super) fn is_elsewhere(&self) -> Option<bool> {
        match &self.state {
            Registration::Registered(_, thread) => Some(*thread != Thread::this()),
            Registration::Bare(_) => Some(false),
            Registration::Lost => None,
        }
    }

    /// Has the runtime know it.
    ///
    /// # Errors
    /// When the runtime cannot take one more.
    pub(super) fn register(&mut self) -> io::Result<()> {
        self.state = match std::mem::replace(&mut self.state, Registration::Lost) {
            Registration::Bare(descriptor) => {
                // Its successor is `unsafe`: it wants a promise that the descriptor stays open and the same, which `OwnedFd` keeps.
                #[expect(deprecated, reason = "the successor is unsafe, which is denied")]
                let registered = AsyncFd::with_interest(descriptor, Interest::READABLE | Interest::WRITABLE)?;
                Registration::Registered(registered, Thread::this())
            }
            registered => registered,
        };
        Ok(())
    }

    /// Reads what there is, behind the bytes of `buffer`; 0 at the end. Where nothing is to be read, `buffer` takes no room for it.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        let read = self.poll_io(cx, Ready::READABLE, |descriptor| {
            let room = buffer.room();
            recv(descriptor, &mut *room, RecvFlags::DONTWAIT).map(|(_, length)| (length, room.len()))
        });
        match read {
            Poll::Ready(Ok(length)) => buffer.filled(length),
            _ => buffer.settle(),
        }
        read
    }

    /// Writes as much as the kernel takes at once.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |descriptor| Ok((send(descriptor, bytes, SEND)?, bytes.len())))
    }

    /// Writes the beginning of `first` and `second`.
    pub(super) fn poll_write_both(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let both = [IoSlice::new(first), IoSlice::new(second)];
        let length = first.len() + second.len();
        self.poll_send(cx, |descriptor| {
            Ok((sendmsg(descriptor, &both, &mut SendAncillaryBuffer::default(), SEND)?, length))
        })
    }

    /// As [`Self::poll_io`]. As long as the kernel takes all it is given, the runtime need not be asked whether it does.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        mut send: impl FnMut(&OwnedFd) -> Transferred,
    ) -> Poll<io::Result<usize>> {
        if let (false, Registration::Registered(registered, _)) = (self.full, &self.state) {
            let done = send(registered.get_ref());
            if matches!(done, Ok((length, wanted)) if length < wanted) || matches!(done, Err(Errno::AGAIN)) {
                self.full = true;
                // Nothing can be heard between the two: the runtime listens between two turns of its tasks.
                if let Poll::Ready(ready) = registered.poll_write_ready(cx) {
                    ready?.clear_ready();
                }
            }
            match done {
                Err(Errno::AGAIN) => {}
                done => return Poll::Ready(done.map(|(length, _)| length).map_err(io::Error::from)),
            }
        }
        let mut took_all = false;
        let written = self.poll_io(cx, Ready::WRITABLE, |descriptor| {
            let done = send(descriptor);
            took_all = matches!(done, Ok((length, wanted)) if length >= wanted);
            done
        });
        self.full = !took_all;
        written
    }

    /// Asks the kernel, and waits for the runtime's word when that has nothing. Less than was wanted means that there is no more
    /// for now, which saves asking once more.
    fn poll_io(
        &mut self,
        cx: &mut Context<'_>,
        what: Ready,
        mut ask: impl FnMut(&OwnedFd) -> Transferred,
    ) -> Poll<io::Result<usize>> {
        if let Registration::Bare(descriptor) = &self.state {
            match ask(descriptor) {
                Err(Errno::AGAIN) => self.register()?,
                done => return Poll::Ready(done.map(|(length, _)| length).map_err(io::Error::from)),
            }
        }
        let Registration::Registered(registered, _) = &self.state else { return Poll::Ready(Err(lost())) };
        loop {
            let mut guard = ready!(match what {
                Ready::READABLE => registered.poll_read_ready(cx),
                _ => registered.poll_write_ready(cx),
            })?;
            match ask(registered.get_ref()) {
                Err(Errno::AGAIN) => guard.clear_ready(),
                Ok((length, wanted)) => {
                    if (1..wanted).contains(&length) {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(length));
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Waits until there is something to be read, be it the end. A bare socket waits for nothing.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.state {
            Registration::Registered(registered, _) => registered.poll_read_ready(cx).map(|ready| ready.map(drop)),
            Registration::Bare(_) => Poll::Pending,
            Registration::Lost => Poll::Ready(Err(lost())),
        }
    }

    /// Whether the peer has closed its side, as far as the runtime has heard, though there may be bytes to read before that.
    pub(super) fn has_ended(&self) -> bool {
        let Registration::Registered(registered, _) = &self.state else { return false };
        let mut cx = Context::from_waker(Waker::noop());
        let ready = pin!(registered.ready(Interest::READABLE)).poll(&mut cx);
        matches!(ready, Poll::Ready(Ok(guard)) if guard.ready().is_read_closed())
    }

    /// Waits until the peer of an idle connection says something, be it the end: then the connection is good for nothing. What it says
    /// is lost. No system call where the runtime has heard of nothing.
    pub(super) fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.state, Registration::Bare(_)) {
            return if self.is_silent() { Poll::Pending } else { Poll::Ready(()) };
        }
        self.poll_io(cx, Ready::READABLE, |descriptor| {
            recv(descriptor, &mut [0], RecvFlags::DONTWAIT).map(|(_, length)| (length, 1))
        })
        .map(drop)
    }

    /// Whether the peer has closed its side and nothing of it is left to be read. One system call.
    pub(super) fn is_at_end(&self) -> bool {
        let peeked = self.options().map(|socket| socket.peek(&mut [MaybeUninit::uninit()]));
        matches!(peeked, Some(Ok(0) | Err(_)) | None)
    }

    /// Whether the peer has said nothing that is unread, not even its end, whatever the runtime has heard. One system call.
    pub(super) fn is_silent(&self) -> bool {
        self.options().is_some_and(|socket| says_nothing(&socket))
    }

    /// Asks the kernel once, whatever the runtime has heard: for the last words of a connection that ends.
    pub(super) fn with_descriptor<T>(&self, ask: impl FnOnce(&OwnedFd) -> T) -> Option<T> {
        match &self.state {
            Registration::Bare(descriptor) => Some(ask(descriptor)),
            Registration::Registered(registered, _) => Some(ask(registered.get_ref())),
            Registration::Lost => None,
        }
    }

    /// Writes these few bytes, if the kernel takes them at once: the last words of a connection.
    pub(super) fn write_now(&self, bytes: &[u8]) {
        // What fails here is a connection that is gone.
        let _ = self.with_descriptor(|descriptor| send(descriptor, bytes, SEND));
    }

    /// What options are set on.
    pub(super) fn options(&self) -> Option<SockRef<'_>> {
        match &self.state {
            Registration::Bare(descriptor) => Some(SockRef::from(descriptor)),
            Registration::Registered(registered, _) => Some(SockRef::from(registered.get_ref())),
            Registration::Lost => None,
        }
    }

    /// Waits until a connection that was begun is there, or has failed.
    pub(super) async fn connected(&mut self) -> io::Result<()> {
        self.register()?;
        let Registration::Registered(registered, _) = &self.state else { return Err(lost()) };
        let _ = registered.writable().await?;
        SockRef::from(registered.get_ref()).take_error()?.map_or(Ok(()), Err)
    }
}

/// Whether a connection that is not read at this time has nothing to read, not even its end. One system call.
pub(super) fn says_nothing(socket: &SockRef<'_>) -> bool {
    let peeked = socket.peek(&mut [MaybeUninit::uninit()]);
    matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn lost() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// Tells the threads that run from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Thread(usize);

impl Thread {
    fn this() -> Self {
        thread_local! {
            static HERE: u8 = const { 0 };
        }
        HERE.with(|here| Self(std::ptr::from_ref(here).addr()))
    }
}

/// How many bytes the kernel has taken or given, and how many it could have.
pub(super) type Transferred = Result<(usize, usize), Errno>;

/// A peer that is gone is an error and no signal.
pub(super) const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
