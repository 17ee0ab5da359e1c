//! `least_connections`: fewest requests in flight for its weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::endpoint::Endpoint;

/// The smallest (in flight + 1) / weight; equals take turns.
pub(super) fn pick(endpoints: &[Arc<Endpoint>], cursor: &AtomicUsize, may: impl Fn(usize) -> bool) -> Option<usize> {
    let first = cursor.fetch_add(1, Ordering::Relaxed);
    let turns = (0..endpoints.len()).map(|offset| first.wrapping_add(offset) % endpoints.len());
    let mut best: Option<(usize, u64, u64)> = None;
    for index in turns.filter(|&index| may(index)) {
        let (load, weight) = load(&endpoints[index]);
        // a/b < c/d without division
        if best.is_none_or(|(_, best_load, best_weight)| load * best_weight < best_load * weight) {
            best = Some((index, load, weight));
        }
    }
    best.map(|(index, ..)| index)
}

/// Requests in flight with one more, and the weight they are divided by.
fn load(endpoint: &Endpoint) -> (u64, u64) {
    (endpoint.in_flight() as u64 + 1, u64::from(endpoint.weight()))
}
