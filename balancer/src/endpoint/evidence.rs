//! What failures in a row say of an endpoint: whether they are its own, or may be of what somebody asks for. Pure.
//!
//! One client can have any endpoint fail, by a target that always answers 500. So its failures are evidence only where nobody
//! else is around who could be served there; else others have to fail there too, or nobody be served for a while.

use std::time::{Duration, Instant};

use crate::net::ClientKey;

/// What a failure may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The endpoint alone: no byte of a request has reached it, and that was not for want of room.
    Endpoint,
    /// The endpoint, or what this client has asked for, while so many clients are around.
    Request { client: ClientKey, around: usize },
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// Nothing yet.
    Open,
    /// Too few clients say it, but nobody was served for long enough.
    Likely,
    /// The endpoint is to blame.
    Sure,
}

/// Failures in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Evidence {
    pub(super) failures: u32,
    /// Those that are certainly the endpoint's.
    own: u32,
    /// Whose the others were, each once.
    clients: [Option<ClientKey>; CLIENTS],
    since: Option<Instant>,
}

impl Evidence {
    /// One more; what follows where `needed` are asked for.
    pub(super) fn add(&mut self, cause: Cause, needed: u32, now: Instant) -> Blame {
        self.failures = self.failures.saturating_add(1);
        let since = *self.since.get_or_insert(now);
        let around = match cause {
            Cause::Endpoint => {
                self.own = self.own.saturating_add(1);
                CLIENTS
            }
            Cause::Request { client, around } => {
                if !self.is_of(client)
                    && let Some(place) = self.clients.iter_mut().find(|place| place.is_none())
                {
                    *place = Some(client);
                }
                around.clamp(1, CLIENTS)
            }
        };
        let witnesses = self.clients.iter().flatten().count() + usize::from(self.own > 0);
        let lasts = now.saturating_duration_since(since) >= LASTING;
        match self.failures >= needed {
            _ if self.own >= needed => Blame::Sure,
            true if witnesses >= around => Blame::Sure,
            true if lasts => Blame::Likely,
            _ => Blame::Open,
        }
    }

    /// Whether what this client has to say is known already, and others may have something else to say.
    pub(super) fn has_heard(&self, client: ClientKey, now: Instant) -> bool {
        self.is_of(client) && self.since.is_some_and(|since| now.saturating_duration_since(since) < LASTING)
    }

    fn is_of(&self, client: ClientKey) -> bool {
        self.clients.contains(&Some(client))
    }
}

/// Clients whose failures are enough, or as many as are around: two addresses may be one person's.
const CLIENTS: usize = 3;
/// For how long nobody must have been served: where somebody else is around at all, it comes by within that.
const LASTING: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::Blame::{Likely, Open, Sure};
    use super::*;

    fn client(last: u8) -> ClientKey {
        ClientKey::of(Some([192, 0, 2, last].into()))
    }

    #[test]
    fn failures_count_against_an_endpoint_by_whose_they_are() {
        const OWN: u8 = 0;
        // Clients around; whose the failures are; seconds from the first to the last of them; of five that are asked for.
        let cases: [(usize, &[u8], u64, Blame); 15] = [
            (1, &[1; 4], 0, Open),
            (1, &[1; 5], 0, Sure),
            (0, &[1; 5], 0, Sure),
            (2, &[1; 5], 0, Open),
            (2, &[1; 500], 2, Open),
            (2, &[1; 5], 3, Likely),
            (2, &[1; 4], 60, Open),
            (2, &[1, 1, 1, 1, 2], 0, Sure),
            (9, &[1, 2, 1, 2, 1, 2], 0, Open),
            (9, &[1, 2, 3, 1], 0, Open),
            (9, &[1, 2, 1, 2, 3], 0, Sure),
            (9, &[1, 2, 3, 4, 5], 0, Sure),
            (9, &[OWN; 5], 0, Sure),
            (9, &[1, 1, 1, 1, OWN], 0, Open),
            (9, &[OWN, OWN, OWN, OWN, 1, OWN], 0, Sure),
        ];
        for (around, whose, seconds, follows) in cases {
            let (mut evidence, now) = (Evidence::default(), Instant::now());
            let cause = |one: &u8| match *one {
                OWN => Cause::Endpoint,
                last => Cause::Request { client: client(last), around },
            };
            let (last, first) = whose.split_last().unwrap();
            first.iter().for_each(|one| _ = evidence.add(cause(one), 5, now));
            let found = evidence.add(cause(last), 5, now + Duration::from_secs(seconds));
            assert_eq!(found, follows, "{around} around, {whose:?} within {seconds} s");
        }
    }

    #[test]
    fn who_has_failed_already_is_not_asked_again_until_nobody_else_has_come() {
        let (mut evidence, now) = (Evidence::default(), Instant::now());
        evidence.add(Cause::Request { client: client(1), around: 2 }, 1, now);
        assert!(evidence.has_heard(client(1), now) && !evidence.has_heard(client(2), now));
        assert!(!evidence.has_heard(client(1), now + LASTING));
    }
}
