//! Whose turn it is. Decides nothing; advanced by the policies that take turns. Never belongs to one thread.

use std::sync::atomic::AtomicUsize;

/// Whose turn it is, for all threads.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    pub(super) first: AtomicUsize,
    /// A retry takes nobody's turn: with one cursor and two endpoints, all first attempts would go to the one that fails.
    pub(super) retry: AtomicUsize,
}
