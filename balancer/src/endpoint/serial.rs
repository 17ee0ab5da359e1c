//! Whether an endpoint serves one connection at a time, and keeps all others waiting while one is open.
//!
//! Such a server hears of nobody else until we close the idle connection that we keep for the next request. What tells it from one
//! that is slow: it answers on another connection only once all on which it has answered are closed. Whoever answers on two that are
//! open is not of the kind, and is never asked again. So nothing is closed for a trial but what has been idle for a while, and nobody
//! can foresee when: an answer that is only slow comes before that as a rule, on a second open connection, and settles it.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

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
    /// When idle connections may be closed.
    closes: Option<Instant>,
    /// When the last of those that were answered was closed, if that was for the trial.
    closed: Option<Instant>,
    /// How often the answer has come just then; each that came later takes back two.
    coincidences: i8,
}

impl Serial {
    pub(super) fn answered(&self, now: Instant) -> bool {
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
        if let Some(closed) = trial.closed.take() {
            let at_once = now.saturating_duration_since(closed) <= AT_ONCE;
            trial.coincidences =
                if at_once { trial.coincidences + 1 } else { (trial.coincidences - 2).max(-DOUBTS_MAX) };
        }
        let shows = trial.coincidences >= COINCIDENCES;
        self.state.store(if shows { SERIAL } else { UNKNOWN }, Ordering::Relaxed);
        shows
    }

    /// One was closed; `let_go` is when, if that was for the trial.
    pub(super) fn closed(&self, let_go: Option<Instant>) {
        let left = self.answered.fetch_sub(1, Ordering::SeqCst) - 1;
        if left == 0 && self.is(ON_TRIAL) {
            self.trial.lock().unwrap_or_else(PoisonError::into_inner).closed = let_go;
        }
    }

    pub(super) fn keeps_waiting(&self, now: Instant, rest: Duration) -> bool {
        if self.answered.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let mut trial = self.trial.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = self.state.compare_exchange(UNKNOWN, ON_TRIAL, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if begins {
            (trial.closes, trial.closed) = (Some(now + rest), None);
        }
        begins
    }

    pub(super) fn lets_go(&self, idle: Duration, now: Instant) -> Option<bool> {
        if !self.is(ON_TRIAL) {
            return Some(false);
        }
        let closes = self.trial.lock().unwrap_or_else(PoisonError::into_inner).closes;
        (idle >= RESTED && closes.is_none_or(|closes| now >= closes)).then_some(true)
    }

    pub(super) fn is(&self, one_of: u8) -> bool {
        self.state.load(Ordering::Relaxed) & one_of != 0
    }
}

const UNKNOWN: u8 = 0;
/// Idle connections are closed, to see what comes of it.
pub(super) const ON_TRIAL: u8 = 1;
pub(super) const SERIAL: u8 = 2;
const CONCURRENT: u8 = 4;
const SETTLED: u8 = SERIAL | CONCURRENT;
/// Half of what a request has waited by then.
const AT_ONCE: Duration = Duration::from_millis(250);
/// For how long a connection rests before it is closed for a trial, and how much later that may be.
pub(super) const RESTED: Duration = Duration::from_millis(250);
pub(super) const RESTED_MAX: Duration = Duration::from_millis(1250);
/// One may be chance; the fourth would only come later.
const COINCIDENCES: i8 = 3;
/// By so much one that has slow answers too is in arrears at most.
const DOUBTS_MAX: i8 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);

    fn waits(serial: &Serial) -> bool {
        serial.keeps_waiting(Instant::now(), RESTED)
    }

    /// One connection is kept, a request on another has waited for long; the first is closed, and the other answered after `pause`.
    fn trial(serial: &Serial, pause: Duration) -> bool {
        serial.answered(Instant::now());
        assert!(waits(serial) && serial.is(ON_TRIAL));
        assert!(!waits(serial), "told once");
        serial.closed(Some(Instant::now()));
        let shows = serial.answered(Instant::now() + pause);
        serial.closed(None);
        shows
    }

    #[test]
    fn whoever_answers_three_times_when_the_kept_connection_is_closed_serves_one_at_a_time() {
        let serial = Serial::default();
        assert_eq!([(); 3].map(|()| trial(&serial, MOMENT)), [false, false, true]);
        assert!(serial.is(ON_TRIAL | SERIAL));
        assert!(!serial.answered(Instant::now()) && !waits(&serial), "it is known");
    }

    #[test]
    fn a_slow_answer_is_no_sign_and_takes_back_those_before() {
        let serial = Serial::default();
        let pauses = [MOMENT, MOMENT, AT_ONCE * 2, MOMENT, MOMENT];
        assert_eq!(pauses.map(|pause| trial(&serial, pause)), [false; 5]);
        assert!(!serial.is(ON_TRIAL | SERIAL));
        (0..100).for_each(|_| assert!(!trial(&serial, AT_ONCE * 2)));
        assert_eq!([(); 9].map(|()| trial(&serial, MOMENT)).map(u8::from), [0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_request_that_ends_meanwhile_is_no_sign_and_neither_is_one_after_which_the_endpoint_closes() {
        let serial = Serial::default();
        for _ in 0..9 {
            serial.answered(Instant::now());
            assert!(waits(&serial));
            serial.closed(None);
            assert!(!serial.answered(Instant::now() + MOMENT));
            serial.closed(None);
        }
        assert!(!serial.is(SERIAL));
    }

    #[test]
    fn nothing_is_closed_before_its_time_nor_before_it_has_rested() {
        let (serial, now) = (Serial::default(), Instant::now());
        assert_eq!(serial.lets_go(RESTED_MAX, now), Some(false), "nobody waits");
        serial.answered(now);
        assert!(serial.keeps_waiting(now, RESTED * 2));
        let lets_go = |rested, after| serial.lets_go(rested, now + after);
        assert_eq!(lets_go(RESTED_MAX, RESTED), None);
        assert_eq!(lets_go(RESTED / 2, RESTED * 2), None);
        assert_eq!(lets_go(RESTED, RESTED * 2), Some(true));
    }

    #[test]
    fn who_has_answered_on_two_open_connections_is_never_asked_again() {
        let serial = Serial::default();
        trial(&serial, MOMENT);
        serial.answered(Instant::now());
        serial.answered(Instant::now());
        assert!(!waits(&serial) && !serial.is(ON_TRIAL | SERIAL));
    }

    #[test]
    fn where_nothing_was_answered_nobody_is_kept_waiting() {
        assert!(!waits(&Serial::default()));
    }
}
