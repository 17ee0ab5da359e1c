//! A socket as the library for HTTP/2 reads and writes it.
//!
//! Decides nothing; notes when the peer was heard and since when it takes nothing. Called by the library alone. Never looks at what the
//! bytes mean.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Buffer, Socket};

/// A socket, and what was read of it before; who is told what comes and goes.
#[derive(Debug)]
pub struct Io<N = Rc<Activity>> {
    socket: Socket,
    inbox: Buffer,
    activity: N,
}

/// Who is told what comes and goes.
pub trait Notes: Unpin {
    /// The peer has sent something.
    fn hears(&self);

    /// The peer takes nothing, or something.
    fn writes(&self, blocked: bool);
}

/// When something came and went.
#[derive(Debug)]
pub struct Activity {
    heard: Cell<Instant>,
    blocked: Cell<Option<Instant>>,
}

impl Activity {
    /// Of a connection that began then.
    pub fn new(begun: Instant) -> Self {
        Self { heard: Cell::new(begun), blocked: Cell::new(None) }
    }

    /// When the peer has sent something the last time.
    pub fn heard(&self) -> Instant {
        self.heard.get()
    }

    /// Since when the peer takes nothing of what waits for it.
    pub fn blocked_since(&self) -> Option<Instant> {
        self.blocked.get()
    }
}

impl Notes for Rc<Activity> {
    fn hears(&self) {
        self.heard.set(Instant::now());
    }

    fn writes(&self, blocked: bool) {
        if !blocked {
            self.blocked.set(None);
        } else if self.blocked.get().is_none() {
            self.blocked.set(Some(Instant::now()));
        }
    }
}

/// Nobody: whoever asks one question waits for its answer for a time of its own.
impl Notes for () {
    fn hears(&self) {}

    fn writes(&self, _: bool) {}
}

impl<N: Notes> Io<N> {
    /// `inbox` was read already.
    pub fn new(socket: Socket, inbox: Buffer, activity: N) -> Self {
        Self { socket, inbox, activity }
    }
}

impl<N: Notes> AsyncRead for Io<N> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { socket, inbox, activity } = self.get_mut();
        if inbox.is_empty() {
            if ready!(socket.poll_read(cx, inbox))? == 0 {
                return Poll::Ready(Ok(()));
            }
            activity.hears();
        }
        let count = into.remaining().min(inbox.len());
        into.put_slice(&inbox.unread()[..count]);
        inbox.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl<N: Notes> AsyncWrite for Io<N> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.socket.poll_write(cx, bytes);
        this.activity.writes(written.is_pending());
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut pieces = bytes.iter().filter(|piece| !piece.is_empty());
        let written = match (pieces.next(), pieces.next()) {
            (Some(first), Some(second)) => this.socket.poll_write_both(cx, first, second),
            (Some(only), None) => this.socket.poll_write(cx, only),
            (None, _) => Poll::Ready(Ok(0)),
        };
        this.activity.writes(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is held back here.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_shut_down(cx).map(Ok)
    }
}
