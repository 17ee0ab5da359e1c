//! `two_choices`: the better of two drawn at random.
//!
//! Nearly as even as looking at all, and no herd towards the one that just became free (Mitzenmacher, "The power of two
//! choices in randomized load balancing", 2001).

use std::sync::Arc;

use rand::Rng;

use super::random::{self, DRAWS};
use super::sequence::Sequence;
use crate::endpoint::Endpoint;

/// Draws two that may be picked, by weight, and takes the one with fewer requests in flight for its weight; of equals, the
/// first, so that an idle pool is shared by weight.
///
/// Who fails fast is always empty: an endpoint whose last request failed is taken as the first of the two, if it has no more
/// in flight, and never as the better one.
pub(super) fn pick(
    endpoints: &[Arc<Endpoint>],
    sequence: &Sequence,
    rng: &mut impl Rng,
    may: impl Fn(usize) -> bool,
) -> Option<usize> {
    let first = random::pick(sequence, rng, &may)?;
    let second = (0..DRAWS).find_map(|_| random::pick(sequence, rng, &may).filter(|&second| second != first));
    let Some(second) = second else { return Some(first) };
    let [one, two] = [first, second].map(|index| &endpoints[index]);
    // a/b < c/d without division
    let better = two.in_flight() as u64 * weight(one) < one.in_flight() as u64 * weight(two);
    Some(if better && !two.is_suspect() { second } else { first })
}

fn weight(endpoint: &Endpoint) -> u64 {
    u64::from(endpoint.weight()) * u64::from(endpoint.share())
}
