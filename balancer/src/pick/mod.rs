//! Policies: which of the candidates gets the request.
//!
//! Decides by number in the candidate list, nothing else; one file per policy, all of one shape. Called by `pool` with
//! what may be picked now. Never counts, claims or waits.

mod hash;
mod least_connections;
mod random;
mod round_robin;
mod sequence;
mod two_choices;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use rand::{Rng, RngExt};

use crate::config;
use crate::endpoint::{Endpoint, WHOLE};
pub use hash::mix;
use sequence::Sequence;

/// A policy made ready for one list of endpoints.
#[derive(Debug)]
pub struct Picker {
    policy: Policy,
    endpoints: Vec<Arc<Endpoint>>,
    sequence: Sequence,
}

#[derive(Debug)]
enum Policy {
    RoundRobin,
    LeastConnections { weight_max: u16 },
    TwoChoices,
    Random,
    Hash(hash::Names),
}

/// What a pick may look at besides the endpoints.
#[derive(Debug)]
pub struct Turn<'a, R> {
    /// The pool's cursor: one for all threads, so that endpoints alternate whatever thread a request lands on.
    pub cursor: &'a AtomicUsize,
    /// Hash of the request's key, for `hash`.
    pub key: u64,
    /// Randomness.
    pub rng: &'a mut R,
}

impl Picker {
    /// Prepares `policy` for `endpoints`, whose order decides whose turn comes first.
    pub fn new(policy: &config::Policy, endpoints: Vec<Arc<Endpoint>>) -> Self {
        let weights: Vec<u16> = endpoints.iter().map(|endpoint| endpoint.weight()).collect();
        let policy = match policy {
            config::Policy::RoundRobin => Policy::RoundRobin,
            config::Policy::LeastConnections => {
                Policy::LeastConnections { weight_max: weights.iter().copied().max().unwrap_or(1) }
            }
            config::Policy::TwoChoices => Policy::TwoChoices,
            config::Policy::Random => Policy::Random,
            config::Policy::Hash(_) => Policy::Hash(hash::Names::new(&endpoints)),
        };
        Self { policy, sequence: Sequence::new(&weights), endpoints }
    }

    /// The endpoints, in order.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Picks among the endpoints that `eligible` lets pass; `None` when it lets none pass.
    pub fn pick<R: Rng>(
        &self,
        turn: &mut Turn<'_, R>,
        eligible: impl Fn(&Arc<Endpoint>) -> bool,
    ) -> Option<&Arc<Endpoint>> {
        let endpoints = &self.endpoints[..];
        let may = |index: usize| endpoints.get(index).is_some_and(&eligible);
        // An endpoint that ramps up passes on as many of its turns as its share is short of the whole.
        let dice = turn.rng.random_range(0..WHOLE);
        let takes_turn = |index: usize| may(index) && endpoints[index].share() > dice;
        let index = match &self.policy {
            Policy::RoundRobin => round_robin::pick(&self.sequence, turn.cursor, takes_turn)
                .or_else(|| round_robin::pick(&self.sequence, turn.cursor, may)),
            Policy::LeastConnections { weight_max } => {
                least_connections::pick(endpoints, *weight_max, turn.cursor, may)
            }
            Policy::TwoChoices => two_choices::pick(endpoints, &self.sequence, turn.rng, takes_turn)
                .or_else(|| two_choices::pick(endpoints, &self.sequence, turn.rng, may)),
            Policy::Random => random::pick(&self.sequence, turn.rng, takes_turn)
                .or_else(|| random::pick(&self.sequence, turn.rng, may)),
            Policy::Hash(names) => hash::pick(names, endpoints, turn.key, may),
        };
        // A draw that met only endpoints it may not take is settled by looking at each once.
        index.or_else(|| (0..endpoints.len()).find(|&index| may(index))).map(|index| &endpoints[index])
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::config::{Address, HashKey, Policy as P};

    fn endpoints(weights: &[u16]) -> Vec<Arc<Endpoint>> {
        let unix = |index: usize| Address::Unix(format!("/s{index}").into());
        weights.iter().enumerate().map(|(i, &w)| Endpoint::new(format!("app.{}", i + 1), unix(i), w, false)).collect()
    }

    fn shares(policy: P, weights: &[u16], picks: usize, eligible: impl Fn(usize) -> bool) -> Vec<usize> {
        let picker = Picker::new(&policy, endpoints(weights));
        let (cursor, mut rng) = (AtomicUsize::new(0), SmallRng::seed_from_u64(7));
        let mut counts = vec![0; weights.len()];
        for key in 0..picks {
            let key = (key as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut turn = Turn { cursor: &cursor, key, rng: &mut rng };
            let index_of = |e: &Arc<Endpoint>| e.name()[4..].parse::<usize>().unwrap() - 1;
            let picked = picker.pick(&mut turn, |e| eligible(index_of(e))).unwrap();
            counts[index_of(picked)] += 1;
        }
        counts
    }

    const ALL: [P; 5] = [P::RoundRobin, P::LeastConnections, P::TwoChoices, P::Random, P::Hash(HashKey::ClientIp)];

    #[test]
    fn every_policy_shares_by_weight() {
        for policy in [P::RoundRobin, P::Random, P::TwoChoices, P::Hash(HashKey::ClientIp)] {
            let counts = shares(policy.clone(), &[1, 2, 5], 80_000, |_| true);
            for (count, weight) in counts.iter().zip([1, 2, 5]) {
                let expected = 10_000 * weight;
                assert!(count.abs_diff(expected) < expected / 10, "{policy:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn no_policy_picks_what_is_not_eligible_and_each_finds_the_last_one_that_is() {
        for policy in ALL {
            assert_eq!(shares(policy.clone(), &[1, 1, 1], 30, |i| i != 1)[1], 0, "{policy:?}");
            assert_eq!(shares(policy.clone(), &[256, 1, 256], 30, |i| i == 1), [0, 30, 0], "{policy:?}");
        }
    }

    #[test]
    fn nothing_eligible_is_no_pick() {
        for policy in ALL {
            let picker = Picker::new(&policy, endpoints(&[1, 1]));
            let (cursor, mut rng) = (AtomicUsize::new(0), SmallRng::seed_from_u64(7));
            assert!(picker.pick(&mut Turn { cursor: &cursor, key: 1, rng: &mut rng }, |_| false).is_none());
        }
    }

    #[test]
    fn an_endpoint_that_is_out_gives_its_turns_to_the_others_evenly() {
        let counts = shares(P::RoundRobin, &[1, 1, 1, 1], 3_000, |i| i != 2);
        assert_eq!(counts, [1_000, 1_000, 0, 1_000]);
    }

    #[test]
    fn least_connections_prefers_the_emptier_for_its_weight() {
        let endpoints = endpoints(&[1, 3]);
        let picker = Picker::new(&P::LeastConnections, endpoints.clone());
        let (cursor, mut rng) = (AtomicUsize::new(0), SmallRng::seed_from_u64(7));
        let mut places = Vec::new();
        for _ in 0..8 {
            let mut turn = Turn { cursor: &cursor, key: 0, rng: &mut rng };
            places.push(picker.pick(&mut turn, |_| true).unwrap().claim().unwrap());
        }
        assert_eq!([endpoints[0].in_flight(), endpoints[1].in_flight()], [2, 6]);
    }

    #[test]
    fn among_many_an_idle_endpoint_is_found_without_looking_at_all() {
        let endpoints = endpoints(&[1; 2_000]);
        for policy in [P::LeastConnections, P::Hash(HashKey::Uri)] {
            let picker = Picker::new(&policy, endpoints.clone());
            let (cursor, mut rng) = (AtomicUsize::new(0), SmallRng::seed_from_u64(7));
            let asked = std::cell::Cell::new(0);
            for key in 0..100_u64 {
                let mut turn = Turn { cursor: &cursor, key: key.wrapping_mul(0x9E37_79B9_7F4A_7C15), rng: &mut rng };
                let ask = |_: &Arc<Endpoint>| {
                    asked.set(asked.get() + 1);
                    true
                };
                picker.pick(&mut turn, ask).unwrap();
            }
            assert!(asked.get() <= 200, "{policy:?}: {} of 100 picks", asked.get());
        }
    }

    #[test]
    fn few_keys_move_when_an_endpoint_leaves() {
        let all = endpoints(&[1; 10]);
        let policy = P::Hash(HashKey::Uri);
        let (before, after) = (Picker::new(&policy, all.clone()), Picker::new(&policy, all[..9].to_vec()));
        let (cursor, mut rng) = (AtomicUsize::new(0), SmallRng::seed_from_u64(7));
        for key in 0..10_000_u64 {
            let key = xxhash_rust::xxh3::xxh3_64(&key.to_le_bytes());
            let mut at = |picker: &Picker| {
                picker.pick(&mut Turn { cursor: &cursor, key, rng: &mut rng }, |_| true).unwrap().id()
            };
            let (was, is) = (at(&before), at(&after));
            assert!(was == is || was == all[9].id(), "a key moved that had no reason to");
        }
    }
}
