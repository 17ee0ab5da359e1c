//! A client's socket: its bytes pass one message at a time, and its [`Client`] is told of them and of writes that wait.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::Framing;
use super::{Client, Refusal, Socket};

#[derive(Debug)]
pub(super) struct Watched {
    socket: Socket,
    client: Rc<Client>,
    line_max: usize,
    framing: Framing,
    /// What was read and comes next.
    held: Bytes,
    /// What follows is not what it must be.
    offence: Option<Refusal>,
    /// A close would be a reset.
    resets: bool,
}

impl Watched {
    /// For a socket of which `held` has been read already. A request line has fewer than `line_max` bytes.
    pub(super) fn new(socket: Socket, client: Rc<Client>, line_max: usize, held: Bytes) -> Self {
        Self { socket, client, line_max, framing: Framing::default(), held, offence: None, resets: false }
    }

    /// The socket, and what the parser has not asked for.
    pub(super) fn into_parts(self) -> (Socket, Bytes) {
        (self.socket, self.held)
    }

    /// Passes on what belongs to the message.
    fn poll_message(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            let bytes = self.held.slice(..self.held.len().min(buffer.remaining()));
            let length = self.follow(&bytes)?;
            buffer.put_slice(&self.held.split_to(length));
            self.client.set_holds(!self.held.is_empty());
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        self.client.set_listening(read.is_pending());
        let bytes = &buffer.filled()[before..];
        if bytes.is_empty() {
            return read;
        }
        let length = self.follow(bytes)?;
        if length < bytes.len() && self.offence.is_none() {
            self.hold(&bytes[length..]);
        }
        buffer.set_filled(before + length);
        Poll::Ready(Ok(()))
    }

    /// How many of these bytes may go on.
    fn follow(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let in_body = self.framing.is_in_body();
        let seen = self.framing.advance(bytes, self.line_max);
        self.client.bytes_read();
        if let Some(body) = seen.body {
            self.client.announce(body, self.framing.is_serverwide());
        }
        self.offence = seen.offence;
        // What is good of a body goes on, so that the request is known when the rest proves bad.
        match seen.offence.is_some() && (seen.length == 0 || !in_body && seen.body.is_none()) {
            true => Err(self.refuse()),
            false => Ok(seen.length),
        }
    }

    /// The next message waits until this one is answered; only the client's leaving is looked for.
    fn poll_rest(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.hold(&buffer.filled()[before..]);
            buffer.set_filled(before);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Before the first byte of a response that only the close ends: whatever closes the socket before its end, be it the end of
    /// the program, must not look like it.
    fn prepare_close(&mut self) {
        if !self.resets && self.client.must_reset() {
            self.resets = true;
            self.socket.reset_on_close();
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.held = Bytes::copy_from_slice(bytes);
        self.client.set_holds(true);
    }

    /// In a body it is the service that answers.
    fn refuse(&self) -> io::Error {
        if let Some(offence) = self.offence
            && self.client.is_in_header()
        {
            self.client.refuse(offence);
        }
        io::ErrorKind::InvalidData.into()
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.offence.is_some() {
            return Poll::Ready(Err(this.refuse()));
        }
        this.client.set_listening(false);
        if this.framing.has_ended() {
            if this.client.is_answering() {
                let read = this.poll_rest(cx, buffer);
                this.client.set_listening(read.is_pending() && this.held.is_empty());
                return read;
            }
            if this.client.is_in_header() {
                // Where we see the end of a header section the parser does not.
                this.offence = Some(Refusal::Malformed);
                return Poll::Ready(Err(this.refuse()));
            }
            this.framing.next();
        }
        this.poll_message(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.client.is_in_header() {
            return Poll::Ready(Ok(bytes.len()));
        }
        this.prepare_close();
        let written = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.client.writes(written.is_ready());
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // The parser's own answer to what it cannot read, without a reason or an id: ours follows.
        if this.client.is_in_header() {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        this.prepare_close();
        let written = Pin::new(&mut this.socket).poll_write_vectored(cx, slices);
        this.client.writes(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // The parser does not read while a request is answered, and would not see the client leave.
        if this.client.is_to_be_looked_at() {
            let silent = this.socket.poll_readable(cx).is_pending();
            this.client.set_listening(silent);
            if !silent && this.socket.has_ended() {
                this.client.leaves();
            }
        }
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    /// Does nothing: how a connection is closed depends on how it ended, see `close`.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
