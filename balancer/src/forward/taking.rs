//! How a client takes the response that waits for it. Pure.

use std::time::Instant;

use super::pace::{Mark, Pace};
use crate::pool::Pressure;

/// Follows a client for which bytes wait.
#[derive(Debug)]
pub(super) struct Taking {
    /// Bytes a second; 0: no floor.
    floor: u64,
    /// On the heap: few clients keep bytes waiting for long.
    wait: Option<Box<Lag>>,
}

/// Since the client was looked at for the first time while bytes waited.
#[derive(Debug)]
struct Lag {
    since: Instant,
    /// Bytes that it had acknowledged by then.
    from: u64,
    /// Bytes that it had acknowledged when it was looked at last.
    seen: u64,
    pace: Pace,
}

/// What a client has taken since it was looked at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Took {
    Nothing,
    Something,
    /// Too little, be it nothing.
    TooLittle,
}

impl Taking {
    /// Of a client that has to take so many bytes a second; 0: as many as it likes.
    pub(super) fn new(floor: u64) -> Self {
        Self { floor, wait: None }
    }

    /// Nothing waits for the client any more.
    pub(super) fn caught_up(&mut self) {
        self.wait = None;
    }

    /// Looks at a client that has acknowledged so many bytes in all, while others may press for the place that waits for it.
    pub(super) fn look(&mut self, now: Instant, acknowledged: u64, pressure: Option<Pressure>) -> Took {
        let new = || Box::new(Lag { since: now, from: acknowledged, seen: acknowledged, pace: Pace::default() });
        let lag = self.wait.get_or_insert_with(new);
        let took = acknowledged > std::mem::replace(&mut lag.seen, acknowledged);
        let waited = now.saturating_duration_since(lag.since);
        let at = Mark { waited, bytes: acknowledged.saturating_sub(lag.from) };
        match lag.pace.is_too_slow(at, self.floor, pressure) {
            true => Took::TooLittle,
            false if took => Took::Something,
            false => Took::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_takes_less_than_the_floor_is_found_while_bytes_wait_and_only_then() {
        let (mut taking, begun) = (Taking::new(500), Instant::now());
        let mut look = |seconds, acknowledged| taking.look(begun + Duration::from_secs(seconds), acknowledged, None);
        assert_eq!(look(0, 70_000), Took::Nothing);
        assert_eq!(look(5, 71_000), Took::Something);
        assert_eq!(look(11, 78_000), Took::Something);
        assert_eq!(look(22, 80_000), Took::TooLittle);
        taking.caught_up();
        assert_eq!(taking.look(begun + Duration::from_secs(60), 80_000, None), Took::Nothing);
    }

    #[test]
    fn who_holds_a_place_for_which_others_wait_is_found_sooner() {
        let (mut taking, begun) = (Taking::new(500), Instant::now());
        let mut look = |ms, acknowledged| {
            let pressure = Pressure::of(Duration::from_millis(ms), Duration::from_secs(5));
            taking.look(begun + Duration::from_millis(ms), acknowledged, Some(pressure))
        };
        assert_eq!(look(0, 0), Took::Nothing);
        assert_eq!(look(200, 100), Took::Something);
        assert_eq!(look(700, 2_000), Took::TooLittle);
        let pressure = Some(Pressure::of(Duration::from_secs(4), Duration::from_secs(5)));
        let mut free = Taking::new(0);
        assert_eq!(free.look(begun, 0, pressure), Took::Nothing);
        assert_eq!(free.look(begun + Duration::from_secs(60), 0, pressure), Took::Nothing, "without a floor");
    }
}
