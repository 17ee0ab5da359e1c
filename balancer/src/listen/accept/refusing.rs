//! Connections that are being told that there are too many.
//!
//! Each has a descriptor until its client has read the answer. Were there no bound, a crowd of them would use up what the
//! connections that are served need towards their endpoints.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::listen::close;
use crate::listen::refusal::Refusal;
use crate::net::Socket;

/// Those of one thread.
#[derive(Debug)]
pub(in crate::listen) struct Refusing {
    count: Cell<usize>,
    max: usize,
    changed: Notify,
}

/// One of them; dropping it makes room.
#[derive(Debug)]
pub(in crate::listen) struct BeingRefused(Rc<Refusing>);

impl Refusing {
    /// For one of `threads`.
    pub(in crate::listen) fn for_threads(threads: usize) -> Self {
        Self { count: Cell::new(0), max: (MAX / threads).max(1), changed: Notify::new() }
    }

    pub(in crate::listen) fn enter(self: &Rc<Self>) -> BeingRefused {
        self.count.set(self.count.get() + 1);
        BeingRefused(Rc::clone(self))
    }

    /// Whether others may have to wait for these.
    fn are_many(&self) -> bool {
        self.count.get() > self.max / 2
    }

    /// Tells a client that there are too many, with less patience where others wait for that.
    pub(in crate::listen) async fn tell(self: Rc<Self>, refused: BeingRefused, socket: Socket, id: String) {
        let refusal = Refusal::ConnectionsMax;
        match self.are_many() {
            true => close::soon_with_answer(socket, refusal, id).await,
            false => close::with_answer(socket, refusal, id).await,
        }
        drop(refused);
    }

    /// Waits until there may be one more: meanwhile clients wait in the kernel's queue.
    pub(in crate::listen) async fn room(&self) {
        while self.count.get() >= self.max {
            self.changed.notified().await;
        }
    }
}

impl Drop for BeingRefused {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        self.0.changed.notify_one();
    }
}

/// Of all threads: half of the descriptors that are set aside.
const MAX: usize = 128;
