//! When a connection has waited too long.
//!
//! A timer per wait would cost every request a few insertions into the runtime's wheel. Instead the end of a wait is written down
//! here, and a tick of the thread looks at all its connections several times per shortest limit; see `registry`.

use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::Instant;

use crate::net::CellOf;

/// One connection's. Lives on one thread.
#[derive(Debug, Default)]
pub struct Alarm {
    until: Cell<Option<Instant>>,
    rung: Cell<Option<Instant>>,
    /// Whether to wake the connection at each tick.
    watched: Cell<bool>,
    ticked: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Since when nothing is asked on the connection, and whose it is.
    unasked: Cell<Option<(Instant, CellOf)>>,
    /// Whether it shall end, should nothing be asked.
    dismissed: Cell<bool>,
}

impl Alarm {
    /// Wakes the connection at that time, or never. That it has rung for another wait is forgotten.
    pub fn set(&self, until: Option<Instant>) {
        self.rung.set(None);
        self.until.set(until);
    }

    /// The time, if the alarm has rung since this was asked the last time.
    pub fn rung(&self) -> Option<Instant> {
        self.rung.take()
    }

    /// Wakes the connection at each tick from now on, or no longer: to look for what nothing else would tell it.
    pub(in crate::listen) fn watch(&self, watched: bool) {
        self.watched.set(watched);
    }

    /// Nothing is asked on the connection since that time; or something is, and then it stays.
    pub(in crate::listen) fn unasked(&self, since: Option<(Instant, CellOf)>) {
        self.unasked.set(since);
        if since.is_none() {
            self.dismissed.set(false);
        }
    }

    /// Since when nothing is asked on this connection of that client; `None` where something is, or where it ends already.
    pub(super) fn unasked_since(&self, cell: CellOf) -> Option<Instant> {
        let (since, of) = self.unasked.get()?;
        (of == cell && !self.dismissed.get()).then_some(since)
    }

    /// Has the connection end for others, should still nothing be asked.
    pub(in crate::listen) fn dismiss(&self) {
        self.dismissed.set(true);
        self.wake();
    }

    /// Whether it shall end for others.
    pub(in crate::listen) fn is_dismissed(&self) -> bool {
        self.dismissed.get()
    }

    /// Whether a tick has passed while it was watched.
    pub(in crate::listen) fn ticked(&self) -> bool {
        self.ticked.take()
    }

    /// A connection begins, for which nothing is waited yet; whom to wake from now on. A task that has served another connection
    /// before is known.
    pub(in crate::listen) fn begins(&self, waker: &Waker) {
        self.set(None);
        self.watch(false);
        self.ticked.set(false);
        self.unasked(None);
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    pub(in crate::listen) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// A tick: rings if it is time.
    pub(in crate::listen) fn look(&self, now: Instant) {
        let due = self.until.get().is_some_and(|until| now >= until);
        if due {
            // Once; what comes of it is the connection's business.
            self.until.set(None);
            self.rung.set(Some(now));
        }
        if self.watched.get() {
            self.ticked.set(true);
        }
        if due || self.watched.get() {
            self.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_rings_once_when_it_is_time() {
        let (alarm, now) = (Alarm::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        alarm.set(Some(later));
        alarm.look(now);
        assert_eq!(alarm.rung(), None);
        alarm.look(later);
        assert_eq!((alarm.rung(), alarm.rung()), (Some(later), None));
        alarm.look(later + Duration::from_secs(1));
        assert_eq!(alarm.rung(), None, "not set again");
        alarm.set(Some(later));
        alarm.look(later);
        alarm.set(None);
        assert_eq!(alarm.rung(), None, "for a wait that is over");
    }

    #[test]
    fn only_who_is_watched_is_told_of_a_tick() {
        let (alarm, now) = (Alarm::default(), Instant::now());
        alarm.look(now);
        assert!(!alarm.ticked());
        alarm.watch(true);
        assert!(!alarm.ticked());
        alarm.look(now);
        assert!(alarm.ticked() && !alarm.ticked());
    }
}
