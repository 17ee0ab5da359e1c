//! The proxy threads among each other: how many connections each has, and how one gets from one to another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::net::{Bare, CellOf, Peer, PerClient, Socket, Whose};

/// What all threads share.
#[derive(Debug)]
pub(in crate::listen) struct Threads {
    open: Vec<AtomicUsize>,
    parked: AtomicUsize,
    /// Whose they are. Locked by connections that have been idle for long already, and by those that come when there are too many.
    idle: Mutex<HashMap<Whose, usize>>,
    clients: PerClient,
    /// When a client that has few found no room, in milliseconds since `begun`, or 0.
    refused: AtomicU64,
    begun: Instant,
    hand_over: Vec<mpsc::UnboundedSender<Sent>>,
    pub(in crate::listen) connections_max: AtomicUsize,
    /// Threads that have all they need to serve.
    ready: watch::Sender<usize>,
    /// Threads that accept nothing any more.
    closed: watch::Sender<usize>,
}

/// What one thread sends to another.
#[derive(Debug)]
pub(in crate::listen) enum Sent {
    Connection(Handed),
    Room(Room),
}

/// How a thread makes room for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listen) enum Room {
    /// By so many idle connections of that client.
    Idle(Whose, usize),
    /// By the newest connection of that client on which nothing is asked.
    Unasked(CellOf),
}

/// A place among a thread's connections; dropping it gives it back.
#[derive(Debug)]
pub(in crate::listen) struct Counted {
    threads: Arc<Threads>,
    index: usize,
    parked: Option<Whose>,
    cell: Option<CellOf>,
}

/// A connection on its way to another thread, unknown to any runtime and counted where it goes.
#[derive(Debug)]
pub(in crate::listen) struct Handed {
    bare: Bare,
    peer: Peer,
    counted: Counted,
}

impl Threads {
    /// For `count` threads; what is handed over to each arrives at its receiver.
    pub(in crate::listen) fn new(
        count: usize,
        connections_max: usize,
    ) -> (Arc<Self>, Vec<mpsc::UnboundedReceiver<Sent>>) {
        // Bounded by `connections_max`: whatever is handed over has been counted.
        let (hand_over, receivers) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let open = (0..count).map(|_| AtomicUsize::new(0)).collect();
        let (ready, closed) = (watch::Sender::new(0), watch::Sender::new(0));
        let connections_max = AtomicUsize::new(connections_max);
        let (parked, idle) = (AtomicUsize::new(0), Mutex::default());
        let (clients, refused, begun) = (PerClient::default(), AtomicU64::new(0), Instant::now());
        (
            Arc::new(Self { open, parked, idle, clients, refused, begun, hand_over, connections_max, ready, closed }),
            receivers,
        )
    }

    /// Says that one more thread has all it needs, and waits until all have: clients who come at once must not take
    /// descriptors that a thread needs to begin.
    pub(in crate::listen) async fn all_ready(&self) {
        self.all_at(&self.ready).await;
    }

    /// Says that one more thread accepts nothing any more, and waits until none does: until then another may hand over what it
    /// has accepted last.
    pub(in crate::listen) async fn all_closed(&self) {
        self.all_at(&self.closed).await;
    }

    async fn all_at(&self, point: &watch::Sender<usize>) {
        point.send_modify(|threads| *threads += 1);
        // The sender is this very value's.
        let _ = point.subscribe().wait_for(|threads| *threads >= self.open.len()).await;
    }

    /// How many there are.
    pub(in crate::listen) fn count(&self) -> usize {
        self.open.len()
    }

    /// Connections on all of them.
    pub(in crate::listen) fn connections(&self) -> usize {
        self.open.iter().map(|open| open.load(Ordering::Relaxed)).sum()
    }

    /// Of these, the parked ones.
    pub(in crate::listen) fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    fn max(&self) -> usize {
        self.connections_max.load(Ordering::Relaxed)
    }

    /// Whether there are more connections than there may be with one of that client, which is counted already.
    ///
    /// Who has more than half of the places leaves a few to others, once there are any.
    pub(in crate::listen) fn are_full_for(&self, whose: Whose) -> bool {
        let (open, max) = (self.connections(), self.max());
        if open <= max - max / LEFT_TO_OTHERS {
            return false;
        }
        let own = self.clients.of(whose);
        open > max || own > max / 2 && (open > own || self.has_refused_lately())
    }

    /// There was no room for a connection of that client.
    pub(in crate::listen) fn has_refused(&self, whose: Whose) {
        if self.clients.of(whose) <= self.max() / 2 {
            self.refused.store(self.begun.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
        }
    }

    fn has_refused_lately(&self) -> bool {
        let refused = self.refused.load(Ordering::Relaxed);
        refused > 0 && self.begun.elapsed().saturating_sub(Duration::from_millis(refused)) < LATELY
    }

    /// The client that has most connections, where it has so many that it has to make room for one of `whose`, which is counted already.
    pub(in crate::listen) fn greatest_besides(&self, whose: Whose) -> Option<CellOf> {
        let (cell, count) = self.clients.greatest()?;
        // Of the same client it may count fewer a moment later: others of its connections are refused meanwhile.
        let is_another = self.clients.cell_of(whose) != Some(cell);
        (is_another && count > self.clients.of(whose) && self.are_very_many(count)).then_some(cell)
    }

    fn are_very_many(&self, count: usize) -> bool {
        count > self.max() / VERY_MANY
    }

    /// The client counted there, and how many idle connections it shall have fewer; `None` where it has none.
    pub(in crate::listen) fn idle_of(&self, cell: CellOf) -> Option<(Whose, usize)> {
        self.most_idle_where(|whose| self.clients.cell_of(whose) == Some(cell))
    }

    /// The client that has most idle connections, and how many there shall be fewer where `for_whom` has no room; `None` where nobody
    /// has one. Who has very many takes nothing from those that have few.
    pub(in crate::listen) fn most_idle(&self, for_whom: Whose) -> Option<(Whose, usize)> {
        let own = self.clients.of(for_whom);
        self.most_idle_where(|whose| !self.are_very_many(own) || 2 * self.clients.of(whose) >= own)
    }

    fn most_idle_where(&self, may_be: impl Fn(Whose) -> bool) -> Option<(Whose, usize)> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (whose, count) = idle.iter().filter(|(whose, _)| may_be(**whose)).max_by_key(|(_, count)| **count)?;
        // Some at once: in a crowd not everybody who comes has to look for one.
        Some((*whose, count.div_ceil(8)))
    }

    /// Whether there may be one more than `connections_max` for the moment until others are closed.
    pub(in crate::listen) fn may_exceed(&self) -> bool {
        self.connections().saturating_sub(self.max()) <= EXCESS_MAX
    }

    /// Has the threads but `own` make room. Whether there will be room: what comes meanwhile is bounded.
    pub(in crate::listen) fn ask_for_room(&self, own: usize, room: Room) -> bool {
        let may_exceed = self.may_exceed();
        let others = self.hand_over.iter().enumerate().filter(|(index, _)| *index != own);
        let sent = others.filter(|(_, thread)| thread.send(Sent::Room(room)).is_ok()).count();
        sent > 0 && may_exceed
    }

    /// Counts a connection accepted by thread `own`, on the thread that shall serve it.
    ///
    /// The kernel spreads connections by a hash, which with few of them leaves a thread idle; handing over costs a wake-up,
    /// which a connection per request would feel. So a connection moves only where the imbalance is worth it: one and an
    /// eighth more than the least loaded thread.
    pub(in crate::listen) fn place(self: &Arc<Self>, own: usize, whose: Whose) -> Counted {
        let load = |index: usize| self.open[index].load(Ordering::Relaxed);
        let least = (0..self.open.len()).min_by_key(|&index| load(index)).unwrap_or(own);
        let slack = 1 + load(least) / 8;
        let index = if load(own) > load(least) + slack { least } else { own };
        self.open[index].fetch_add(1, Ordering::Relaxed);
        let cell = self.clients.cell_of(whose);
        cell.inspect(|cell| _ = self.clients.add(*cell, 1));
        Counted { threads: Arc::clone(self), index, parked: None, cell }
    }
}

impl Counted {
    /// The thread it is counted on.
    pub(in crate::listen) fn thread(&self) -> usize {
        self.index
    }

    /// All threads, which count it.
    pub(in crate::listen) fn threads(&self) -> &Threads {
        &self.threads
    }

    /// Where its client is counted.
    pub(in crate::listen) fn cell(&self) -> Option<CellOf> {
        self.cell
    }

    /// Its client is that one, as a proxy in front of us has told.
    pub(in crate::listen) fn belongs_to(&mut self, whose: Whose) {
        let cell = self.threads.clients.cell_of(whose);
        cell.inspect(|cell| _ = self.threads.clients.add(*cell, 1));
        self.cell.inspect(|cell| self.threads.clients.subtract(*cell, 1));
        self.cell = cell;
    }

    /// It is parked, as one of that client.
    pub(in crate::listen) fn park(&mut self, whose: Whose) {
        self.unpark();
        self.parked = Some(whose);
        self.threads.parked.fetch_add(1, Ordering::Relaxed);
        let mut idle = self.threads.idle.lock().unwrap_or_else(PoisonError::into_inner);
        *idle.entry(whose).or_default() += 1;
    }

    /// It is parked no longer.
    pub(in crate::listen) fn unpark(&mut self) {
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
    pub(in crate::listen) fn parked_for(&self) -> Option<Whose> {
        self.parked
    }

    /// Sends the connection to that thread.
    pub(in crate::listen) fn hand_over(self, socket: Socket, peer: Peer) {
        // A runtime or a thread that ended with the process: nothing to serve either way.
        if let Some(bare) = socket.into_bare() {
            let threads = Arc::clone(&self.threads);
            let _ = threads.hand_over[self.index].send(Sent::Connection(Handed { bare, peer, counted: self }));
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.unpark();
        self.threads.open[self.index].fetch_sub(1, Ordering::Relaxed);
        self.cell.inspect(|cell| self.threads.clients.subtract(*cell, 1));
    }
}

impl Handed {
    /// Takes the connection to this thread.
    pub(in crate::listen) fn arrive(self) -> (Socket, Peer, Counted) {
        (self.bare.into(), self.peer, self.counted)
    }
}

/// Connections above `connections_max` whose room is being made by other threads: descriptors are set aside for as many.
const EXCESS_MAX: usize = 16;
/// A sixteenth of the places, for which a client with more than half of them is no candidate.
const LEFT_TO_OTHERS: usize = 16;
/// An eighth of the places: no client in a crowd has as many, even where several share a cell.
const VERY_MANY: usize = 8;
/// Who was told 503 comes again after a second, or two.
const LATELY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::net::Client;

    #[test]
    fn of_sixty_four_connections_no_thread_has_more_than_a_quarter_above_its_share() {
        for count in [2, 4, 8, 16] {
            // All of them arrive at one thread, or wherever a hash throws them.
            for seed in 0..50 {
                let mut rng = StdRng::seed_from_u64(seed);
                let (threads, _receivers) = Threads::new(count, 100);
                let at = |rng: &mut StdRng| if seed == 0 { 0 } else { rng.random_range(0..count) };
                let counted: Vec<_> = (0..64).map(|_| threads.place(at(&mut rng), None)).collect();
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
        assert_eq!(threads.most_idle(None), None);
        let mut counted: Vec<_> = (0..6).map(|_| threads.place(0, None)).collect();
        for (counted, last) in counted.iter_mut().zip([1, 2, 2, 3, 2, 1]) {
            counted.park(client(last));
        }
        assert_eq!((threads.most_idle(None), threads.parked()), (Some((client(2), 1)), 6));
        assert!(threads.ask_for_room(0, Room::Idle(client(2), 1)));
        assert!(matches!(receivers[1].try_recv(), Ok(Sent::Room(Room::Idle(whose, 1))) if whose == client(2)));
        assert!(receivers[0].try_recv().is_err());
        counted.remove(2);
        counted[1].unpark();
        assert_eq!((threads.most_idle(None), threads.parked()), (Some((client(1), 1)), 4));
        let _many: Vec<_> = (0..18).map(|_| threads.place(0, None)).collect();
        assert!(!threads.ask_for_room(0, Room::Idle(client(1), 1)), "too many wait for it already");
        drop(counted);
        assert_eq!((threads.most_idle(None), threads.parked()), (None, 0));
    }

    #[test]
    fn a_client_alone_has_all_places_and_leaves_some_once_others_come() {
        let (threads, _receivers) = Threads::new(2, 32);
        let [one, other] = [1, 2].map(|last| Some(Client::of([192, 0, 2, last].into())));
        let mut counted: Vec<_> = (0..32).map(|_| threads.place(0, one)).collect();
        assert!(!threads.are_full_for(one), "alone");
        threads.has_refused(one);
        assert!(!threads.are_full_for(one), "its own refusals are none of others");
        threads.has_refused(other);
        assert!(threads.are_full_for(one) && !threads.are_full_for(other));
        counted.truncate(30);
        assert!(!threads.are_full_for(one));
        let (threads, _receivers) = Threads::new(2, 32);
        let _other = threads.place(0, other);
        let _unix: Vec<_> = (0..29).map(|_| threads.place(0, None)).collect();
        let _one = threads.place(0, one);
        assert!(!threads.are_full_for(None) && !threads.are_full_for(one), "nobody has more than half");
        assert_eq!(threads.greatest_besides(other), None, "nobody is singled out");
    }

    #[test]
    fn who_has_most_makes_room_for_others_and_takes_nothing_from_those_that_have_few() {
        let (threads, _receivers) = Threads::new(2, 16);
        let [one, few] = [1, 2].map(|last| Some(Client::of([192, 0, 2, last].into())));
        let _many: Vec<_> = (0..12).map(|_| threads.place(0, one)).collect();
        let mut idle: Vec<_> = (0..4).map(|_| threads.place(0, few)).collect();
        idle.iter_mut().for_each(|counted| counted.park(few));
        assert_eq!(threads.greatest_besides(few), threads.clients.cell_of(one));
        assert_eq!(threads.greatest_besides(None), threads.clients.cell_of(one));
        assert_eq!(threads.greatest_besides(one), None);
        assert_eq!((threads.most_idle(one), threads.most_idle(None)), (None, Some((few, 1))));
    }

    #[test]
    fn connections_are_counted_until_they_end() {
        let (threads, _receivers) = Threads::new(2, 1);
        let first = threads.place(0, None);
        assert!(!threads.are_full_for(None));
        let second = threads.place(0, None);
        assert!(threads.are_full_for(None));
        drop(second);
        assert!(!threads.are_full_for(None));
        drop(first);
    }
}
