//! The tasks of one thread that serve connections, each one after another.
//!
//! To make a task and to end it costs a connection per request about as much as to read its head. So a task that has served a
//! connection to its end waits for the next one, unless enough do.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use crate::listen::accept::threads::Counted;
use crate::listen::idle::alarm::Alarm;
use crate::listen::idle::registry::Registered;
use crate::net::{Peer, Socket};

/// Those of one thread that wait for a connection.
#[derive(Debug, Default)]
pub(in crate::listen) struct Tasks(RefCell<Vec<Rc<Task>>>);

/// A task, as whoever has a connection for it sees it.
#[derive(Debug, Default)]
pub(in crate::listen) struct Task {
    /// Wakes it: for what its connection waits for, and for the connection itself.
    alarm: Rc<Alarm>,
    next: RefCell<Option<Arrived>>,
}

/// A connection that is to be served.
#[derive(Debug)]
pub(in crate::listen) struct Arrived {
    pub(in crate::listen) socket: Socket,
    pub(in crate::listen) peer: Peer,
    pub(in crate::listen) counted: Counted,
    pub(in crate::listen) registered: Registered,
}

impl Tasks {
    /// One that waits for a connection.
    pub(in crate::listen) fn take(&self) -> Option<Rc<Task>> {
        self.0.borrow_mut().pop()
    }

    /// Leaves a task that has nothing to do to whoever has a connection for it; whether there is room for it.
    pub(in crate::listen) fn keep(&self, task: &Rc<Task>) -> bool {
        let mut tasks = self.0.borrow_mut();
        let has_room = tasks.len() < TASKS_MAX;
        if has_room {
            tasks.push(Rc::clone(task));
        }
        has_room
    }
}

impl Task {
    /// Whom to wake.
    pub(in crate::listen) fn alarm(&self) -> &Rc<Alarm> {
        &self.alarm
    }

    /// Has it serve that connection next.
    pub(in crate::listen) fn serve(&self, arrived: Arrived) {
        self.next.replace(Some(arrived));
        self.alarm.wake();
    }

    /// To be called by the task: waits for the connection to serve.
    pub(in crate::listen) async fn next(&self) -> Arrived {
        poll_fn(|cx| match self.next.take() {
            Some(arrived) => {
                // What the connection before it has waited for is over.
                self.alarm.begins(cx.waker());
                Poll::Ready(arrived)
            }
            None => Poll::Pending,
        })
        .await
    }
}

/// About 100 KiB. No more connections than this begin in one turn of the runtime, but on the busiest sites.
const TASKS_MAX: usize = 64;
