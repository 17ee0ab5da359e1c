//! `least_connections`: fewest requests in flight for its weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::endpoint::{Endpoint, WHOLE};

/// The smallest (in flight + 1) / weight; equals take turns. `weight_max` is the largest weight there is.
///
/// Who fails fast is always empty. So an endpoint whose last request failed never counts as emptier than the others: it is
/// taken when its turn comes, as in round robin, and no more often.
pub(super) fn pick(
    endpoints: &[Arc<Endpoint>],
    weight_max: u16,
    cursor: &AtomicUsize,
    may: impl Fn(usize) -> bool,
) -> Option<usize> {
    let weight_max = u64::from(weight_max) * u64::from(WHOLE);
    let first = cursor.fetch_add(1, Ordering::Relaxed);
    let turns = (0..endpoints.len()).map(|offset| first.wrapping_add(offset) % endpoints.len());
    let (mut best, mut suspect): (Option<Load>, Option<Load>) = (None, None);
    for (offset, index) in turns.enumerate().filter(|&(_, index)| may(index)) {
        let load = Load::of(offset, index, &endpoints[index]);
        let least = if endpoints[index].is_suspect() { &mut suspect } else { &mut best };
        if least.as_ref().is_none_or(|least| load.is_less_than(least)) {
            // Among many endpoints one is idle most often, and nobody is emptier.
            let is_idle = load.requests == 1 && load.weight >= weight_max && !endpoints[index].is_suspect();
            *least = Some(load);
            if is_idle {
                break;
            }
        }
    }
    let chosen = match (best, suspect) {
        (Some(best), Some(suspect)) if suspect.offset == 0 && !best.is_less_than(&suspect) => suspect,
        (Some(best), _) => best,
        (None, suspect) => suspect?,
    };
    Some(chosen.index)
}

/// Requests in flight with one more, and the weight they are divided by.
struct Load {
    /// How far from the endpoint whose turn it is.
    offset: usize,
    index: usize,
    requests: u64,
    weight: u64,
}

impl Load {
    fn of(offset: usize, index: usize, endpoint: &Endpoint) -> Self {
        let weight = u64::from(endpoint.weight()) * u64::from(endpoint.share());
        Self { offset, index, requests: endpoint.in_flight() as u64 + 1, weight }
    }

    /// a/b < c/d without division.
    fn is_less_than(&self, other: &Self) -> bool {
        self.requests * other.weight < other.requests * self.weight
    }
}
