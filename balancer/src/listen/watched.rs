//! A client's socket that tells its [`Client`] of bytes read and of writes that wait.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Client, Socket};

#[derive(Debug)]
pub(super) struct Watched {
    socket: Socket,
    client: Rc<Client>,
    line_max: usize,
    /// What was read before and comes first.
    read: Bytes,
}

impl Watched {
    /// For a socket of which `read` has been read already. A request line of `line_max` bytes is an error of the next read: the
    /// parser would take it for a header section that is too long.
    pub(super) fn new(socket: Socket, client: Rc<Client>, line_max: usize, read: Bytes) -> Self {
        Self { socket, client, line_max, read }
    }

    /// The socket, and what of `read` the parser has not asked for.
    pub(super) fn into_parts(self) -> (Socket, Bytes) {
        (self.socket, self.read)
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match self.read.is_empty() {
            true => Pin::new(&mut self.socket).poll_read(cx, buffer),
            false => {
                let length = self.read.len().min(buffer.remaining());
                buffer.put_slice(&self.read.split_to(length));
                Poll::Ready(Ok(()))
            }
        };
        if buffer.filled().len() > before {
            self.client.bytes_read(&buffer.filled()[before..], self.line_max);
            if self.client.line_is_too_long(self.line_max) {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.client.writes(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.client.writes(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Does nothing: how a connection is closed depends on how it ended, see `close`.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
