//! `random`: at random by weight.

use rand::{Rng, RngExt};

use super::sequence::Sequence;

/// Draws until one may be picked, at most [`DRAWS`] times.
pub(super) fn pick(sequence: &Sequence, rng: &mut impl Rng, may: impl Fn(usize) -> bool) -> Option<usize> {
    if sequence.len() == 0 {
        return None;
    }
    (0..DRAWS).find_map(|_| {
        let index = sequence.at(rng.random_range(0..sequence.len()))?;
        may(index).then_some(index)
    })
}

/// Draws of a random policy before every endpoint is looked at in order.
pub(super) const DRAWS: usize = 8;
