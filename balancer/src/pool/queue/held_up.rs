//! For how long a client has held up the endpoint that serves it: time that says nothing of the request. Pure.

use std::time::{Duration, Instant};

/// What a client has cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::pool) struct HeldUp {
    before: Duration,
    /// Since when it is waited for.
    pub(in crate::pool) since: Option<Instant>,
}

impl HeldUp {
    /// The client is waited for since then, or no longer.
    pub(in crate::pool) fn set(&mut self, since: Option<Instant>, now: impl FnOnce() -> Instant) {
        if let Some(begun) = self.since {
            // A piece that came in between took no time to speak of.
            self.before += since.unwrap_or_else(now).saturating_duration_since(begun);
        }
        self.since = since;
    }

    /// All of it by now.
    pub(super) fn total(&self, now: Instant) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_while_the_client_is_waited_for() {
        let (mut held, now) = (HeldUp::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        held.set(None, || at(1));
        assert_eq!(held.total(at(5)), Duration::ZERO);
        held.set(Some(at(5)), || at(6));
        assert_eq!(held.total(at(8)), Duration::from_secs(3));
        held.set(Some(at(9)), || at(9));
        held.set(None, || at(11));
        assert_eq!(held.total(at(60)), Duration::from_secs(6));
    }
}
