//! Bytes held for slow clients, counted over the whole process.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What all bodies that wait for clients may take together. Above it they stream, at the pace of their clients.
#[derive(Debug)]
pub(super) struct Budget {
    held: AtomicUsize,
    max: usize,
    /// Whether it has been said that there is no more.
    said: AtomicBool,
}

/// A part of a budget; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Reserved {
    budget: &'static Budget,
    bytes: usize,
}

impl Budget {
    const fn new(max: usize) -> Self {
        Self { held: AtomicUsize::new(0), max, said: AtomicBool::new(false) }
    }

    fn take(&self, bytes: usize) -> bool {
        let grown = self.held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if grown > self.max {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            if !self.said.swap(true, Ordering::Relaxed) {
                let mib = self.max >> 20;
                tracing::warn!("bodies held for slow clients take {mib} MiB, as much as they may: others stream");
            }
            return false;
        }
        true
    }

    fn give(&self, bytes: usize) {
        let left = self.held.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        // Said again when it was half empty in between.
        if left < self.max / 2 && self.said.load(Ordering::Relaxed) {
            self.said.store(false, Ordering::Relaxed);
        }
    }
}

impl Reserved {
    /// Nothing of the process's budget yet.
    pub(super) fn new() -> Self {
        Self { budget: &PROCESS, bytes: 0 }
    }

    /// How much it is.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes so much more; whether there was as much.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let taken = self.budget.take(bytes);
        self.bytes += if taken { bytes } else { 0 };
        taken
    }

    /// Gives so much back, or what there is.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.give(bytes);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// What a piece of a body with so many bytes takes in memory.
///
/// Each is an entry of a queue that grows by doubling, about 100 bytes, and keeps what stood around it on the wire: a body of
/// chunks of one byte takes a hundred times what it says.
pub(super) fn taken_by(bytes: usize) -> usize {
    bytes + PIECE
}

const PIECE: usize = 256;

/// 256 MiB: 128 slow clients with both bodies full.
static PROCESS: Budget = Budget::new(256 << 20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_more_than_there_is_and_what_is_dropped_comes_back() {
        static BUDGET: Budget = Budget::new(100);
        let reserved = || Reserved { budget: &BUDGET, bytes: 0 };
        let (mut one, mut two) = (reserved(), reserved());
        assert!(one.grow(60) && two.grow(40) && !two.grow(1));
        assert!(BUDGET.said.load(Ordering::Relaxed));
        one.shrink(70);
        assert!(two.grow(60) && !one.grow(1));
        drop(two);
        assert_eq!(BUDGET.held.load(Ordering::Relaxed), 0);
        assert!(!BUDGET.said.load(Ordering::Relaxed), "it will be said again");
    }
}
