//! Memory for bytes on their way: taken from the thread's pool while something is read or written, held only by what cannot
//! go on yet.

use std::cell::RefCell;
use std::ops::Range;
use std::thread::LocalKey;

use crate::http1::{CHUNK_PREFIX_MAX, Fields, LAST_CHUNK, chunk_prefix};

/// Bytes that were read and have not gone on. Large while something is read into it, its exact size when it has to wait.
///
/// There is room before and behind the bytes, so that a piece of a body becomes a chunk where it stands.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// A copy of `bytes`, with little room for more.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::with_room(bytes.len());
        buffer.put(bytes);
        buffer
    }

    /// Nothing yet, and room for so many bytes.
    pub fn with_room(room: usize) -> Self {
        Self { bytes: vec![0; FRONT + room + BACK], start: FRONT, end: FRONT }
    }

    /// Nothing yet, and room for [`READ`] bytes.
    pub fn pooled() -> Self {
        let bytes = POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; FRONT + READ + BACK]);
        Self { bytes, start: FRONT, end: FRONT }
    }

    /// The bytes.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The bytes, to be changed where they stand.
    pub fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The first so many have gone on.
    pub fn consume(&mut self, count: usize) {
        self.start += count.min(self.len());
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Nothing is left but these of the bytes.
    pub fn keep(&mut self, range: Range<usize>) {
        let end = self.start + range.end.min(self.len());
        (self.start, self.end) = ((self.start + range.start).min(end), end);
    }

    /// The first of the bytes, up to `used`, of which `range` is left; the others stay here.
    pub fn split(&mut self, range: Range<usize>, used: usize) -> Self {
        if used >= self.len() {
            let mut all = std::mem::take(self);
            all.keep(range);
            return all;
        }
        let part = Self::copy_of(&self.unread()[range]);
        self.consume(used);
        part
    }

    /// Room behind the bytes to read into, at least one byte.
    pub fn room(&mut self) -> &mut [u8] {
        if self.bytes.is_empty() {
            *self = Self::pooled();
        }
        if self.end + BACK >= self.bytes.len() && self.start > FRONT {
            // What has gone on leaves room: else a connection on which something always waits would keep all it ever read.
            let length = self.len();
            self.bytes.copy_within(self.start..self.end, FRONT);
            (self.start, self.end) = (FRONT, FRONT + length);
        }
        if self.end + BACK >= self.bytes.len() {
            // A head that comes byte by byte is not copied each time.
            let more = self.len() / 4 + GROWTH;
            // Else it would be doubled.
            self.bytes.reserve_exact(more);
            self.bytes.resize(self.bytes.len() + more, 0);
        }
        let end = self.bytes.len() - BACK;
        &mut self.bytes[self.end..end]
    }

    /// So many bytes were read into the room.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len() - BACK);
    }

    /// Puts bytes behind the others if there is room for them; whether there was.
    pub fn put(&mut self, bytes: &[u8]) -> bool {
        let end = self.end + bytes.len();
        if self.bytes.is_empty() || end + BACK > self.bytes.len() {
            return bytes.is_empty();
        }
        self.bytes[self.end..end].copy_from_slice(bytes);
        self.end = end;
        true
    }

    /// The bytes have to wait: a few do not keep a large buffer.
    pub fn settle(&mut self) {
        if self.bytes.is_empty() {
            // It takes nothing.
        } else if self.is_empty() {
            *self = Self::default();
        } else if self.bytes.len() == FRONT + READ + BACK && self.len() <= READ / 2 {
            *self = Self::copy_of(self.unread());
        }
    }

    /// Makes one chunk of the bytes (RFC 9112 §7.1), and the end of the body behind it if it is the `last`.
    pub fn into_chunk(mut self, last: bool) -> Self {
        if !self.is_empty() {
            let mut prefix = [0; CHUNK_PREFIX_MAX];
            let size = chunk_prefix(&mut prefix, self.len());
            self.bytes[self.start - size..self.start].copy_from_slice(&prefix[CHUNK_PREFIX_MAX - size..]);
            self.start -= size;
            self.put_behind(b"\r\n");
        }
        if last {
            if self.bytes.is_empty() {
                self = Self::with_room(0);
            }
            self.put_behind(LAST_CHUNK);
        }
        self
    }

    /// Of memory that it takes.
    pub fn taken(&self) -> usize {
        self.bytes.capacity()
    }

    fn put_behind(&mut self, bytes: &[u8]) {
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() == FRONT + READ + BACK {
            give(&POOL, POOLED, std::mem::take(&mut self.bytes));
        }
    }
}

/// Bytes to be written in one go: a head, and what of the body fits behind it.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    at: usize,
}

impl Outbox {
    /// The end of the bytes, onto which everything is put.
    pub fn end(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = OUTBOXES.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(OUTBOX));
        }
        &mut self.bytes
    }

    /// What is to be written.
    pub fn unwritten(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// So many bytes were written.
    pub fn written(&mut self, count: usize) {
        self.at += count;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Nothing is to be written after all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if (OUTBOX..=OUTBOX_KEPT).contains(&bytes.capacity()) {
            bytes.clear();
            give(&OUTBOXES, POOLED, bytes);
        }
    }
}

/// Memory for the fields of a message, of the thread's pool.
pub fn take_fields() -> Fields {
    FIELDS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives the memory back to the thread's pool.
pub fn give_fields(mut fields: Fields) {
    if (1..=OUTBOX_KEPT).contains(&fields.capacity()) {
        fields.clear();
        give(&FIELDS, POOLED, fields);
    }
}

type Pool<T> = RefCell<Vec<T>>;

/// Leaves it to whoever comes next, unless there are many.
fn give<T>(pool: &'static LocalKey<Pool<T>>, most: usize, one: T) {
    // At the end of the thread there may be no pool any more.
    let _ = pool.try_with(|pool| {
        if let Ok(mut pool) = pool.try_borrow_mut()
            && pool.len() < most
        {
            pool.push(one);
        }
    });
}

thread_local! {
    static POOL: Pool<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static OUTBOXES: Pool<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static FIELDS: Pool<Fields> = const { RefCell::new(Vec::new()) };
}

/// Read at once.
const READ: usize = 64 * 1024;
/// Room for the line before a chunk.
const FRONT: usize = CHUNK_PREFIX_MAX;
/// Room for the end of a chunk and of a body.
const BACK: usize = 2 + LAST_CHUNK.len();
const GROWTH: usize = 256;
/// Of each kind, kept by a thread.
const POOLED: usize = 16;
const OUTBOX: usize = 2 * 1024;
const OUTBOX_KEPT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_becomes_a_chunk_where_it_stands() {
        let chunk = |bytes: &[u8], last| Buffer::copy_of(bytes).into_chunk(last).unread().to_vec();
        assert_eq!(chunk(b"hello world 1234", false), b"10\r\nhello world 1234\r\n");
        assert_eq!(chunk(b"a", true), b"1\r\na\r\n0\r\n\r\n");
        assert_eq!(Buffer::default().into_chunk(true).unread(), b"0\r\n\r\n");
        assert!(Buffer::default().into_chunk(false).is_empty());
        let mut whole = Buffer::pooled();
        let room = whole.room().len();
        whole.filled(room);
        assert_eq!(whole.into_chunk(true).len(), room + b"10000\r\n\r\n0\r\n\r\n".len());
    }

    #[test]
    fn bytes_are_split_and_those_that_wait_take_little() {
        let mut buffer = Buffer::pooled();
        buffer.room()[..10].copy_from_slice(b"0123456789");
        buffer.filled(10);
        assert_eq!(buffer.split(1..3, 4).unread(), b"12");
        assert_eq!(buffer.unread(), b"456789");
        buffer.settle();
        assert!(buffer.taken() < 100 && buffer.unread() == b"456789");
        buffer.consume(1);
        assert!(buffer.split(1..2, 5).unread() == b"6" && buffer.is_empty() && buffer.taken() == 0);
    }

    #[test]
    fn a_buffer_grows_by_steps_so_that_single_bytes_are_not_copied_each_time() {
        let (mut buffer, mut grown, mut taken) = (Buffer::copy_of(b"x"), 0, 0);
        for _ in 0..20_000 {
            buffer.room()[0] = b'y';
            buffer.filled(1);
            buffer.settle();
            grown += usize::from(buffer.taken() != taken);
            taken = buffer.taken();
        }
        assert!(buffer.len() == 20_001 && grown < 60 && taken < 26_000, "{grown} {taken}");
    }

    #[test]
    fn a_buffer_in_which_something_always_waits_does_not_grow() {
        let mut buffer = Buffer::copy_of(b"x");
        for round in 0..10_000_u32 {
            let room = buffer.room();
            let count = room.len().min(100);
            room[..count].fill(b'y');
            buffer.filled(count);
            buffer.consume(count);
            buffer.settle();
            assert_eq!(buffer.len(), 1, "{round}");
        }
        assert!(buffer.taken() < 1_000, "{}", buffer.taken());
    }

    #[test]
    fn what_was_pooled_is_used_again() {
        let first = Buffer::pooled();
        let address = first.bytes.as_ptr();
        drop(first);
        assert_eq!(Buffer::pooled().bytes.as_ptr(), address);
        let mut outbox = Outbox::default();
        outbox.end().extend_from_slice(b"abc");
        outbox.written(2);
        assert_eq!(outbox.unwritten(), b"c");
        outbox.written(1);
        assert!(outbox.is_empty() && outbox.bytes.capacity() == 0);
    }
}
