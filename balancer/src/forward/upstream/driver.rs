//! Wakes the task that drives an upstream connection, but not while that task is at it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

/// The waker that everything of one upstream connection is given: its socket, and the channels between its two halves.
///
/// The channels wake the very task that is polling them. Passed on, each such wake-up would have the runtime poll the whole
/// client connection once more; here it is noted instead, and the loop that drives the connection looks again.
#[derive(Debug, Default)]
pub(super) struct Driver {
    task: Mutex<Task>,
    driving: AtomicBool,
    woken: AtomicBool,
}

#[derive(Debug, Default)]
struct Task {
    /// Whom to wake; none while the connection is idle.
    waker: Option<Waker>,
    /// When something came the last time on the idle connection.
    woken_at_rest: Option<Instant>,
}

impl Driver {
    /// `task` drives from now on.
    pub(super) fn begin(&self, task: &Waker) {
        let mut kept = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.waker.as_ref().is_some_and(|kept| kept.will_wake(task)) {
            kept.waker = Some(task.clone());
        }
        drop(kept);
        self.driving.store(true, Ordering::Relaxed);
        self.woken.store(false, Ordering::Relaxed);
    }

    /// Whether something was woken since the last time this was asked.
    pub(super) fn was_woken(&self) -> bool {
        self.woken.swap(false, Ordering::Relaxed)
    }

    /// Nobody drives until somebody is woken.
    pub(super) fn end(&self) {
        self.driving.store(false, Ordering::Relaxed);
    }

    /// Nobody is to be woken: the connection is idle.
    pub(super) fn rest(&self) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Task::default();
    }

    /// When something came while nobody was to be woken.
    pub(super) fn woken_at_rest(&self) -> Option<Instant> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).woken_at_rest
    }
}

impl Wake for Driver {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.driving.load(Ordering::Relaxed) {
            self.woken.store(true, Ordering::Relaxed);
            return;
        }
        // Taken out first: waking may drop the task, and the connection with it.
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let waker = task.waker.clone();
        if waker.is_none() {
            task.woken_at_rest = Some(Instant::now());
        }
        drop(task);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
