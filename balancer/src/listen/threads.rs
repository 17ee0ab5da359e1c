//! The proxy threads among each other: how many connections each has, and how one gets from one to another.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::net::{Client, Family, Peer, Socket};

/// What all threads share.
#[derive(Debug)]
pub(super) struct Threads {
    open: Vec<AtomicUsize>,
    parked: AtomicUsize,
    /// Whose they are. Locked by connections that have been idle for long already, and by those that come when there are too many.
    idle: Mutex<HashMap<Whose, usize>>,
    hand_over: Vec<mpsc::UnboundedSender<Sent>>,
    pub(super) connections_max: AtomicUsize,
    /// Threads that have all they need to serve.
    ready: watch::Sender<usize>,
    /// Threads that accept nothing any more.
    closed: watch::Sender<usize>,
}

/// The client of a connection; those of Unix sockets are one.
pub(super) type Whose = Option<Client>;

/// What one thread sends to another.
#[derive(Debug)]
pub(super) enum Sent {
    Connection(Handed),
    /// So many idle connections of that client shall be closed.
    Room(Whose, usize),
}

/// A place among a thread's connections; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Counted {
    threads: Arc<Threads>,
    index: usize,
    parked: Option<Whose>,
}

/// A connection on its way to another thread, unknown to any runtime and counted where it goes.
#[derive(Debug)]
pub(super) struct Handed {
    descriptor: OwnedFd,
    family: Family,
    peer: Peer,
    counted: Counted,
}

impl Threads {
    /// For `count` threads; what is handed over to each arrives at its receiver.
    pub(super) fn new(count: usize, connections_max: usize) -> (Arc<Self>, Vec<mpsc::UnboundedReceiver<Sent>>) {
        // Bounded by `connections_max`: whatever is handed over has been counted.
        let (hand_over, receivers) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let open = (0..count).map(|_| AtomicUsize::new(0)).collect();
        let (ready, closed) = (watch::Sender::new(0), watch::Sender::new(0));
        let connections_max = AtomicUsize::new(connections_max);
        let (parked, idle) = (AtomicUsize::new(0), Mutex::default());
        (Arc::new(Self { open, parked, idle, hand_over, connections_max, ready, closed }), receivers)
    }

    /// Says that one more thread has all it needs, and waits until all have: clients who come at once must not take
    /// descriptors that a thread needs to begin.
    pub(super) async fn all_ready(&self) {
        self.all_at(&self.ready).await;
    }

    /// Says that one more thread accepts nothing any more, and waits until none does: until then another may hand over what it
    /// has accepted last.
    pub(super) async fn all_closed(&self) {
        self.all_at(&self.closed).await;
    }

    async fn all_at(&self, point: &watch::Sender<usize>) {
        point.send_modify(|threads| *threads += 1);
        // The sender is this very value's.
        let _ = point.subscribe().wait_for(|threads| *threads >= self.open.len()).await;
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// Connections on all of them.
    pub(super) fn connections(&self) -> usize {
        self.open.iter().map(|open| open.load(Ordering::Relaxed)).sum()
    }

    /// Of these, the parked ones.
    pub(super) fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    /// Whether there are more connections than there may be.
    pub(super) fn are_full(&self) -> bool {
        self.connections() > self.connections_max.load(Ordering::Relaxed)
    }

    /// The client that has most idle connections, and how many there shall be fewer where others have no room; `None` where nobody
    /// has one.
    pub(super) fn most_idle(&self) -> Option<(Whose, usize)> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (whose, count) = idle.iter().max_by_key(|(_, count)| **count)?;
        // Some at once: in a crowd not everybody who comes has to look for one.
        Some((*whose, count.div_ceil(8)))
    }

    /// Has the threads but `own` close so many idle connections of a client. Whether there will be room: what comes meanwhile is
    /// bounded.
    pub(super) fn ask_for_room(&self, own: usize, whose: Whose, count: usize) -> bool {
        let excess = self.connections().saturating_sub(self.connections_max.load(Ordering::Relaxed));
        let others = self.hand_over.iter().enumerate().filter(|(index, _)| *index != own);
        let sent = others.filter(|(_, thread)| thread.send(Sent::Room(whose, count)).is_ok()).count();
        sent > 0 && excess <= EXCESS_MAX
    }

    /// Counts a connection accepted by thread `own`, on the thread that shall serve it.
    ///
    /// The kernel spreads connections by a hash, which with few of them leaves a thread idle; handing over costs a wake-up,
    /// which a connection per request would feel. So a connection moves only where the imbalance is worth it: one and an
    /// eighth more than the least loaded thread.
    pub(super) fn place(self: &Arc<Self>, own: usize) -> Counted {
        let load = |index: usize| self.open[index].load(Ordering::Relaxed);
        let least = (0..self.open.len()).min_by_key(|&index| load(index)).unwrap_or(own);
        let slack = 1 + load(least) / 8;
        let index = if load(own) > load(least) + slack { least } else { own };
        self.open[index].fetch_add(1, Ordering::Relaxed);
        Counted { threads: Arc::clone(self), index, parked: None }
    }
}

impl Counted {
    /// The thread it is counted on.
    pub(super) fn thread(&self) -> usize {
        self.index
    }

    /// It is parked, as one of that client.
    pub(super) fn park(&mut self, whose: Whose) {
        self.unpark();
        self.parked = Some(whose);
        self.threads.parked.fetch_add(1, Ordering::Relaxed);
        let mut idle = self.threads.idle.lock().unwrap_or_else(PoisonError::into_inner);
        *idle.entry(whose).or_default() += 1;
    }

    /// It is parked no longer.
    pub(super) fn unpark(&mut self) {
        let Some(whose) = self.parked.take() else { return };
        self.threads.parked.fetch_sub(1, Ordering::Relaxed);
        let mut idle = self.threads.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = idle.get_mut(&whose) {
            *count -= 1;
            if *count == 0 {
                idle.remove(&whose);
            }
        }
    }

    /// The client that it is parked for.
    pub(super) fn parked_for(&self) -> Option<Whose> {
        self.parked
    }

    /// Sends the connection to that thread.
    pub(super) fn hand_over(self, socket: Socket, peer: Peer) {
        // A runtime or a thread that ended with the process: nothing to serve either way.
        if let Some((descriptor, family)) = socket.into_bare() {
            let threads = Arc::clone(&self.threads);
            let _ = threads.hand_over[self.index].send(Sent::Connection(Handed {
                descriptor,
                family,
                peer,
                counted: self,
            }));
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.unpark();
        self.threads.open[self.index].fetch_sub(1, Ordering::Relaxed);
    }
}

impl Handed {
    /// Takes the connection to this thread.
    pub(super) fn arrive(self) -> (Socket, Peer, Counted) {
        (Socket::bare(self.descriptor, self.family), self.peer, self.counted)
    }
}

/// Connections above `connections_max` whose room is being made by other threads: descriptors are set aside for as many.
const EXCESS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn of_sixty_four_connections_no_thread_has_more_than_a_quarter_above_its_share() {
        for count in [2, 4, 8, 16] {
            // All of them arrive at one thread, or wherever a hash throws them.
            for seed in 0..50 {
                let mut rng = StdRng::seed_from_u64(seed);
                let (threads, _receivers) = Threads::new(count, 100);
                let at = |rng: &mut StdRng| if seed == 0 { 0 } else { rng.random_range(0..count) };
                let counted: Vec<_> = (0..64).map(|_| threads.place(at(&mut rng))).collect();
                for thread in 0..count {
                    let share = counted.iter().filter(|counted| counted.thread() == thread).count();
                    assert!(share * count * 4 <= 64 * 5, "thread {thread} of {count}: {share}");
                }
            }
        }
    }

    #[test]
    fn room_is_asked_of_the_client_that_has_most_idle_connections() {
        let (threads, mut receivers) = Threads::new(2, 6);
        let client = |last: u8| Some(Client::of([192, 0, 2, last].into()));
        assert_eq!(threads.most_idle(), None);
        let mut counted: Vec<_> = (0..6).map(|_| threads.place(0)).collect();
        for (counted, last) in counted.iter_mut().zip([1, 2, 2, 3, 2, 1]) {
            counted.park(client(last));
        }
        assert_eq!((threads.most_idle(), threads.parked()), (Some((client(2), 1)), 6));
        assert!(threads.ask_for_room(0, client(2), 1));
        assert!(matches!(receivers[1].try_recv(), Ok(Sent::Room(whose, 1)) if whose == client(2)));
        assert!(receivers[0].try_recv().is_err());
        counted.remove(2);
        counted[1].unpark();
        assert_eq!((threads.most_idle(), threads.parked()), (Some((client(1), 1)), 4));
        let _many: Vec<_> = (0..18).map(|_| threads.place(0)).collect();
        assert!(!threads.ask_for_room(0, client(1), 1), "too many wait for it already");
        drop(counted);
        assert_eq!((threads.most_idle(), threads.parked()), (None, 0));
    }

    #[test]
    fn connections_are_counted_until_they_end() {
        let (threads, _receivers) = Threads::new(2, 1);
        let first = threads.place(0);
        assert!(!threads.are_full());
        let second = threads.place(0);
        assert!(threads.are_full());
        drop(second);
        assert!(!threads.are_full());
        drop(first);
    }
}
