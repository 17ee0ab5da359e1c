//! The slow lane: who gets the next free place, a fast request or a slow one. Pure.
//!
//! A request that is expected to be much slower than the rest (see `forecast`) waits in the slow lane, everything else in
//! the fast one. Slow requests together may not take the last places, so that there is nearly always one in which fast ones
//! pass each other quickly. That alone would starve the slow ones when there are many: one that has waited long
//! takes any place that is free, and one that has waited longer yet goes before fast ones. Where nothing is
//! expected to be slow, or nothing is known, this is one plain queue.
//!
//! Requests like those whose clients have kept places that others waited for wait in a third lane. They have one place in
//! four, however long they wait, and hold up neither fast nor slow ones.

use std::time::Duration;

/// Which line a request waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pool) enum Lane {
    /// What is expected to take about as long as the rest, or of what nothing is known.
    Fast,
    /// What is expected to be much slower than the rest.
    Slow,
    /// What may wait for its client as long as others like it did, for which others had to wait.
    Kept,
}

/// What the decision looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes {
    /// Places in all, free or not.
    pub(in crate::pool) places: usize,
    /// Places that slow requests have, those of the third lane among them.
    pub(super) slow_in_flight: usize,
    /// How long the first of the fast lane has waited.
    pub(super) fast: Option<Duration>,
    /// How long the first of the slow lane has waited, and what it may be asked to.
    pub(super) slow: Option<(Duration, Patience)>,
    /// The same of the first of those whose clients have kept places, and the places that such have.
    pub(super) kept: Option<(Duration, Patience, usize)>,
    /// Whether no request of the other lanes has come for a while.
    pub(super) is_calm: bool,
}

/// How long a slow request leaves places to fast ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// From then on it takes a place that is kept free for fast ones.
    pub(in crate::pool) reserve: Duration,
    /// From then on it goes before fast ones that came later.
    pub(super) turn: Duration,
}

/// Who gets a place that is free: the first of which lane, or nobody yet.
pub(in crate::pool) fn next(lanes: &Lanes) -> Option<Lane> {
    let leaves_enough = lanes.slow_in_flight < slow_max(lanes.places);
    // A client that has kept places would keep the next one too, for as long as it takes those who wait to get it back.
    if let Some((waited, patience, in_flight)) = lanes.kept
        && in_flight < kept_max(lanes)
        && (leaves_enough || waited >= patience.reserve)
    {
        let others = [lanes.fast, lanes.slow.map(|(waited, _)| waited)].into_iter().flatten().max();
        if others.is_none_or(|others| waited >= patience.turn.saturating_add(others.saturating_mul(OVERTAKEN))) {
            return Some(Lane::Kept);
        }
    }
    match (lanes.fast, lanes.slow) {
        (None, None) => None,
        (Some(_), None) => Some(Lane::Fast),
        (None, Some((waited, patience))) => (leaves_enough || waited >= patience.reserve).then_some(Lane::Slow),
        (Some(fast), Some((waited, patience))) => {
            // The share of the fast one's wait keeps two lanes that both overflow in step.
            let has_the_turn = waited >= patience.turn.saturating_add(fast.saturating_mul(OVERTAKEN));
            Some(if has_the_turn { Lane::Slow } else { Lane::Fast })
        }
    }
}

impl Lanes {
    /// As if nobody waited in that lane.
    pub(super) fn without(self, lane: Lane) -> Self {
        match lane {
            Lane::Fast => Self { fast: None, ..self },
            Lane::Slow => Self { slow: None, ..self },
            Lane::Kept => Self { kept: None, ..self },
        }
    }
}

impl Patience {
    /// Of a request that is not slow after all.
    pub(super) const NONE: Self = Self { reserve: Duration::ZERO, turn: Duration::ZERO };

    /// Of a request that is expected to take `expected`, where nobody waits longer than `queue_timeout`.
    pub(in crate::pool) fn new(expected: Duration, queue_timeout: Duration) -> Self {
        Self {
            reserve: (expected * RESERVE).min(queue_timeout.mul_f64(0.7)),
            turn: (expected * TURN).min(queue_timeout.mul_f64(0.85)),
        }
    }

    /// Of a request that will wait for its client while it has a place: nobody knows for how long. It takes what is free, and leaves
    /// it to others that wait beside it.
    pub(super) fn streaming(queue_timeout: Duration) -> Self {
        Self { reserve: Duration::ZERO, turn: queue_timeout / 2 }
    }

    /// Of a request like others whose clients have kept places that were waited for.
    pub(super) fn of_slow_clients(queue_timeout: Duration) -> Self {
        Self::new(queue_timeout, queue_timeout)
    }
}

/// Places that requests may have at once whose clients have kept places: one in four; the only one while nobody else asks.
fn kept_max(lanes: &Lanes) -> usize {
    if lanes.places < 2 { usize::from(lanes.is_calm) } else { (lanes.places / 4).max(1) }
}

/// Places that slow requests may have at once: all but one in four, but one at least.
pub(super) fn slow_max(places: usize) -> usize {
    if places < 2 { places } else { places - (places / 4).max(1) }
}

/// Service times that a slow request leaves the last places to fast ones. With half of it, a slow one takes a last place in one of
/// twenty runs of the supermarket's 40 s, and a second's worth of fast ones waits for it.
const RESERVE: u32 = 8;
/// Service times after which it goes before fast ones.
const TURN: u32 = 16;
/// With both lanes overflowing, a fast request waits this many times less than a slow one waits beyond its patience.
const OVERTAKEN: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { reserve: Duration::from_secs(4), turn: Duration::from_secs(8) };

    fn decide(slow_in_flight: usize, fast: Option<u64>, slow: Option<u64>) -> Option<Lane> {
        let seconds = Duration::from_secs;
        let slow = slow.map(|waited| (seconds(waited), PATIENCE));
        next(&Lanes { places: 4, slow_in_flight, fast: fast.map(seconds), slow, kept: None, is_calm: false })
    }

    #[test]
    fn slow_requests_leave_the_last_place_until_they_have_waited_long() {
        assert_eq!(decide(2, None, Some(0)), Some(Lane::Slow));
        assert_eq!(decide(3, None, Some(3)), None);
        assert_eq!(decide(3, None, Some(4)), Some(Lane::Slow));
        assert_eq!(decide(3, None, None), None);
    }

    /// Among eight places, after 5 s at most; others wait for so many seconds.
    fn decide_kept(kept: (u64, usize), [fast, slow]: [Option<u64>; 2], slow_in_flight: usize) -> Option<Lane> {
        let seconds = Duration::from_secs;
        let kept = Some((seconds(kept.0), Patience::of_slow_clients(seconds(5)), kept.1));
        let (fast, slow) = (fast.map(seconds), slow.map(|waited| (seconds(waited), PATIENCE)));
        next(&Lanes { places: 8, slow_in_flight, fast, slow, kept, is_calm: false })
    }

    #[test]
    fn those_whose_clients_keep_places_have_one_in_four_however_long_they_wait() {
        let alone = |in_flight, waited| decide_kept((waited, in_flight), [None, None], in_flight);
        assert_eq!([0, 1, 2, 5].map(|count| alone(count, 0)), [Some(Lane::Kept), Some(Lane::Kept), None, None]);
        assert_eq!([1, 2].map(|count| alone(count, 60)), [Some(Lane::Kept), None]);
        assert_eq!(decide_kept((0, 0), [Some(0), None], 0), Some(Lane::Fast));
        assert_eq!(decide_kept((5, 0), [Some(0), None], 0), Some(Lane::Kept));
        assert_eq!(decide_kept((60, 2), [Some(0), None], 2), Some(Lane::Fast));
    }

    #[test]
    fn those_whose_clients_keep_places_hold_up_no_slow_one_and_leave_it_the_last_places() {
        assert_eq!(decide_kept((5, 2), [None, Some(0)], 2), Some(Lane::Slow));
        assert_eq!(decide_kept((4, 0), [None, Some(0)], 0), Some(Lane::Slow));
        assert_eq!(decide_kept((5, 0), [None, Some(0)], 0), Some(Lane::Kept));
        assert_eq!(decide_kept((3, 0), [None, Some(3)], 6), None);
        assert_eq!(decide_kept((4, 0), [None, None], 6), Some(Lane::Kept), "it has waited long");
    }

    #[test]
    fn those_whose_clients_keep_places_have_the_only_one_while_nobody_else_asks() {
        let decide = |is_calm, fast: Option<Duration>| {
            let kept = Some((Duration::from_secs(5), Patience::of_slow_clients(Duration::from_secs(5)), 0));
            next(&Lanes { places: 1, slow_in_flight: 0, fast, slow: None, kept, is_calm })
        };
        assert_eq!([false, true].map(|is_calm| decide(is_calm, None)), [None, Some(Lane::Kept)]);
        assert_eq!(decide(false, Some(Duration::ZERO)), Some(Lane::Fast));
    }

    #[test]
    fn fast_requests_go_first_until_a_slow_one_has_waited_much_longer() {
        assert_eq!(decide(0, Some(0), Some(7)), Some(Lane::Fast));
        assert_eq!(decide(0, Some(0), Some(8)), Some(Lane::Slow));
        assert_eq!(decide(3, Some(1), Some(11)), Some(Lane::Fast));
        assert_eq!(decide(3, Some(1), Some(12)), Some(Lane::Slow));
        assert_eq!(decide(4, Some(0), None), Some(Lane::Fast));
    }

    #[test]
    fn a_share_of_the_places_is_kept_and_never_all_of_them() {
        assert_eq!([0, 1, 2, 3, 4, 7, 8, 16].map(slow_max), [0, 1, 1, 2, 3, 6, 6, 12]);
    }

    #[test]
    fn patience_ends_before_the_queue_does() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        assert_eq!(Patience::new(second, minute), Patience { reserve: 8 * second, turn: 16 * second });
        let short = Patience::new(second, 2 * second);
        assert!(short.reserve < short.turn && short.turn < 2 * second);
        assert!(Patience::new(Duration::MAX / 16, minute).turn < minute);
    }
}
