//! Clients that have kept places for which others waited, and with what kind of request. Pure.

use std::time::{Duration, Instant};

use super::forecast::Kind;
use crate::net::Client;

/// Those of the last minute, of which there are few. A client answers for itself alone: others that ask for the same are not held up.
#[derive(Debug, Default)]
pub(super) struct Keepers(Vec<Keeper>);

/// One client.
#[derive(Debug)]
struct Keeper {
    client: Client,
    /// What it kept places with, and when last; the last at the end.
    kinds: Vec<(Kind, Instant)>,
    /// When it was last found to do so with one kind after another.
    with_any: Option<Instant>,
}

impl Keepers {
    /// The client of such a request was too slow for those who waited.
    pub(in crate::pool) fn note(&mut self, client: Client, kind: Kind, now: Instant) {
        let before = self.0.iter().position(|keeper| keeper.client == client).map(|at| self.0.remove(at));
        let mut keeper = before.unwrap_or(Keeper { client, kinds: Vec::new(), with_any: None });
        keeper.kinds.retain(|&(what, since)| what != kind && is_recent(since, now));
        if keeper.kinds.len() >= KINDS_MAX {
            keeper.kinds.remove(0);
            keeper.with_any = Some(now);
        }
        keeper.kinds.push((kind, now));
        self.0.retain(|keeper| keeper.kinds.iter().any(|&(_, since)| is_recent(since, now)));
        if self.0.len() >= KEPT_MAX {
            self.0.remove(0);
        }
        self.0.push(keeper);
    }

    /// Whether the client of such a request may be slow again. One that `streams` its body may be, whatever its kind, and so may one that
    /// asks for something else each time.
    pub(super) fn may_be(&self, client: Option<Client>, (kind, streams): (Kind, bool), now: Instant) -> bool {
        let Some(keeper) = self.0.iter().find(|keeper| Some(keeper.client) == client) else { return false };
        let is_it = |&(what, since): &(Kind, Instant)| (streams || what == kind) && is_recent(since, now);
        keeper.with_any.is_some_and(|since| is_recent(since, now)) || keeper.kinds.iter().any(is_it)
    }
}

fn is_recent(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < REMEMBERED
}

/// Who is patient comes back for another go after that.
const REMEMBERED: Duration = Duration::from_secs(60);
/// The newest are those who attack now.
const KEPT_MAX: usize = 64;
/// Paths are the client's choice: with one more than these, all that it asks for counts.
const KINDS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn a_client_is_remembered_for_a_minute_with_what_it_asked_and_there_are_never_many() {
        let (mut kept, now) = (Keepers::default(), Instant::now());
        let kind = |path: &str| Kind::of(&Method::GET, path);
        let client = |last: u8| Client::of([192, 0, 2, last].into());
        let (one, other) = (Some(client(1)), Some(client(2)));
        kept.note(client(1), kind("/large"), now);
        assert!(kept.may_be(one, (kind("/large"), false), now) && !kept.may_be(one, (kind("/"), false), now));
        assert!(kept.may_be(one, (kind("/"), true), now), "an upload that streams");
        assert!(!kept.may_be(other, (kind("/large"), true), now), "others are innocent");
        assert!(!kept.may_be(None, (kind("/large"), true), now), "nobody knows who that is");
        assert!(!kept.may_be(one, (kind("/large"), true), now + Duration::from_secs(61)));
        (0..=255).for_each(|last| kept.note(client(last), kind("/large"), now));
        (0..=255).for_each(|last| kept.note(client(last), kind("/large"), now));
        assert!(kept.0.len() <= KEPT_MAX && kept.may_be(Some(client(255)), (kind("/large"), false), now));
    }

    #[test]
    fn a_client_that_asks_for_something_else_each_time_is_remembered_for_all_and_pushes_nobody_out() {
        let (mut kept, now) = (Keepers::default(), Instant::now());
        let kind = |number: usize| Kind::of(&Method::GET, &format!("/path{}", "x".repeat(number)));
        let [one, other] = [1, 2].map(|last| Client::of([192, 0, 2, last].into()));
        kept.note(other, kind(0), now);
        (0..3).for_each(|number| kept.note(one, kind(number), now));
        assert!(!kept.may_be(Some(one), (kind(9), false), now));
        (3..500).for_each(|number| kept.note(one, kind(number % 30), now));
        assert!(kept.may_be(Some(one), (kind(99), false), now) && kept.may_be(Some(other), (kind(0), false), now));
        assert!(!kept.may_be(Some(other), (kind(99), false), now));
        assert!(!kept.may_be(Some(one), (kind(99), false), now + REMEMBERED));
    }
}
