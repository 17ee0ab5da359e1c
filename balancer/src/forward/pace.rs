//! Whether a client is fast enough, of what it is waited for: to send a request's body, or to take what waits for it. Pure.

use std::time::Duration;

use crate::pool::Pressure;

/// Follows bytes and the time in which they were waited for, both counted from the beginning.
///
/// What came in a burst buys no time later: bytes and time are compared over the last stretch of waiting only.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    /// Where the stretch began over which the floor is kept.
    calm: Mark,
    /// The same since others have waited for the place that is held meanwhile.
    pressed: Option<Pressed>,
}

/// While others wait for the place that is held.
#[derive(Debug, Clone, Copy)]
struct Pressed {
    from: Mark,
    /// How far it was looked at.
    looked: Duration,
    /// In how much of that time others waited, be it others each time. It passes four times as slowly as it comes.
    lasted: Duration,
}

/// How far a client was at some time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    /// For how long it has been waited for, in all.
    pub(super) waited: Duration,
    /// Bytes that it has sent or taken, in all.
    pub(super) bytes: u64,
}

impl Pace {
    /// Whether it was slower than `floor`, in bytes a second, over the last ten seconds of waiting for it. A floor of 0 is none.
    pub(super) fn has_fallen_behind(&mut self, at: Mark, floor: u64) -> bool {
        let stretch = at.since(self.calm);
        if stretch.waited <= GRACE {
            return false;
        }
        self.calm = at;
        stretch.is_below(floor as f64)
    }

    /// The same, and whether it is too slow for those who press for the place that it keeps meanwhile.
    pub(super) fn is_too_slow(&mut self, at: Mark, floor: u64, pressure: Option<Pressure>) -> bool {
        if self.has_fallen_behind(at, floor) {
            return true;
        }
        if pressure.is_none() && self.pressed.is_none() {
            return false;
        }
        let new = Pressed { from: at, looked: at.waited, lasted: Duration::ZERO };
        let pressed = self.pressed.get_or_insert(new);
        let passed = at.waited.saturating_sub(std::mem::replace(&mut pressed.looked, at.waited));
        let Some(pressure) = pressure else {
            pressed.lasted = pressed.lasted.saturating_sub(passed / 4);
            if pressed.lasted.is_zero() {
                pressed.from = at;
            }
            return false;
        };
        pressed.lasted += passed;
        let (times, floor) = (pressure.times().max(pressed.lasting()), floor as f64);
        let (grace, floor) = (GRACE.div_f64(times).max(GRACE_MIN), (floor * times).min(FAST.max(floor)));
        let stretch = at.since(pressed.from);
        if stretch.waited > STRETCH {
            pressed.from = at;
        }
        stretch.waited >= grace && stretch.is_below(floor)
    }
}

impl Pressed {
    /// What lasts presses too, though nobody waits long: a place fewer makes everybody wait a little. It never asks for more than the
    /// slowest lines have.
    fn lasting(self) -> f64 {
        (self.lasted.as_secs_f64() / LASTING.as_secs_f64()).min(LASTING_DOUBLINGS_MAX).exp2()
    }
}

impl Mark {
    fn since(self, before: Self) -> Self {
        Self { waited: self.waited.saturating_sub(before.waited), bytes: self.bytes.saturating_sub(before.bytes) }
    }

    fn is_below(self, floor: f64) -> bool {
        (self.bytes as f64) < floor * self.waited.as_secs_f64()
    }
}

/// A start may be slow, and so may a moment.
const GRACE: Duration = Duration::from_secs(10);
/// Far clients, and those who change from one cell to the next, need a round trip to go on.
const GRACE_MIN: Duration = Duration::from_millis(250);
/// A moment counts as part of so much.
const STRETCH: Duration = Duration::from_secs(5);
/// Doubles what is asked, up to 32 times: 16 KB a second by default.
const LASTING: Duration = Duration::from_millis(100);
const LASTING_DOUBLINGS_MAX: f64 = 5.0;
/// Bytes a second: who has so many is slow for nobody.
const FAST: f64 = 1_048_576.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds waited for and bytes.
    fn at(waited: u64, bytes: u64) -> Mark {
        Mark { waited: Duration::from_millis(waited), bytes }
    }

    fn pressed(waited: u64) -> Option<Pressure> {
        Some(Pressure::of(Duration::from_millis(waited), Duration::from_secs(5)))
    }

    #[test]
    fn the_floor_counts_after_ten_seconds_of_waiting() {
        let mut pace = Pace::default();
        assert!(!pace.is_too_slow(at(9_000, 0), 500, None));
        assert!(pace.is_too_slow(at(10_001, 4_000), 500, None));
        assert!(!Pace::default().is_too_slow(at(10_001, 6_000), 500, None));
        assert!(!Pace::default().is_too_slow(at(100_000, 0), 0, pressed(4_000)), "no floor");
    }

    #[test]
    fn a_burst_at_the_beginning_buys_ten_seconds_and_no_more() {
        let mut pace = Pace::default();
        assert!(!pace.is_too_slow(at(10_001, 2 << 20), 500, None));
        assert!(pace.is_too_slow(at(20_100, (2 << 20) + 4_000), 500, None));
    }

    #[test]
    fn while_others_wait_the_floor_rises_and_the_time_shrinks() {
        // 1,200 bytes a second, from the moment at which somebody begins to wait.
        let cut = |rate: u64| {
            let mut pace = Pace::default();
            (0..50)
                .map(|tick| tick * 100)
                .find(|&time| pace.is_too_slow(at(time, rate * time / 1_000), 500, pressed(time)))
        };
        assert!(cut(1_200).is_some_and(|after| (300..=700).contains(&after)), "{:?}", cut(1_200));
        assert!(cut(50_000).is_some_and(|after| (700..=1_200).contains(&after)), "{:?}", cut(50_000));
        assert_eq!(cut(2 << 20), None);
    }

    #[test]
    fn a_short_wait_of_others_bears_a_pause() {
        let mut pace = Pace::default();
        assert!(!pace.is_too_slow(at(0, 0), 500, pressed(50)));
        assert!(!pace.is_too_slow(at(300, 0), 500, pressed(50)));
        let mut pace = Pace::default();
        for second in 0..5 {
            assert!(!pace.is_too_slow(at(second * 1_000, second * 100_000), 500, pressed(50)));
        }
        assert!(!pace.is_too_slow(at(4_900, 400_000), 500, pressed(50)), "a second of silence in five");
    }

    #[test]
    fn short_waits_of_many_do_not_bear_the_slowest_for_long() {
        let cut = |rate: u64, others: fn(u64) -> bool| {
            let mut pace = Pace::default();
            (0..300).map(|tick| tick * 100).find(|&time| {
                pace.is_too_slow(at(time, rate * time / 1_000), 500, pressed(10).filter(|_| others(time / 100)))
            })
        };
        assert!(cut(1_000, |_| true).is_some_and(|after| after <= 600));
        assert!(cut(1_000, |tick| tick % 3 == 0).is_some_and(|after| after <= 3_000), "somebody waits now and then");
        assert_eq!(cut(1_000, |tick| tick % 10 == 0), None, "hardly ever");
        assert_eq!(cut(50_000, |_| true), None);
    }

    #[test]
    fn what_was_before_others_waited_does_not_count_against_it_nor_for_it() {
        let mut pace = Pace::default();
        assert!(!pace.is_too_slow(at(5_000, 1 << 20), 500, None));
        assert!(!pace.is_too_slow(at(5_100, 1 << 20), 500, pressed(2_000)));
        assert!(pace.is_too_slow(at(5_400, 1 << 20), 500, pressed(2_300)));
        assert!(!pace.is_too_slow(at(8_500, 1 << 20), 500, None));
        assert!(!pace.is_too_slow(at(8_600, 1 << 20), 500, pressed(2_000)), "counted anew");
    }
}
