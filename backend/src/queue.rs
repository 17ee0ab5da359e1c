//! The bounded queue in front of the model pool's threads.
//!
//! Decides who waits and who is refused: never more than the threads that are free and the places of the queue. Called by `models`.
//! Never touches a connection.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Connections that wait, and threads that serve.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    threads: usize,
    places: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    active: usize,
    refused: u64,
    closed: bool,
}

/// What can be measured of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// Threads that serve a connection.
    pub(crate) active: usize,
    /// All threads.
    pub(crate) threads: usize,
    /// Connections that wait.
    pub(crate) waiting: usize,
    /// How many may.
    pub(crate) places: usize,
    /// Those refused up to now.
    pub(crate) refused: u64,
}

impl<T> Queue<T> {
    pub(crate) fn new(threads: usize, places: usize) -> Self {
        let state = State { waiting: VecDeque::new(), active: 0, refused: 0, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), threads, places }
    }

    /// Takes one in, or gives it back where all threads and all places are taken.
    pub(crate) fn offer(&self, one: T) -> Result<(), T> {
        let mut state = self.lock();
        // Who waits for a thread that is free already is on its way to it.
        if state.active + state.waiting.len() >= self.threads + self.places {
            state.refused += 1;
            return Err(one);
        }
        state.waiting.push_back(one);
        self.changed.notify_one();
        Ok(())
    }

    /// The next for a thread, which is active until it says [`Self::done`]; `None` once the queue is closed and empty.
    pub(crate) fn next(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(one) = state.waiting.pop_front() {
                state.active += 1;
                return Some(one);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The thread has served it.
    pub(crate) fn done(&self) {
        self.lock().active -= 1;
    }

    /// Nobody is taken in any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn load(&self) -> Load {
        let state = self.lock();
        let waiting = state.waiting.len();
        Load { active: state.active, threads: self.threads, waiting, places: self.places, refused: state.refused }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_taken_in_as_there_are_threads_and_places() {
        let queue = Queue::new(2, 1);
        assert_eq!([queue.offer(1), queue.offer(2), queue.offer(3), queue.offer(4)], [Ok(()), Ok(()), Ok(()), Err(4)]);
        assert_eq!(queue.next(), Some(1));
        assert_eq!(queue.offer(5), Err(5), "a thread is taken now, and a place less");
        assert_eq!(queue.load(), Load { active: 1, threads: 2, waiting: 2, places: 1, refused: 2 });
        queue.done();
        assert_eq!(queue.offer(6), Ok(()));
        queue.close();
        assert_eq!([queue.next(), queue.next(), queue.next(), queue.next()], [Some(2), Some(3), Some(6), None]);
    }

    #[test]
    fn without_places_only_a_free_thread_takes_one() {
        let queue = Queue::new(1, 0);
        assert_eq!((queue.offer(1), queue.offer(2)), (Ok(()), Err(2)));
    }
}
