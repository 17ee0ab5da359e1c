//! For how long a connection to an endpoint may be idle: learned from the closes that were seen.
//!
//! Whoever closes an idle connection first must be us: a request that crosses the endpoint's close is lost, and cannot
//! always be sent again. An endpoint does not say its time, or lies; but it shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The idle time of one endpoint, shared by all threads.
///
/// Two numbers of which one may be newer than the other for a moment: that makes a limit a little longer or shorter once.
#[derive(Debug)]
pub struct IdleTime {
    /// Microseconds; `u64::MAX` before anything was learned.
    limit: AtomicU64,
    /// When, in microseconds since `born`.
    learned: AtomicU64,
    born: Instant,
    /// Microseconds: the longest time after which a connection was still open.
    survived: AtomicU64,
}

impl IdleTime {
    /// A connection was still open after it had been idle for that long. What is shorter than 100 ms shows nothing: some close
    /// after every answer and do not say so.
    pub fn survived(&self, idle: Duration) {
        if idle >= SHOWN {
            self.reused(idle);
        }
    }

    /// A connection that had been idle for that long has carried another request to its answer.
    pub fn reused(&self, idle: Duration) {
        let idle = micros(idle);
        if idle > self.survived.load(Ordering::Relaxed) {
            self.survived.store(idle, Ordering::Relaxed);
        }
    }

    /// Whether a request may go over a connection that has been idle for `idle` of `limit`: the one rule for all of them.
    ///
    /// What is not `repeatable` is lost where it crosses the endpoint's close, however seldom that is. So it goes only over
    /// connections that are idle for less time than this endpoint was seen to survive, and for less than half of the limit.
    pub fn may_carry(&self, repeatable: bool, idle: Duration, limit: Duration) -> bool {
        match repeatable {
            true => idle < limit,
            false => idle < limit / 2 && micros(idle) < self.survived.load(Ordering::Relaxed),
        }
    }

    /// How long a connection may be idle, at most `configured`.
    pub fn limit(&self, configured: Duration, now: Instant) -> Duration {
        match self.limit.load(Ordering::Relaxed) {
            u64::MAX => configured,
            limit => configured.min(forgotten(limit, self.since_learned(now))),
        }
    }

    /// The endpoint has closed a connection after it had been idle for that long; the new limit, if that is one.
    pub fn closed_after(&self, idle: Duration, now: Instant) -> Option<Duration> {
        let lesson = micros(idle.mul_f64(MARGIN));
        self.survived.fetch_min(lesson, Ordering::Relaxed);
        let limit = self.limit.load(Ordering::Relaxed);
        if limit != u64::MAX && micros(forgotten(limit, self.since_learned(now))) <= lesson {
            return None;
        }
        self.learned.store(micros(now.saturating_duration_since(self.born)), Ordering::Relaxed);
        self.limit.store(lesson, Ordering::Relaxed);
        Some(Duration::from_micros(lesson))
    }

    fn since_learned(&self, now: Instant) -> Duration {
        let learned = Duration::from_micros(self.learned.load(Ordering::Relaxed));
        now.saturating_duration_since(self.born).saturating_sub(learned)
    }
}

impl Default for IdleTime {
    fn default() -> Self {
        Self {
            limit: AtomicU64::new(u64::MAX),
            learned: AtomicU64::new(0),
            born: Instant::now(),
            survived: AtomicU64::new(0),
        }
    }
}

/// A limit so long after it was learned: twice as long every [`FORGETTING`], for a close may have had another reason, a
/// restart say, that is over.
fn forgotten(limit: u64, since: Duration) -> Duration {
    let doublings = since.as_secs_f64() / FORGETTING.as_secs_f64();
    if doublings < 1.0 {
        return Duration::from_micros(limit);
    }
    let grown = (limit.max(1) as f64) * doublings.exp2();
    Duration::from_micros(grown.min(LIMIT_MAX_MICROS) as u64)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Of the time after which a close was seen; the rest is for the way there and a busy machine.
const MARGIN: f64 = 0.8;
/// Nobody who closes after his answer takes that long to do it.
const SHOWN: Duration = Duration::from_millis(100);
const FORGETTING: Duration = Duration::from_secs(60);
/// A year, which no configuration exceeds.
const LIMIT_MAX_MICROS: f64 = 3.2e13;

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: Duration = Duration::from_secs(60);

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn nothing_learned_is_what_is_configured() {
        assert_eq!(IdleTime::default().limit(CONFIGURED, Instant::now()), CONFIGURED);
    }

    #[test]
    fn a_close_keeps_us_below_it_and_a_later_one_changes_nothing() {
        let (time, now) = (IdleTime::default(), Instant::now());
        assert_eq!(time.closed_after(seconds(5.0), now), Some(seconds(4.0)));
        assert_eq!(time.closed_after(seconds(30.0), now), None);
        assert_eq!(time.limit(CONFIGURED, now), seconds(4.0));
        assert_eq!(time.limit(seconds(1.5), now), seconds(1.5), "never longer than configured");
        assert_eq!(time.closed_after(seconds(1.0), now), Some(seconds(0.8)));
        assert_eq!(time.limit(CONFIGURED, now), seconds(0.8));
    }

    #[test]
    fn what_was_learned_is_forgotten_by_and_by() {
        let (time, now) = (IdleTime::default(), Instant::now());
        time.closed_after(seconds(1.0), now);
        let after = |minutes: f64| time.limit(CONFIGURED, now + seconds(60.0 * minutes)).as_millis();
        assert_eq!([after(0.9), after(1.0), after(2.0), after(3.0), after(9.0)], [800, 1_600, 3_200, 6_400, 60_000]);
        // Grown beyond the endpoint's time, it is learned anew.
        assert_eq!(time.closed_after(seconds(1.0), now + seconds(120.0)), Some(seconds(0.8)));
        assert_eq!(time.limit(CONFIGURED, now + seconds(121.0)), seconds(0.8));
    }

    #[test]
    fn what_cannot_be_repeated_goes_only_where_connections_were_seen_to_survive_that_long() {
        let (time, now) = (IdleTime::default(), Instant::now());
        let may = |repeatable, idle| time.may_carry(repeatable, seconds(idle), seconds(1.0));
        assert!(may(true, 0.9) && !may(true, 1.0));
        assert!(!may(false, 0.001), "nothing was seen");
        time.survived(seconds(0.09));
        assert!(!may(false, 0.001), "that was too short to show anything");
        time.reused(seconds(0.01));
        assert!(may(false, 0.009) && !may(false, 0.011));
        time.survived(seconds(2.0));
        assert!(may(false, 0.4) && !may(false, 0.5), "half of the limit");
        time.closed_after(seconds(0.2), now);
        assert!(may(false, 0.15) && !may(false, 0.17));
    }

    #[test]
    fn an_endpoint_that_closes_at_once_is_not_reused_until_that_is_forgotten() {
        let (time, now) = (IdleTime::default(), Instant::now());
        time.closed_after(Duration::ZERO, now);
        assert_eq!(time.limit(CONFIGURED, now), Duration::ZERO);
        assert_eq!(time.limit(CONFIGURED, now + seconds(3_600.0)), CONFIGURED);
    }
}
