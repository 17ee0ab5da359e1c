//! `least_connections`: fewest requests in flight for its weight.
//!
//! The loads alone are compared first, which is little for each of two thousand; whether an endpoint may be picked is asked of the emptiest, and
//! of the next where it may not.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

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
    let whole = u64::from(weight_max) * u64::from(WHOLE);
    let first = cursor.fetch_add(1, Relaxed) % endpoints.len().max(1);
    let (mut asked, mut suspect) = (None, None);
    for _ in 0..ASKED_MAX {
        let Some(load) = least(loads(endpoints, first), whole, asked.as_ref()) else { return suspect };
        if may(load.index) {
            if load.offset == 0 || !endpoints[load.index].is_suspect() {
                return Some(load.index);
            }
            suspect.get_or_insert(load.index);
        }
        asked = Some(load);
    }
    // Many are out: each is asked once.
    let allowed = loads(endpoints, first).filter(|load| may(load.index));
    let (suspects, others): (Vec<Load>, Vec<Load>) = allowed.partition(|load| endpoints[load.index].is_suspect());
    let turn = suspects.iter().find(|load| load.offset == 0);
    let best = least(others.into_iter().chain(turn.copied()), whole, None);
    best.or_else(|| least(suspects.into_iter(), whole, None)).map(|load| load.index)
}

/// Of all, beginning with the one whose turn it is.
fn loads(endpoints: &[Arc<Endpoint>], first: usize) -> impl Iterator<Item = Load> {
    let (before, behind) = endpoints.split_at(first);
    let of_behind = behind.iter().enumerate().map(move |(at, endpoint)| Load::of(at, first + at, endpoint));
    of_behind.chain(before.iter().enumerate().map(|(at, endpoint)| Load::of(behind.len() + at, at, endpoint)))
}

/// The least, of equals the one whose turn comes first; of those behind `asked`. Nobody is emptier than one that is idle and has the
/// `whole` weight.
fn least(loads: impl Iterator<Item = Load>, whole: u64, asked: Option<&Load>) -> Option<Load> {
    let mut least: Option<Load> = None;
    for load in loads {
        if asked.is_some_and(|asked| load.order(asked).is_le()) {
            continue;
        }
        if least.as_ref().is_none_or(|least| load.order(least).is_lt()) {
            least = Some(load);
            if load.requests == 1 && load.weight >= whole {
                break;
            }
        }
    }
    least
}

/// Requests in flight with one more, and the weight they are divided by.
#[derive(Debug, Clone, Copy)]
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

    /// a/b against c/d without division, then by turns.
    fn order(&self, other: &Self) -> Ordering {
        (self.requests * other.weight).cmp(&(other.requests * self.weight)).then(self.offset.cmp(&other.offset))
    }
}

/// With more that are out, looking at all of them once costs less.
const ASKED_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::config::Address;

    fn endpoints(weights: impl Iterator<Item = u16>) -> Vec<Arc<Endpoint>> {
        let named = |(index, weight)| Endpoint::new(format!("app.{index}"), Address::Unix("/s".into()), weight, false);
        weights.enumerate().map(named).collect()
    }

    #[test]
    fn it_is_the_least_of_those_that_may_be_picked_however_many_may_not() {
        let mut rng = SmallRng::seed_from_u64(7);
        for round in 0..500 {
            let of_weight = [1, 4][round % 2];
            let all = endpoints((0..40).map(|_| rng.random_range(1..=of_weight)));
            let held: Vec<_> =
                (0..rng.random_range(0..200)).filter_map(|_| all[rng.random_range(0..40)].claim()).collect();
            let out = rng.random_range(0..40);
            let may = |index: usize| (index * 7 + round) % 40 >= out;
            let cursor = AtomicUsize::new(rng.random_range(0..1_000));
            let first = cursor.load(Relaxed) % 40;
            let expected = loads(&all, first).filter(|load| may(load.index)).min_by(Load::order);
            assert_eq!(pick(&all, of_weight, &cursor, may), expected.map(|load| load.index), "{}", held.len());
        }
    }

    #[test]
    fn of_two_thousand_that_are_all_busy_one_is_asked() {
        let all = endpoints((0..2_000).map(|_| 1));
        let mut held: Vec<_> = all.iter().flat_map(|endpoint| [endpoint.claim(), endpoint.claim()]).collect();
        held.remove(1_501);
        let (cursor, asked) = (AtomicUsize::new(0), Cell::new(0));
        let may = |_| {
            asked.set(asked.get() + 1);
            true
        };
        assert_eq!((pick(&all, 1, &cursor, may), asked.get()), (Some(750), 1));
    }

    /// `cargo test --release -p balancer --lib figures_of_least -- --ignored --nocapture`, in a release build.
    #[test]
    #[ignore = "prints how long a pick takes"]
    fn figures_of_least_connections() {
        for count in [1, 100, 2_000] {
            let all = endpoints((0..count).map(|_| 1));
            let held: Vec<_> = all.iter().map(Endpoint::claim).collect();
            let cursor = AtomicUsize::new(0);
            let batch = |_| {
                let begun = std::time::Instant::now();
                (0..100).for_each(|_| _ = std::hint::black_box(pick(&all, 1, &cursor, |index| all[index].accepts())));
                begun.elapsed() / 100
            };
            println!("{count} busy endpoints: {:?} a pick ({})", (0..200).map(batch).min().unwrap(), held.len());
        }
    }
}
