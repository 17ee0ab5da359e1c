//! `hash`: by a key, so that few keys move when endpoints come and go.
//!
//! Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights after Schindelhain and Schomaker 2005): each endpoint
//! draws a number from the key, the best draw wins. An endpoint that leaves moves its own keys only, and these spread
//! over all others. All draws of a key are made, so what they are made from lies together: two thousand cost a few microseconds.

use std::sync::Arc;

use crate::endpoint::{Endpoint, WHOLE};

/// What endpoints draw with, those of one weight together.
#[derive(Debug)]
pub(super) struct Names(Vec<Group>);

#[derive(Debug)]
struct Group {
    weight: f64,
    /// The hash of an endpoint's name, and its index.
    members: Vec<(u64, usize)>,
}

impl Names {
    pub(super) fn new(endpoints: &[Arc<Endpoint>]) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for (index, endpoint) in endpoints.iter().enumerate() {
            let (weight, member) = (f64::from(endpoint.weight()), (endpoint.name_hash(), index));
            match groups.iter_mut().find(|group| group.weight == weight) {
                Some(group) => group.members.push(member),
                None => groups.push(Group { weight, members: vec![member] }),
            }
        }
        Self(groups)
    }

    /// Who has the best draw if everybody may be picked and has the whole of its weight. Of one weight it is who draws the largest number,
    /// so there is one logarithm for all of them.
    fn best(&self, key: u64) -> Option<usize> {
        let best = |group: &Group| {
            let (number, index) = group
                .members
                .iter()
                .map(|&(hash, index)| (mix(key ^ hash), index))
                .max_by_key(|&(number, _)| number)?;
            Some((-uniform(number).ln() / group.weight, index))
        };
        self.0.iter().filter_map(best).min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, index)| index)
    }
}

/// The endpoint with the best draw among those that may be picked.
pub(super) fn pick(names: &Names, endpoints: &[Arc<Endpoint>], key: u64, may: impl Fn(usize) -> bool) -> Option<usize> {
    // A smaller share only makes a draw worse: with the whole of its own, the best stays the best.
    let best = names.best(key).filter(|&index| may(index) && endpoints[index].share() == WHOLE);
    best.or_else(|| among(endpoints, key, may))
}

fn among(endpoints: &[Arc<Endpoint>], key: u64, may: impl Fn(usize) -> bool) -> Option<usize> {
    (0..endpoints.len())
        .filter(|&index| may(index))
        .map(|index| (index, draw(key, &endpoints[index])))
        .min_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(index, _)| index)
}

/// An exponentially distributed number with the endpoint's weight as its rate: the smallest of several falls on each with
/// a probability proportional to its weight. One that ramps up has a smaller weight, so its keys come to it by and by.
fn draw(key: u64, endpoint: &Endpoint) -> f64 {
    -uniform(mix(key ^ endpoint.name_hash())).ln() / (f64::from(endpoint.weight()) * f64::from(endpoint.share()))
}

/// Between 0 and 1, neither of them.
fn uniform(number: u64) -> f64 {
    ((number >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a number that depends on every bit of `x`.
#[inline]
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    #[test]
    fn the_short_way_comes_to_the_same_as_asking_each_of_many_of_several_weights() {
        let weights = [1, 3, 1, 2, 256, 3, 1, 1, 7, 2, 1, 9];
        let unix = |index: usize| Address::Unix(format!("/s{index}").into());
        let named = |(index, &weight): (usize, &u16)| Endpoint::new(format!("app.{index}"), unix(index), weight, false);
        let endpoints: Vec<_> = weights.iter().enumerate().map(named).collect();
        let names = Names::new(&endpoints);
        for key in (0..20_000_u64).map(mix) {
            for out in [None, Some(4), names.best(key)] {
                let may = |index| Some(index) != out;
                assert_eq!(pick(&names, &endpoints, key, may), among(&endpoints, key, may));
            }
        }
    }
}
