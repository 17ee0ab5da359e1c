//! What is held for slow clients: memory, counted over the whole process, and the part of a request's body that was read before an
//! endpoint got any of it, in memory and behind that on a disk.

use std::collections::VecDeque;
use std::io;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use crate::http1::Fields;
use crate::net::{Allowance, Buffer, CellOf, Whose};
use crate::spool::{File, Spool};

/// A part of what all bodies that wait for clients may take together; dropping it gives it back. Above it they stream, at the pace of
/// their clients.
#[derive(Debug)]
pub(super) struct Reserved {
    budget: &'static LazyLock<Allowance>,
    bytes: usize,
    /// Whose it is.
    cell: Option<CellOf>,
}

impl Reserved {
    /// Nothing of the process's budget yet.
    pub(super) fn new() -> Self {
        Self { budget: &PROCESS, bytes: 0, cell: None }
    }

    /// How much it is.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes so much more for a client, always the same; whether there was as much.
    pub(super) fn grow(&mut self, bytes: usize, whose: Whose) -> bool {
        // Told once by those that have something.
        self.cell = if self.bytes == 0 { self.budget.cell_of(whose) } else { self.cell };
        let say = |shortage| tracing::warn!("body buffer limit reached: {shortage}; further bodies are streamed");
        let taken = bytes == 0 || self.budget.take(bytes, whose, say);
        self.bytes += if taken { bytes } else { 0 };
        taken
    }

    /// Gives so much back, or what there is.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        if bytes > 0 {
            self.budget.give(bytes, self.cell);
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// Pieces of a request's body. Held whole, they stay until an endpoint has answered; else each goes as it is handed on.
#[derive(Debug)]
pub(super) struct Held {
    pieces: VecDeque<Buffer>,
    reserved: Reserved,
    /// Which of a body that is held whole comes next.
    at: usize,
    whole: bool,
    trailers: Fields,
    /// What did not fit into the memory; on the heap, for it is rare.
    disk: Option<Box<OnDisk>>,
}

/// The rest of what is held.
#[derive(Debug)]
struct OnDisk {
    file: File,
    /// A piece that found no room: the last that is held.
    last: Buffer,
    last_given: bool,
    full: bool,
}

impl Held {
    pub(super) fn new() -> Self {
        Self {
            pieces: VecDeque::new(),
            reserved: Reserved::new(),
            at: 0,
            whole: false,
            trailers: Fields::default(),
            disk: None,
        }
    }

    /// Waits until it is known whether another piece may be held, of a body that has not ended: in `bytes_max` of memory, then on
    /// the disk.
    pub(super) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        (bytes_max, whose): (usize, Whose),
        spool: Option<&Spool>,
    ) -> Poll<bool> {
        if self.disk.is_none() {
            if self.has_room(bytes_max, whose) {
                return Poll::Ready(true);
            }
            let Some(spool) = spool.filter(|_| !self.whole) else { return Poll::Ready(false) };
            let file = spool.file(whose);
            self.disk = Some(Box::new(OnDisk { file, last: Buffer::default(), last_given: false, full: false }));
        }
        let Some(disk) = &mut self.disk else { return Poll::Ready(false) };
        ready!(disk.poll_written(cx));
        Poll::Ready(!self.whole && !disk.full)
    }

    /// Whether another piece may be held in memory, of a body that has not ended.
    fn has_room(&mut self, bytes_max: usize, whose: Whose) -> bool {
        let taken = self.taken();
        !self.whole && taken < bytes_max && self.reserved.grow(taken.saturating_sub(self.reserved.bytes()), whose)
    }

    pub(super) fn push(&mut self, piece: Buffer) {
        if let Some(disk) = &mut self.disk {
            return disk.push(piece);
        }
        // Small pieces are put together: a body of chunks of one byte would take a hundred times what it says.
        let put = self.pieces.back_mut().is_some_and(|last| last.put(piece.unread()));
        if put {
            return;
        }
        if piece.len() >= PIECE {
            return self.pieces.push_back(piece);
        }
        let mut room = Buffer::with_room(piece.len().max(self.taken() / 2).min(PIECE));
        room.put(piece.unread());
        self.pieces.push_back(room);
    }

    /// There is no more to come.
    pub(super) fn complete(&mut self, trailers: Fields) {
        self.whole = true;
        self.trailers = trailers;
    }

    /// The next piece to hand on; `None` where there is no more.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Buffer>>> {
        match (self.next(), &mut self.disk) {
            (None, Some(disk)) => disk.poll_next(cx, self.whole),
            (piece, _) => Poll::Ready(Ok(piece)),
        }
    }

    /// The next piece in memory.
    fn next(&mut self) -> Option<Buffer> {
        if self.whole {
            let piece = Buffer::copy_of(self.pieces.get(self.at)?.unread());
            self.at += 1;
            return Some(piece);
        }
        let piece = self.pieces.pop_front()?;
        self.reserved.shrink(piece.taken());
        Some(piece)
    }

    /// Whether all of the body is here.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether all of what is here has been handed on.
    pub(super) fn is_at_end(&self) -> bool {
        let in_memory = if self.whole { self.at >= self.pieces.len() } else { self.pieces.is_empty() };
        in_memory && self.disk.as_ref().is_none_or(|disk| disk.is_at_end())
    }

    /// Trailers of a body that is held whole.
    pub(super) fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// The length of a body that is held whole and has no trailers.
    pub(super) fn length(&self) -> Option<u64> {
        let in_memory: u64 = self.pieces.iter().map(|piece| piece.len() as u64).sum();
        let length = in_memory + self.disk.as_ref().map_or(0, |disk| disk.file.len() + disk.last.len() as u64);
        (self.whole && self.trailers.is_empty()).then_some(length)
    }

    /// Begins with the first piece again.
    pub(super) fn rewind(&mut self) {
        self.at = 0;
        if let Some(disk) = &mut self.disk {
            disk.file.rewind();
            disk.last_given = false;
        }
    }

    /// What has been handed on is not needed any more.
    pub(super) fn let_go(&mut self) {
        if self.is_at_end() {
            self.pieces.clear();
            self.at = 0;
            self.disk = None;
            self.reserved = Reserved::new();
        }
    }

    fn taken(&self) -> usize {
        self.pieces.iter().map(Buffer::taken).sum()
    }
}

impl OnDisk {
    fn push(&mut self, piece: Buffer) {
        if let Err(piece) = self.file.push(piece) {
            (self.last, self.full) = (piece, true);
        }
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(piece) = ready!(self.file.poll_written(cx)) {
            (self.last, self.full) = (piece, true);
        }
        Poll::Ready(())
    }

    /// The next piece; with `again`, it will be asked for once more.
    fn poll_next(&mut self, cx: &mut Context<'_>, again: bool) -> Poll<io::Result<Option<Buffer>>> {
        ready!(self.poll_written(cx));
        let piece = ready!(self.file.poll_next(cx))?;
        if piece.is_some() || self.last.is_empty() || self.last_given {
            return Poll::Ready(Ok(piece));
        }
        self.last_given = true;
        let last = if again { Buffer::copy_of(self.last.unread()) } else { std::mem::take(&mut self.last) };
        Poll::Ready(Ok(Some(last)))
    }

    fn is_at_end(&self) -> bool {
        self.file.is_at_end() && (self.last.is_empty() || self.last_given)
    }
}

/// Smaller pieces are put together.
const PIECE: usize = 32 * 1024;
/// 256 MiB: 128 slow clients with both bodies full.
static PROCESS: LazyLock<Allowance> = LazyLock::new(|| Allowance::new(256 << 20));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_comes_back() {
        static BUDGET: LazyLock<Allowance> = LazyLock::new(|| Allowance::new(100));
        let reserved = || Reserved { budget: &BUDGET, bytes: 0, cell: None };
        let (mut one, mut two) = (reserved(), reserved());
        assert!(one.grow(60, None) && two.grow(40, None) && !two.grow(1, None) && two.grow(0, None));
        one.shrink(70);
        assert!(two.grow(60, None) && !one.grow(1, None));
        drop(two);
        assert_eq!(BUDGET.taken(), 0);
    }

    #[test]
    fn small_pieces_take_little_more_than_they_say() {
        let mut held = Held::new();
        for _ in 0..50_000 {
            assert!(held.has_room(1 << 20, None));
            held.push(Buffer::copy_of(b"x"));
        }
        assert!(held.taken() < 200_000, "{}", held.taken());
        held.complete(Fields::default());
        assert_eq!(held.length(), Some(50_000));
        let handed: usize = std::iter::from_fn(|| held.next()).map(|piece| piece.len()).sum();
        assert!(handed == 50_000 && held.is_at_end());
        held.rewind();
        assert!(held.next().is_some());
    }
}
