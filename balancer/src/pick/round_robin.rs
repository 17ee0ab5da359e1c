//! `round_robin`: each in turn, smooth by weight.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::sequence::Sequence;

/// Takes the next turns until one falls on an endpoint that may be picked.
///
/// A turn that falls on another is used up, so that the turns of an endpoint that is out are spread over all others
/// instead of doubling its neighbour's.
pub(super) fn pick(sequence: &Sequence, cursor: &AtomicUsize, may: impl Fn(usize) -> bool) -> Option<usize> {
    (0..sequence.len()).find_map(|_| {
        let index = sequence.at(cursor.fetch_add(1, Ordering::Relaxed))?;
        may(index).then_some(index)
    })
}
