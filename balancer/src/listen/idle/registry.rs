//! The client connections of one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::sync::Notify;

use super::alarm::Alarm;
use super::parked::Parked;
use crate::config::ClientLimits;
use crate::net::CellOf;
use crate::net::sleep;

/// All connections of a thread, for the tick and for the drain.
#[derive(Debug, Default)]
pub(in crate::listen) struct Registry {
    alarms: RefCell<Slab<Rc<Alarm>>>,
    draining: Cell<bool>,
    changed: Notify,
}

/// A connection's entry; dropping it strikes it out.
#[derive(Debug)]
pub(in crate::listen) struct Registered {
    registry: Rc<Registry>,
    key: usize,
}

impl Registry {
    pub(in crate::listen) fn enter(self: &Rc<Self>, alarm: Rc<Alarm>) -> Registered {
        let mut alarms = self.alarms.borrow_mut();
        let key = alarms.insert(alarm);
        if alarms.len() == 1 {
            self.changed.notify_waiters();
        }
        Registered { registry: Rc::clone(self), key }
    }

    /// Whether connections shall end as soon as nothing is in flight.
    pub(in crate::listen) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Tells every connection to end as soon as nothing is in flight.
    pub(in crate::listen) fn drain(&self) {
        self.draining.set(true);
        self.alarms.borrow().iter().for_each(|(_, alarm)| alarm.wake());
    }

    /// Has the newest connection of that client end on which nothing is asked; whether there is one.
    pub(in crate::listen) fn dismiss_newest(&self, cell: CellOf) -> bool {
        let alarms = self.alarms.borrow();
        let unasked = alarms.iter().filter_map(|(_, alarm)| Some((alarm.unasked_since(cell)?, alarm)));
        let newest = unasked.max_by_key(|(since, _)| *since);
        newest.inspect(|(_, alarm)| alarm.dismiss()).is_some()
    }

    /// Returns when no connection is left.
    pub(in crate::listen) async fn emptied(&self) {
        self.until(Slab::is_empty).await;
    }

    /// Looks for expired waits as long as the thread lives, `tick` apart, which may change; sleeps while there is no connection.
    pub(in crate::listen) async fn tick(&self, tick: &Cell<Duration>, limits: &RefCell<ClientLimits>, parked: &Parked) {
        let mut ticks_skipped = 0;
        loop {
            if parked.is_empty() {
                self.until(|alarms| !alarms.is_empty()).await;
            }
            let asleep = Instant::now();
            sleep(tick.get()).await;
            let now = Instant::now();
            // After a pause of the whole process timers are seen before what has arrived meanwhile: that is read first, or
            // everybody would be late at once. On a machine so busy that every tick is late, limits are kept all the same.
            let is_late = now.saturating_duration_since(asleep) > 2 * tick.get();
            if is_late && ticks_skipped < TICKS_SKIPPED_MAX {
                ticks_skipped += 1;
                continue;
            }
            ticks_skipped = 0;
            self.alarms.borrow().iter().for_each(|(_, alarm)| alarm.look(now));
            parked.expire(now, limits.borrow().keep_alive_timeout);
            parked.tidy(now);
        }
    }

    async fn until(&self, reached: impl Fn(&Slab<Rc<Alarm>>) -> bool) {
        // One thread: nothing changes between the question and the wait.
        while !reached(&self.alarms.borrow()) {
            self.changed.notified().await;
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut alarms = self.registry.alarms.borrow_mut();
        let gone = alarms.try_remove(self.key);
        let empty = alarms.is_empty();
        drop(alarms);
        drop(gone);
        if empty {
            self.registry.changed.notify_waiters();
        }
    }
}

/// Late ticks in a row that find nobody late. One is enough for a pause; on a busy machine another may have come before it.
const TICKS_SKIPPED_MAX: u32 = 4;

/// How often to look so that a limit is kept within about six per cent, at most half a second apart.
pub(in crate::listen) fn tick_for(shortest: Duration) -> Duration {
    (shortest / 16).clamp(Duration::from_millis(5), Duration::from_millis(500))
}
