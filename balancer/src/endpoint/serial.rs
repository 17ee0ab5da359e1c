//! Whether an endpoint serves one connection at a time, and keeps all others waiting while one is open.
//!
//! Such a server hears of nobody else until we close the idle connection that we keep for the next request. What tells it from one
//! that is slow: it answers on another connection only once all on which it has answered are closed. Whoever answers on two that are
//! open is not of the kind, and is never asked again.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Endpoint;

/// What is known of it. Asked at answers on new connections, when those close, and where a request has waited for long.
#[derive(Debug, Default)]
pub(super) struct Serial {
    /// Open connections on which it has answered, and which it would read again.
    answered: AtomicUsize,
    state: AtomicU8,
    trial: Mutex<Trial>,
}

/// What becomes of a request that waits when no connection is kept any more.
#[derive(Debug, Default)]
struct Trial {
    /// When the last of those that were answered was closed.
    closed: Option<Instant>,
    /// How often the answer has come just then, without an exception.
    coincidences: u8,
}

/// A connection on which the endpoint has answered and which it would read again, until this is dropped: before it is closed.
#[derive(Debug)]
pub struct Answered(Arc<Endpoint>);

impl Answered {
    /// The first answer on a connection, and whether that shows, now, that the endpoint serves one connection at a time.
    pub fn first(endpoint: &Arc<Endpoint>, now: Instant) -> (Self, bool) {
        let shows = endpoint.serial.answered(now);
        (Self(Arc::clone(endpoint)), shows)
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.0.serial.closed();
    }
}

impl Serial {
    fn answered(&self, now: Instant) -> bool {
        let others = self.answered.fetch_add(1, Ordering::SeqCst);
        let state = self.state.load(Ordering::Relaxed);
        if state & SETTLED != 0 {
            return false;
        }
        if others > 0 {
            self.state.store(CONCURRENT, Ordering::Relaxed);
            return false;
        }
        if state != ON_TRIAL {
            return false;
        }
        let mut trial = self.trial.lock().unwrap_or_else(PoisonError::into_inner);
        let at_once = trial.closed.take().is_some_and(|closed| now.saturating_duration_since(closed) <= AT_ONCE);
        trial.coincidences = if at_once { trial.coincidences + 1 } else { 0 };
        let shows = trial.coincidences >= COINCIDENCES;
        self.state.store(if shows { SERIAL } else { UNKNOWN }, Ordering::Relaxed);
        shows
    }

    fn closed(&self) {
        let left = self.answered.fetch_sub(1, Ordering::SeqCst) - 1;
        if left == 0 && self.state.load(Ordering::Relaxed) == ON_TRIAL {
            self.trial.lock().unwrap_or_else(PoisonError::into_inner).closed = Some(Instant::now());
        }
    }

    /// A request has waited for long on a new connection; whether idle ones are to be closed for it, which is told once.
    pub(super) fn keeps_waiting(&self) -> bool {
        if self.answered.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let mut trial = self.trial.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = self.state.compare_exchange(UNKNOWN, ON_TRIAL, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if begins {
            trial.closed = None;
        }
        begins
    }

    /// Whether a connection to it that is idle keeps others waiting, or may do so.
    pub(super) fn keeps_none(&self) -> bool {
        self.state.load(Ordering::Relaxed) & KEEPS_NONE != 0
    }
}

const UNKNOWN: u8 = 0;
/// Idle connections are closed, to see what comes of it.
const ON_TRIAL: u8 = 1;
const SERIAL: u8 = 2;
const CONCURRENT: u8 = 4;
const KEEPS_NONE: u8 = ON_TRIAL | SERIAL;
const SETTLED: u8 = SERIAL | CONCURRENT;
/// Half of what a request has waited by then.
const AT_ONCE: Duration = Duration::from_millis(250);
/// One may be chance; the fourth would only come later.
const COINCIDENCES: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);

    /// One connection is kept, a request on another has waited for long; the first is closed, and the other answered after `pause`.
    fn trial(serial: &Serial, pause: Duration) -> bool {
        serial.answered(Instant::now());
        assert!(serial.keeps_waiting() && serial.keeps_none());
        assert!(!serial.keeps_waiting(), "told once");
        serial.closed();
        let shows = serial.answered(Instant::now() + pause);
        serial.closed();
        shows
    }

    #[test]
    fn whoever_answers_three_times_when_the_kept_connection_is_closed_serves_one_at_a_time() {
        let serial = Serial::default();
        assert_eq!([(); 3].map(|()| trial(&serial, MOMENT)), [false, false, true]);
        assert!(serial.keeps_none());
        assert!(!serial.answered(Instant::now()) && !serial.keeps_waiting(), "it is known");
    }

    #[test]
    fn a_slow_answer_is_no_sign_and_takes_back_those_before() {
        let serial = Serial::default();
        let pauses = [MOMENT, MOMENT, AT_ONCE * 2, MOMENT, MOMENT];
        assert_eq!(pauses.map(|pause| trial(&serial, pause)), [false; 5]);
        assert!(!serial.keeps_none());
    }

    #[test]
    fn who_has_answered_on_two_open_connections_is_never_asked_again() {
        let serial = Serial::default();
        trial(&serial, MOMENT);
        serial.answered(Instant::now());
        serial.answered(Instant::now());
        assert!(!serial.keeps_waiting() && !serial.keeps_none());
    }

    #[test]
    fn where_nothing_was_answered_nobody_is_kept_waiting() {
        assert!(!Serial::default().keeps_waiting());
    }
}
