//! Which of several deaths are evidence against a request: pure.
//!
//! Decides which deaths can have been caused one after another. Called by `suspects` and `killers`. Workers that die at nearly the same
//! moment with different requests have one cause, which may be none of these: all of them were killed at once.

use std::time::{Duration, Instant};

/// A death, as far as it is evidence.
#[derive(Debug)]
pub(super) struct DeathEvidence {
    /// When it was known.
    pub(super) at: Instant,
    /// The requests it is evidence against.
    pub(super) with: Vec<DeadlyRequest>,
}

/// A request that a worker had when it died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeadlyRequest {
    /// Its `X-Request-Id`.
    pub(super) id: [u8; 32],
    /// When the worker got it.
    pub(super) given: Instant,
}

/// The positions of those that count, of `deaths` in the order of time. Of those at nearly the same moment, the deaths of one request
/// that was sent from worker to worker count, where they are most of them, else the first: where as many died without that request, it
/// was sent on to workers that were being killed with the rest.
pub(super) fn counted(deaths: &[DeathEvidence]) -> Vec<usize> {
    let mut counted = Vec::new();
    let mut from = 0;
    for at in 1..=deaths.len() {
        if at == deaths.len() || is_another_moment(&deaths[from..at], &deaths[at]) {
            counted.extend(of_moment(&deaths[from..at]).into_iter().map(|within| from + within));
            from = at;
        }
    }
    counted
}

/// Whether a death is none of that moment: it came later, or of a request that was sent when the deaths before were known.
fn is_another_moment(moment: &[DeathEvidence], death: &DeathEvidence) -> bool {
    let (Some(first), Some(last)) = (moment.first(), moment.last()) else { return false };
    let is_later = death.at.saturating_duration_since(first.at) >= MOMENT;
    is_later || death.with.iter().any(|held| held.given >= last.at + SETTLES_WITHIN)
}

fn of_moment(moment: &[DeathEvidence]) -> Vec<usize> {
    let of = |id: &[u8; 32]| {
        let has_it = |at: &usize| moment[*at].with.iter().any(|held| held.id == *id);
        (0..moment.len()).filter(has_it).collect::<Vec<_>>()
    };
    let ids = moment.iter().flat_map(|death| &death.with).map(|held| &held.id);
    let most = ids.map(of).max_by_key(Vec::len).unwrap_or_default();
    if 2 * most.len() > moment.len() { most } else { (0..moment.len().min(1)).collect() }
}

/// Workers that are killed by one command, or for want of memory, die within this time.
const MOMENT: Duration = Duration::from_secs(1);
/// Those that die together are all known to be dead within this time. Whoever is told that his request has failed is told after it.
pub(super) const SETTLES_WITHIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    /// Deaths after so many milliseconds, each with requests and when they were given.
    fn of(deaths: &[(u64, &[(u8, u64)])]) -> Vec<usize> {
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        let held = |(id, given): &(u8, u64)| DeadlyRequest { id: [*id; 32], given: after(*given) };
        let deaths =
            deaths.iter().map(|(at, with)| DeathEvidence { at: after(*at), with: with.iter().map(held).collect() });
        counted(&deaths.collect::<Vec<_>>())
    }

    #[test]
    fn workers_that_are_killed_at_once_are_one_death() {
        assert_eq!(of(&[(100, &[(1, 90)]), (103, &[(2, 95)]), (106, &[(3, 99)])]), [0]);
        // Requests that come while the others die.
        assert_eq!(of(&[(100, &[(1, 90)]), (103, &[(2, 101)]), (106, &[(3, 104)]), (150, &[(4, 149)])]), [0]);
        // One that was sent on to another of them.
        assert_eq!(of(&[(100, &[(1, 90)]), (101, &[(2, 90)]), (103, &[(1, 102)]), (104, &[(3, 95)])]), [0]);
        assert_eq!(of(&[]), [0; 0]);
    }

    #[test]
    fn one_request_that_kills_worker_after_worker_counts_each_time() {
        assert_eq!(of(&[(100, &[(1, 90)]), (103, &[(2, 90), (1, 101)]), (106, &[(1, 104)])]), [0, 1, 2]);
        assert_eq!(of(&[(100, &[(7, 90)]), (101, &[(1, 90)]), (103, &[(1, 102)])]), [1, 2]);
        // Each of two was sent to two, and no request to more.
        assert_eq!(of(&[(100, &[(1, 90)]), (103, &[(1, 101), (2, 90)]), (106, &[(2, 104)])]).len(), 2);
    }

    #[test]
    fn one_that_was_sent_after_a_death_was_known_and_one_that_came_later_count() {
        assert_eq!(of(&[(100, &[(1, 90)]), (205, &[(2, 201)]), (310, &[(3, 306)])]), [0, 1, 2]);
        assert_eq!(of(&[(100, &[(1, 90)]), (700, &[(2, 91)]), (1_100, &[(3, 92)]), (1_900, &[(4, 93)])]), [0, 2]);
    }
}
