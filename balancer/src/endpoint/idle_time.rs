//! For how long a connection to an endpoint may be idle: learned from the closes that were seen.
//!
//! Whoever closes an idle connection first must be us: a request that crosses the endpoint's close is lost, and cannot
//! always be sent again. An endpoint does not say its time, or lies; but it shows it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    keeps: AtomicBool,
}

impl IdleTime {
    /// Whether the endpoint has shown that it keeps connections at all. Some close after every answer and do not say so;
    /// what crosses that close is lost as well.
    pub fn keeps(&self) -> bool {
        self.keeps.load(Ordering::Relaxed)
    }

    /// It has answered a second request on a connection.
    pub fn reused(&self) {
        if !self.keeps() {
            self.keeps.store(true, Ordering::Relaxed);
        }
    }

    /// A connection that has been idle for so long is still open; whether that shows that it keeps connections.
    pub fn open_after(&self, idle: Duration) -> bool {
        if idle >= SHOWN {
            self.reused();
        }
        self.keeps()
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
        if idle < SHOWN {
            self.keeps.store(false, Ordering::Relaxed);
        }
        let lesson = micros(idle.mul_f64(MARGIN));
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
            keeps: AtomicBool::new(false),
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
    fn an_endpoint_keeps_connections_once_it_has_shown_it_and_until_it_closes_early() {
        let (time, now) = (IdleTime::default(), Instant::now());
        assert!(!time.keeps());
        assert!(!time.open_after(seconds(0.099)));
        assert!(time.open_after(seconds(0.1)) && time.keeps());
        time.closed_after(seconds(2.0), now);
        assert!(time.keeps());
        time.closed_after(seconds(0.01), now);
        assert!(!time.keeps());
        time.reused();
        assert!(time.keeps());
    }

    #[test]
    fn an_endpoint_that_closes_at_once_is_not_reused_until_that_is_forgotten() {
        let (time, now) = (IdleTime::default(), Instant::now());
        time.closed_after(Duration::ZERO, now);
        assert_eq!(time.limit(CONFIGURED, now), Duration::ZERO);
        assert_eq!(time.limit(CONFIGURED, now + seconds(3_600.0)), CONFIGURED);
    }
}
