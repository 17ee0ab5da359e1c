//! What waits to be written to a client: heads, and the pieces of a body behind them.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};

use crate::net::{Buffer, Outbox, Socket};

/// Bytes that wait for the client, in their order.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Heads, and what of the body fits behind them.
    outbox: Outbox,
    /// Pieces of the body behind that.
    queue: VecDeque<Buffer>,
    written: u64,
}

impl Outgoing {
    /// The end of the heads, onto which a head is put. No piece of a body waits then.
    pub(super) fn head(&mut self) -> &mut Vec<u8> {
        self.outbox.end()
    }

    /// Puts a piece of the body behind everything else.
    pub(in crate::listen) fn push(&mut self, piece: Buffer) {
        if !self.put_behind(piece.unread()) {
            self.queue.push_back(piece);
        }
    }

    /// The same with bytes that stand elsewhere.
    pub(super) fn push_copy(&mut self, bytes: &[u8]) {
        if !self.put_behind(bytes) {
            self.queue.push_back(Buffer::copy_of(bytes));
        }
    }

    /// Puts a small piece behind what waits already, if there is something: the kernel takes one piece faster than two.
    fn put_behind(&mut self, bytes: &[u8]) -> bool {
        if let Some(last) = self.queue.back_mut() {
            return last.put(bytes);
        }
        let waits = self.outbox.unwritten().len();
        let fits = waits > 0 && waits + bytes.len() <= TOGETHER;
        if fits {
            self.outbox.end().extend_from_slice(bytes);
        }
        fits
    }

    /// Memory of the pieces that wait.
    pub(super) fn taken(&self) -> usize {
        self.queue.iter().map(Buffer::taken).sum()
    }

    /// Bytes written, ever.
    pub(in crate::listen) fn written(&self) -> u64 {
        self.written
    }

    /// Whether nothing waits.
    pub(in crate::listen) fn is_empty(&self) -> bool {
        self.outbox.is_empty() && self.queue.is_empty()
    }

    /// The first piece of a body that waits, where heads go another way.
    #[cfg(feature = "http2")]
    pub(super) fn front(&self) -> Option<&[u8]> {
        self.queue.front().map(Buffer::unread)
    }

    /// So many bytes of that piece have gone on.
    #[cfg(feature = "http2")]
    pub(super) fn went_on(&mut self, count: usize) {
        self.written += count as u64;
        if let Some(front) = self.queue.front_mut() {
            front.consume(count);
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// When the client is gone.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<io::Result<()>> {
        loop {
            let flushed = self.poll_write_once(cx, socket);
            if flushed.is_pending() {
                self.queue.iter_mut().for_each(Buffer::settle);
            }
            if ready!(flushed)? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Whether nothing is left.
    fn poll_write_once(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<io::Result<bool>> {
        let (head, front) = (self.outbox.unwritten(), self.queue.front().map(Buffer::unread));
        let written = match (head, front) {
            ([], None) => return Poll::Ready(Ok(true)),
            ([], Some(piece)) => socket.poll_write(cx, piece),
            (head, None) => socket.poll_write(cx, head),
            (head, Some(piece)) => socket.poll_write_both(cx, head, piece),
        };
        let written = ready!(written)?;
        let of_head = written.min(head.len());
        self.written += written as u64;
        if of_head > 0 {
            self.outbox.written(of_head);
        }
        if let Some(front) = self.queue.front_mut() {
            front.consume(written - of_head);
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
        Poll::Ready(Ok(self.is_empty()))
    }
}

/// A head and a body that is not longer than this go out as one piece.
const TOGETHER: usize = 8 * 1024;
