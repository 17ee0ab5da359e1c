//! Wall-clock time for a thread, from the monotonic clock.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Turns the instants a request is measured with into wall-clock time without asking the system again.
///
/// Set anew now and then, so that it follows when the wall clock is adjusted.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    at: Instant,
    wall: Duration,
}

impl Clock {
    /// A clock set to the system's time.
    pub fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { at: Instant::now(), wall }
    }

    /// Time since 1970-01-01 00:00 UTC.
    pub fn wall(&self, instant: Instant) -> Duration {
        match instant.checked_duration_since(self.at) {
            Some(later) => self.wall + later,
            None => self.wall.saturating_sub(self.at.saturating_duration_since(instant)),
        }
    }

    /// The same, after the clock is set if it has not been set for a second before that.
    pub fn wall_of_now(&mut self, now: Instant) -> Duration {
        match now.checked_duration_since(self.at) {
            Some(later) if later <= Duration::from_secs(1) => self.wall + later,
            None => self.wall(now),
            Some(_) => {
                *self = Self::new();
                self.wall(now)
            }
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// This second as HTTP writes it (RFC 9110 §5.6.7).
pub fn http_date() -> [u8; 29] {
    thread_local! {
        static LAST: Cell<(u64, [u8; 29])> = const { Cell::new((0, [b' '; 29])) };
    }
    let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (last, text) = LAST.get();
    if last == second {
        return text;
    }
    let seconds = i64::try_from(second).unwrap_or_default();
    let now = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    let written = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let text = *written.as_bytes().first_chunk().unwrap_or(&text);
    LAST.set((second, text));
    text
}
