//! One body on the disk, from its owner's side.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SendError, Sender};
use std::task::{Context, Poll, ready};

use super::disk::{DiskOrder, Done, Mail};
use super::room::DiskRoom;
use crate::net::{Buffer, Whose};

/// A file that grows by pieces and is read from its beginning, as often as need be; dropping it gives its room back.
#[derive(Debug)]
pub struct File {
    orders: Sender<DiskOrder>,
    room: Arc<DiskRoom>,
    whose: Whose,
    id: u64,
    mail: Arc<Mail>,
    /// What the thread has not told the end of.
    doing: Doing,
    /// Bytes that are written, or on their way.
    length: u64,
    /// Where the next piece is read.
    at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    /// So many bytes.
    Writing(u64),
    Reading,
    /// What is read is not wanted any more.
    ReadingInVain,
}

impl File {
    pub(super) fn new(orders: Sender<DiskOrder>, (room, whose): (Arc<DiskRoom>, Whose), id: u64) -> Self {
        Self { orders, room, whose, id, mail: Arc::default(), doing: Doing::Nothing, length: 0, at: 0 }
    }

    /// Has a piece written, once [`Self::poll_written`] is ready.
    ///
    /// # Errors
    /// The piece, where there is no room for it.
    pub fn push(&mut self, piece: Buffer) -> Result<(), Buffer> {
        let bytes = piece.len() as u64;
        if !self.room.take(bytes, self.whose) {
            return Err(piece);
        }
        match self.orders.send(DiskOrder::Write(self.id, piece, self.length, Arc::clone(&self.mail))) {
            Ok(()) => {
                (self.doing, self.length) = (Doing::Writing(bytes), self.length + bytes);
                Ok(())
            }
            // Nobody is there who could write.
            Err(SendError(order)) => {
                self.room.give(bytes, self.whose);
                Err(order.into_piece())
            }
        }
    }

    /// Waits until the last piece is written.
    ///
    /// # Errors
    /// The piece, where there was no room for it after all.
    pub fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Buffer>> {
        let Doing::Writing(bytes) = self.doing else { return Poll::Ready(Ok(())) };
        let Some(done) = self.mail.take(cx.waker()) else { return Poll::Pending };
        self.doing = Doing::Nothing;
        let Done::Refused(piece) = done else { return Poll::Ready(Ok(())) };
        self.length -= bytes;
        self.room.give(bytes, self.whose);
        Poll::Ready(Err(piece))
    }

    /// The next piece, of what is written; `None` at the end.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Buffer>>> {
        loop {
            match self.doing {
                Doing::Nothing if self.is_at_end() => return Poll::Ready(Ok(None)),
                Doing::Nothing => self.ask()?,
                // Nobody reads what is not written yet.
                Doing::Writing(_) => return Poll::Pending,
                Doing::Reading | Doing::ReadingInVain => {
                    let wanted = self.doing == Doing::Reading;
                    let done = ready!(self.mail.take(cx.waker()).map_or(Poll::Pending, Poll::Ready));
                    self.doing = Doing::Nothing;
                    if let (true, Done::Read(read)) = (wanted, done) {
                        let piece = read?;
                        self.at += piece.len() as u64;
                        return Poll::Ready(Ok(Some(piece)));
                    }
                }
            }
        }
    }

    /// Begins with the first piece again.
    pub fn rewind(&mut self) {
        self.at = 0;
        if self.doing == Doing::Reading {
            self.doing = Doing::ReadingInVain;
        }
    }

    /// Bytes in it.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether all of it has been read.
    pub fn is_at_end(&self) -> bool {
        self.at >= self.length
    }

    fn ask(&mut self) -> io::Result<()> {
        let length = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
        let order = DiskOrder::Read(self.id, Buffer::pooled(), (self.at, length), Arc::clone(&self.mail));
        self.orders.send(order).map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.doing = Doing::Reading;
        Ok(())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Closed there: to free the blocks of a large file takes its time.
        let _ = self.orders.send(DiskOrder::Close(self.id, (self.length, self.whose)));
    }
}
