//! Which worker gets a connection: pure.
//!
//! Decides by the pool's policy among workers that take connections. Called by `desk`. Never counts or remembers anything: the cursor
//! is the caller's.

use rand::{Rng, RngExt};

use crate::config::Policy;
use crate::pick::mix;

/// What is known of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TakerState {
    /// Of its name, which its successor has too.
    pub(super) name_hash: u64,
    /// Connections it was handed and has not closed.
    pub(super) open: u64,
    /// Whether it takes one.
    pub(super) may: bool,
}

/// The index of the worker that gets the connection of the client `key`; `None` where nobody may. `counted`: whether `open` is known.
/// `turn` goes up by one with each connection.
pub(super) fn choose(
    policy: &Policy,
    candidates: &[TakerState],
    counted: bool,
    (turn, key): (usize, u64),
    rng: &mut impl Rng,
) -> Option<usize> {
    let may: Vec<usize> = (0..candidates.len()).filter(|&index| candidates[index].may).collect();
    if may.is_empty() {
        return None;
    }
    let in_turn = || {
        let from = turn % candidates.len();
        may.iter().copied().min_by_key(|index| (index + candidates.len() - from) % candidates.len())
    };
    match policy {
        Policy::RoundRobin => in_turn(),
        // Where nobody tells of its connections, all are alike, and each has its turn.
        Policy::LeastConnections | Policy::TwoChoices if !counted => in_turn(),
        Policy::LeastConnections => {
            let from = turn % candidates.len();
            let behind = |index: usize| (index + candidates.len() - from) % candidates.len();
            may.iter().copied().min_by_key(|&index| (candidates[index].open, behind(index)))
        }
        Policy::TwoChoices => {
            let mut draw = || may[rng.random_range(0..may.len())];
            let (one, other) = (draw(), draw());
            Some(if candidates[other].open < candidates[one].open { other } else { one })
        }
        Policy::Random => Some(may[rng.random_range(0..may.len())]),
        // Rendezvous hashing (Thaler and Ravishankar 1998): a worker that leaves moves its own clients only.
        Policy::Hash(_) => may.iter().copied().max_by_key(|&index| mix(key ^ candidates[index].name_hash)),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::config::HashKey;

    fn candidates(open: &[u64]) -> Vec<TakerState> {
        let one = |(index, &open): (usize, &u64)| TakerState { name_hash: mix(index as u64 + 1), open, may: true };
        open.iter().enumerate().map(one).collect()
    }

    fn pick(policy: &Policy, candidates: &[TakerState], turn: usize, key: u64) -> Option<usize> {
        choose(policy, candidates, true, (turn, key), &mut SmallRng::seed_from_u64(key))
    }

    #[test]
    fn each_has_its_turn_and_who_takes_none_is_passed_over() {
        let mut all = candidates(&[0; 3]);
        let turns = |all: &[TakerState]| (0..6).map(|turn| pick(&Policy::RoundRobin, all, turn, 0)).collect::<Vec<_>>();
        assert_eq!(turns(&all), [0, 1, 2, 0, 1, 2].map(Some));
        all[1].may = false;
        assert_eq!(turns(&all), [0, 2, 2, 0, 2, 2].map(Some));
    }

    #[test]
    fn the_fewest_connections_win_and_among_equals_it_is_whose_turn_it_is() {
        let all = candidates(&[3, 1, 1]);
        let got: Vec<_> = (0..3).map(|turn| pick(&Policy::LeastConnections, &all, turn, 0).unwrap()).collect();
        assert_eq!(got, [1, 1, 2]);
        let uncounted = choose(&Policy::LeastConnections, &all, false, (0, 0), &mut SmallRng::seed_from_u64(1));
        assert_eq!(uncounted, Some(0));
        let two = (0..100).filter(|key| pick(&Policy::TwoChoices, &all, 0, *key) == Some(0)).count();
        // Both draws fall on the fullest once in nine times.
        assert!(two < 30, "{two}");
    }

    #[test]
    fn a_client_stays_with_its_worker_when_another_leaves() {
        let policy = Policy::Hash(HashKey::ClientIp);
        let all = candidates(&[0; 5]);
        let mut fewer = all.clone();
        fewer[4].may = false;
        let mut counts = [0_usize; 5];
        for key in (0..10_000_u64).map(mix) {
            let (before, after) = (pick(&policy, &all, 0, key).unwrap(), pick(&policy, &fewer, 7, key).unwrap());
            assert!(before == after || before == 4);
            counts[before] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(2_000) < 300), "{counts:?}");
    }

    #[test]
    fn nobody_is_picked_where_nobody_may() {
        let mut all = candidates(&[0, 0]);
        all.iter_mut().for_each(|one| one.may = false);
        for policy in [Policy::RoundRobin, Policy::LeastConnections, Policy::TwoChoices, Policy::Random] {
            assert_eq!(pick(&policy, &all, 3, 1), None);
            assert_eq!(pick(&policy, &[], 3, 1), None);
        }
    }
}
