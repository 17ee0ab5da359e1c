//! An endpoint's socket, as the connection over it must see it.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::interim::Interim;
use crate::listen::Socket;

/// A socket on which a failed write is no end yet, and interim responses are counted.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    interim: Rc<Cell<Interim>>,
    /// The endpoint takes nothing any more.
    deaf: bool,
}

impl Wire {
    /// `interim` is begun anew with each request.
    pub(super) fn new(socket: Socket, interim: Rc<Cell<Interim>>) -> Self {
        Self { socket, interim, deaf: false }
    }

    /// The socket.
    pub(super) fn into_socket(self) -> Socket {
        self.socket
    }

    /// A worker may answer before it has read the request, and close: its kernel then answers the rest with a reset. What
    /// it has said is here all the same, and is read before the reset is (RFC 9112 §9.5). So the rest of the request goes
    /// nowhere, and what is read decides. A request of which nothing was taken is no such case: it is given back.
    fn unless_deaf(&mut self, written: Poll<io::Result<usize>>, offered: usize) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(_)) => {
                let mut interim = self.interim.get();
                interim.taken = true;
                self.interim.set(interim);
                written
            }
            Poll::Ready(Err(_)) if self.interim.get().taken => {
                self.deaf = true;
                Poll::Ready(Ok(offered))
            }
            Poll::Ready(Err(_)) | Poll::Pending => written,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buffer))?;
        let bytes = &buffer.filled()[before..];
        if bytes.is_empty() && this.deaf && buffer.remaining() > 0 {
            // The reset was told to whoever wrote; a body that ends by close must not look complete.
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let mut interim = this.interim.get();
        if !interim.is_over() {
            let few = interim.follow(bytes);
            this.interim.set(interim);
            if !few {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "too many interim responses")));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.unless_deaf(written, bytes.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let offered = slices.iter().map(|slice| slice.len()).sum();
        if this.deaf {
            return Poll::Ready(Ok(offered));
        }
        let written = Pin::new(&mut this.socket).poll_write_vectored(cx, slices);
        this.unless_deaf(written, offered)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
