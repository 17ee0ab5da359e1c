//! Clients that have kept places for which others waited, and with what kind of request. Pure.

use std::time::{Duration, Instant};

use super::forecast::Kind;
use crate::net::Client;

/// Those of the last minute, of which there are few. A client answers for itself alone: others that ask for the same are not held up.
#[derive(Debug, Default)]
pub(super) struct Keepers(Vec<(Client, Kind, Instant)>);

impl Keepers {
    /// The client of such a request was too slow for those who waited.
    pub(in crate::pool) fn note(&mut self, client: Client, kind: Kind, now: Instant) {
        self.0.retain(|&(who, what, since)| (who, what) != (client, kind) && is_recent(since, now));
        if self.0.len() >= KEPT_MAX {
            self.0.remove(0);
        }
        self.0.push((client, kind, now));
    }

    /// Whether the client of such a request may be slow again. One that `streams` its body may be, whatever its kind.
    pub(super) fn may_be(&self, client: Option<Client>, (kind, streams): (Kind, bool), now: Instant) -> bool {
        let is_it = |&(who, what, since): &(Client, Kind, Instant)| {
            Some(who) == client && (streams || what == kind) && is_recent(since, now)
        };
        self.0.iter().any(is_it)
    }
}

fn is_recent(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < REMEMBERED
}

/// Who is patient comes back for another go after that.
const REMEMBERED: Duration = Duration::from_secs(60);
/// The newest are those who attack now.
const KEPT_MAX: usize = 64;

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
}
