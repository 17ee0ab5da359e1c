//! Idle connections taken apart: of each, only its socket is left, in one epoll set per thread.
//!
//! A connection between two requests holds about 18 KB: the parser's buffers and the task. Most clients keep their
//! connections for a minute after the last request, so that is where a proxy's memory would go. A parked connection is a
//! descriptor and less than 100 bytes, and its session where it is encrypted; a byte from its client has it built again.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use slab::Slab;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::listen::accept::threads::Counted;
use crate::net::Whose;
use crate::net::{Bare, Client, Peer, Socket};

/// The parked connections of one thread.
#[derive(Debug)]
pub(in crate::listen) struct Parked {
    set: AsyncFd<Set>,
    entries: RefCell<Slab<Entry>>,
    /// How often to tidy yet, and when that was done last.
    tidying: Cell<(u8, Option<Instant>)>,
}

#[derive(Debug)]
struct Entry {
    resting: Resting,
    peer: Peer,
    since: Instant,
    counted: Counted,
}

/// A connection that rests. Dropping it closes it, with a good-bye where it is encrypted.
#[derive(Debug)]
struct Resting(Option<Bare>);

impl Parked {
    /// None yet.
    ///
    /// # Errors
    /// When there is no descriptor left for the set.
    pub(in crate::listen) fn new() -> io::Result<Self> {
        let set = Set(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        // Its successor is `unsafe`: it wants a promise that the descriptor stays open and the same, which `Set` keeps.
        #[expect(deprecated, reason = "the successor is unsafe, which is denied")]
        let set = AsyncFd::with_interest(set, Interest::READABLE)?;
        Ok(Self { set, entries: RefCell::default(), tidying: Cell::default() })
    }

    /// Keeps a connection that is idle since `since`, of which nothing is unread or unwritten.
    pub(in crate::listen) fn enter(&self, socket: Socket, peer: Peer, since: Instant, mut counted: Counted) {
        // What fails here is the runtime's end.
        let Some(bare) = socket.into_bare() else { return };
        let mut entries = self.entries.borrow_mut();
        let entry = entries.vacant_entry();
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
        // Level-triggered: what came in since the last look wakes at once. Without memory for it in the kernel the
        // connection is closed, as an idle one may be at any time.
        if self.set.get_ref().0.add(bare.as_fd(), EpollEvent::new(interest, entry.key() as u64)).is_ok() {
            counted.park(peer.ip().map(Client::of));
            entry.insert(Entry { resting: Resting(Some(bare)), peer, since, counted });
            self.tidying.set((TIDYINGS, self.tidying.get().1));
        }
    }

    /// Hands every connection whose client has sent something to `serve`, as long as the thread lives.
    pub(in crate::listen) async fn wake(&self, serve: impl Fn(Socket, Peer, Counted)) {
        let mut events = [EpollEvent::empty(); EVENTS];
        // An error is the runtime's end.
        while let Ok(mut ready) = self.set.readable().await {
            let count = self.set.get_ref().0.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
            if count < EVENTS {
                ready.clear_ready();
            }
            for event in &events[..count] {
                let key = usize::try_from(event.data()).unwrap_or(usize::MAX);
                let Some(mut entry) = self.leave(key) else { continue };
                let Some(socket) = entry.resting.0.take().map(Socket::from) else { continue };
                // Most often it is the client's close, which needs no parser.
                if event.events().contains(EpollFlags::EPOLLRDHUP) && socket.is_at_end() {
                    continue;
                }
                serve(socket, entry.peer, entry.counted);
            }
            // A thousand clients at once must not keep those waiting that are being served.
            tokio::task::yield_now().await;
        }
    }

    /// Closes those that have been idle for `limit`.
    pub(super) fn expire(&self, now: Instant, limit: Duration) {
        let mut entries = self.entries.borrow_mut();
        // The close takes them out of the set.
        entries.retain(|_, entry| now.saturating_duration_since(entry.since) < limit);
        if entries.capacity() > 4 * entries.len().max(EVENTS) {
            entries.shrink_to_fit();
        }
    }

    /// Closes connections of a client, so many at most and none that has said something; how many.
    pub(in crate::listen) fn close_of(&self, whose: Whose, count: usize) -> usize {
        let mut entries = self.entries.borrow_mut();
        let is_one = |entry: &Entry| {
            entry.counted.parked_for() == Some(whose) && entry.resting.0.as_ref().is_some_and(Bare::is_silent)
        };
        let keys: Vec<usize> =
            entries.iter().filter(|(_, entry)| is_one(entry)).map(|(key, _)| key).take(count).collect();
        keys.iter().for_each(|&key| drop(entries.try_remove(key)));
        keys.len()
    }

    /// Has the allocator give back what the connections held that were parked lately.
    ///
    /// It looks for that when something large is freed, and a process that has become idle frees nothing any more.
    pub(super) fn tidy(&self, now: Instant) {
        let (left, last) = self.tidying.get();
        if left > 0 && last.is_none_or(|last| now.saturating_duration_since(last) >= TIDY_AFTER) {
            self.tidying.set((left - 1, Some(now)));
            drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE)));
        }
    }

    /// Closes all.
    pub(in crate::listen) fn close(&self) {
        self.entries.replace(Slab::new());
    }

    /// Whether there is none.
    pub(in crate::listen) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    fn leave(&self, key: usize) -> Option<Entry> {
        let mut entry = self.entries.borrow_mut().try_remove(key)?;
        entry.counted.unpark();
        // It was added, so this fails only for a descriptor that is closed, which is out of the set as well.
        let _ = entry.resting.0.as_ref().map(|bare| self.set.get_ref().0.delete(bare.as_fd()));
        Some(entry)
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        // A session says good-bye only over its socket.
        drop(self.0.take().map(Socket::from));
    }
}

#[derive(Debug)]
struct Set(Epoll);

impl AsRawFd for Set {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

/// Taken from the set at once.
const EVENTS: usize = 64;
const TIDY_AFTER: Duration = Duration::from_millis(500);
/// After the last that was parked: the allocator waits a second before it gives anything back.
const TIDYINGS: u8 = 5;
/// Untouched, so that it costs two calls of the allocator and no memory.
const LARGE: usize = 8 * 1024 * 1024;
