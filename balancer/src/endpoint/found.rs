//! What there is besides of an endpoint to which a name has led: nobody told us that it serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The name, and whether a connection for a request has failed.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: Arc<str>,
    unreachable: AtomicBool,
    told: Notify,
}

impl Found {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, unreachable: AtomicBool::new(false), told: Notify::new() }
    }

    /// A connection has failed.
    pub(super) fn failed(&self) {
        self.unreachable.store(true, Ordering::SeqCst);
        self.told.notify_one();
    }

    /// A connection was accepted: what failed before does not count.
    pub(super) fn accepted(&self) {
        self.unreachable.store(false, Ordering::SeqCst);
    }

    /// Returns when a connection has failed since one was accepted. One may wait.
    pub(super) async fn unreachable(&self) {
        while !self.unreachable.load(Ordering::SeqCst) {
            self.told.notified().await;
        }
    }
}
