//! The proxy threads among each other: how many connections each has, and how one gets from one to another.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, watch};

use crate::net::{Family, Peer, Socket};

/// What all threads share.
#[derive(Debug)]
pub(super) struct Threads {
    open: Vec<AtomicUsize>,
    parked: AtomicUsize,
    hand_over: Vec<mpsc::UnboundedSender<Handed>>,
    pub(super) connections_max: AtomicUsize,
    /// Threads that have all they need to serve.
    ready: watch::Sender<usize>,
    /// Threads that accept nothing any more.
    closed: watch::Sender<usize>,
}

/// A place among a thread's connections; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Counted {
    threads: Arc<Threads>,
    index: usize,
    parked: bool,
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
    pub(super) fn new(count: usize, connections_max: usize) -> (Arc<Self>, Vec<mpsc::UnboundedReceiver<Handed>>) {
        // Bounded by `connections_max`: whatever is handed over has been counted.
        let (hand_over, receivers) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let open = (0..count).map(|_| AtomicUsize::new(0)).collect();
        let (ready, closed) = (watch::Sender::new(0), watch::Sender::new(0));
        let connections_max = AtomicUsize::new(connections_max);
        (Arc::new(Self { open, parked: AtomicUsize::new(0), hand_over, connections_max, ready, closed }), receivers)
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
        Counted { threads: Arc::clone(self), index, parked: false }
    }
}

impl Counted {
    /// The thread it is counted on.
    pub(super) fn thread(&self) -> usize {
        self.index
    }

    /// It is parked, or no longer.
    pub(super) fn set_parked(&mut self, parked: bool) {
        match (std::mem::replace(&mut self.parked, parked), parked) {
            (false, true) => self.threads.parked.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.threads.parked.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    /// Sends the connection to that thread.
    pub(super) fn hand_over(self, socket: Socket, peer: Peer) {
        // A runtime or a thread that ended with the process: nothing to serve either way.
        if let Some((descriptor, family)) = socket.into_bare() {
            let threads = Arc::clone(&self.threads);
            let _ = threads.hand_over[self.index].send(Handed { descriptor, family, peer, counted: self });
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set_parked(false);
        self.threads.open[self.index].fetch_sub(1, Ordering::Relaxed);
    }
}

impl Handed {
    /// Takes the connection to this thread.
    pub(super) fn arrive(self) -> (Socket, Peer, Counted) {
        (Socket::bare(self.descriptor, self.family), self.peer, self.counted)
    }
}

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
