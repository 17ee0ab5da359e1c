//! `hash`: by a key, so that few keys move when endpoints come and go.
//!
//! Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights after Schindelhain and Schomaker 2005): each endpoint
//! draws a number from the key, the best draw wins. An endpoint that leaves moves its own keys only, and these spread
//! over all others; there is no table to build, and a pool has tens of endpoints, not thousands.

use std::sync::Arc;

use crate::endpoint::Endpoint;

/// The endpoint with the best draw among those that may be picked.
pub(super) fn pick(endpoints: &[Arc<Endpoint>], key: u64, may: impl Fn(usize) -> bool) -> Option<usize> {
    (0..endpoints.len())
        .filter(|&index| may(index))
        .map(|index| (index, draw(key, &endpoints[index])))
        .min_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(index, _)| index)
}

/// An exponentially distributed number with the endpoint's weight as its rate: the smallest of several falls on each with
/// a probability proportional to its weight. One that ramps up has a smaller weight, so its keys come to it by and by.
fn draw(key: u64, endpoint: &Endpoint) -> f64 {
    let uniform = ((mix(key ^ endpoint.name_hash()) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -uniform.ln() / (f64::from(endpoint.weight()) * f64::from(endpoint.share()))
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
