//! An encrypted connection: what rustls makes of the bytes between a socket and whoever uses it.
//!
//! Decides when records are read, written and flushed, and how a connection ends so that the peer can tell it from one that was cut.
//! Called by [`Socket`](super::Socket), and by whoever shakes hands. Never chooses a certificate or trusts one.

use std::io::{self, IoSlice, Write};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::net::{SendAncillaryBuffer, send, sendmsg};
use rustls::Connection;

use super::buffer::Buffer;
use super::handshake_failed::late;
use super::plain::{Plain, SEND};

/// A connection's keys, and what is under way through them.
#[derive(Debug)]
pub struct Session {
    /// Plain. Lost while the session rests.
    socket: Plain,
    tls: Connection,
    /// Records that were read and not decrypted.
    incoming: Buffer,
    /// Bytes that are decrypted and wait in `tls`.
    decrypted: usize,
    /// Bytes of the caller's that are encrypted, of which the caller has not been told: the kernel has not taken the last of them.
    owed: usize,
    /// The peer has said that nothing follows.
    ended: bool,
    /// Whether the peer is told the same when the connection is closed.
    clean: bool,
    /// Whether it is being told.
    parting: bool,
    /// Whether anything has been read, so that the peer has accepted the handshake.
    heard: bool,
}

impl Session {
    /// Of a handshake that has begun; `incoming` are records that came behind its beginning.
    pub(super) fn new(socket: Plain, tls: impl Into<Connection>, incoming: Buffer) -> Box<Self> {
        let (decrypted, owed, ended, clean, parting, heard) = (0, 0, false, true, false, false);
        Box::new(Self { socket, tls: tls.into(), incoming, decrypted, owed, ended, clean, parting, heard })
    }

    /// Shakes hands to the end.
    ///
    /// # Errors
    /// Those of the connection; [`io::ErrorKind::InvalidData`] where the peer is refused or refuses us, with rustls's error within.
    pub fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.is_handshaking() {
            if self.tls.wants_write() {
                ready!(self.poll_push(cx))?;
            } else if !self.incoming.is_empty() {
                self.decrypt()?;
            } else if ready!(self.socket.poll_read(cx, &mut self.incoming))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What both sides have chosen to speak (RFC 7301), if they have.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    /// Whether that is HTTP/2 (RFC 9113 §3.2).
    pub fn speaks_http2(&self) -> bool {
        self.protocol() == Some(b"h2")
    }

    /// Whether nothing is under way: the connection can rest.
    pub fn is_quiet(&self) -> bool {
        self.has_read_all() && !self.tls.wants_write()
    }

    /// Whether nothing that has come waits here.
    pub(super) fn has_read_all(&self) -> bool {
        self.decrypted == 0 && self.incoming.is_empty()
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        loop {
            match self.take(buffer) {
                Ok(0) if !self.ended => {}
                Err(error) if self.is_of_client() && error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(0));
                }
                taken => return Poll::Ready(taken),
            }
            match self.socket.poll_read(cx, &mut self.incoming) {
                // Many clients close without a word. What they ask is framed, so that a request which was cut short shows; an answer may not be.
                Poll::Ready(Ok(0)) if self.is_of_client() => return Poll::Ready(Ok(0)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    buffer.settle();
                    // Tickets for the next handshake, mostly, that no answer has taken along.
                    if self.owed == 0 && self.tls.wants_write() {
                        let _ = self.poll_push(cx)?;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Puts what can be decrypted behind the bytes of `buffer`, about as much as one of the pool holds; how much.
    fn take(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            if self.decrypted > 0 {
                let length = io::Read::read(&mut self.tls.reader(), buffer.room())?;
                buffer.filled(length);
                self.decrypted = self.decrypted.saturating_sub(length);
                taken += length;
            } else if self.incoming.is_empty() || taken > ENOUGH || self.ended {
                return Ok(taken);
            } else {
                self.decrypt()?;
            }
        }
    }

    /// Decrypts the next records of those that have come.
    fn decrypt(&mut self) -> io::Result<()> {
        let mut records = self.incoming.unread();
        let before = records.len();
        self.tls.read_tls(&mut records)?;
        let used = before - records.len();
        self.incoming.consume(used);
        match self.tls.process_new_packets() {
            Ok(state) => {
                self.decrypted = state.plaintext_bytes_to_read();
                self.heard |= self.decrypted > 0;
                self.ended = state.peer_has_closed();
                Ok(())
            }
            Err(error) => {
                // The peer is told why, if its kernel takes it at once.
                self.push_now();
                self.clean = false;
                let is_late = !self.heard && !self.is_of_client() && !self.tls.is_handshaking();
                let late = is_late.then(|| late(&error)).flatten();
                Err(late.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidData, error)))
            }
        }
    }

    /// As [`Plain::poll_write_both`].
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, first: &[u8], second: &[u8]) -> Poll<io::Result<usize>> {
        if first.is_empty() && second.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            if self.owed == 0 {
                self.owed = self.tls.writer().write_vectored(&[IoSlice::new(first), IoSlice::new(second)])?;
            }
            let written = ready!(self.poll_push(cx))?;
            if !self.tls.wants_write() {
                return match std::mem::take(&mut self.owed) {
                    // There was no room for more beside what waited, and now there is.
                    0 => continue,
                    owed => Poll::Ready(Ok(owed)),
                };
            }
            // As many as went, so that it shows that the peer takes something. The last is told of when all is gone: records are longer than
            // what is in them.
            let told = written.min(self.owed.saturating_sub(1));
            if told > 0 {
                self.owed -= told;
                return Poll::Ready(Ok(told));
            }
        }
    }

    /// Writes records, as many as the kernel takes at once.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { socket, tls, .. } = self;
        socket.poll_send(cx, |descriptor| {
            let written = tls.write_tls(&mut Kernel(descriptor));
            let written =
                written.map_err(|error| rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))?;
            Ok((written, written + usize::from(tls.wants_write())))
        })
    }

    /// Writes records once, if the kernel takes them.
    fn push_now(&mut self) {
        let Self { socket, tls, .. } = self;
        // What fails here is a connection that is gone.
        let _ = socket.with_descriptor(|descriptor| tls.write_tls(&mut Kernel(descriptor)));
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_read_all() { self.socket.poll_readable(cx) } else { Poll::Ready(Ok(())) }
    }

    /// Tells the peer that nothing follows (RFC 8446 §6.1), once; ready when its kernel, or ours, has all of it. What fails is a connection
    /// that is gone.
    pub(super) fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.part();
        while self.parting && self.tls.wants_write() {
            if ready!(self.poll_push(cx)).is_err() {
                break;
            }
        }
        self.parting = false;
        Poll::Ready(())
    }

    /// The same as far as the kernel takes it at once.
    fn says_goodbye(&mut self) {
        self.part();
        if self.parting && self.tls.wants_write() {
            self.push_now();
        }
    }

    /// Puts down that nothing follows, where that is so.
    fn part(&mut self) {
        if std::mem::replace(&mut self.clean, false) && !self.tls.is_handshaking() {
            self.tls.send_close_notify();
            self.parting = true;
        }
    }

    /// Whether the peer may take the close that follows for the end of what it was sent.
    pub(super) fn ends_cleanly(&mut self, clean: bool) {
        self.clean = clean;
    }

    fn is_of_client(&self) -> bool {
        matches!(self.tls, Connection::Server(_))
    }

    pub(super) fn socket(&self) -> &Plain {
        &self.socket
    }

    pub(super) fn socket_mut(&mut self) -> &mut Plain {
        &mut self.socket
    }

    pub(super) fn take_socket(&mut self) -> Plain {
        std::mem::replace(&mut self.socket, Plain::lost())
    }

    pub(super) fn put_socket(&mut self, socket: Plain) {
        self.socket = socket;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without it, who reads to the end cannot know that it has everything.
        self.says_goodbye();
    }
}

/// Where records go.
struct Kernel<'a>(&'a OwnedFd);

impl Write for Kernel<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0, bytes, SEND)?)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(sendmsg(self.0, pieces, &mut SendAncillaryBuffer::default(), SEND)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// With this and one record more a buffer of the pool is full.
const ENOUGH: usize = 48 * 1024;
