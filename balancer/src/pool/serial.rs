//! What is said, once a pool, of endpoints that serve one connection at a time.
//!
//! Decides nothing: `endpoint` has found it out, and whoever waits for it acts. Called by the pool. Never says it twice.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::endpoint::Endpoint;

/// Whether such an endpoint was found.
#[derive(Debug, Default)]
pub(super) struct SerialFound {
    told: AtomicBool,
    found: Notify,
}

impl SerialFound {
    /// An endpoint has shown that it serves one connection at a time.
    pub(super) fn tell(&self, pool: &str, endpoint: &Endpoint) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "pool {pool}: {} seems to serve one connection at a time: three requests were answered only after an idle \
                 connection to it was closed. Connections to it are no longer kept. Set `slots = 1` (`balancer run \
                 --slots 1`) to give each worker one request at a time and keep its connection",
                endpoint.name()
            );
        }
        self.found.notify_one();
    }

    /// Returns when one has; for one caller.
    pub(super) async fn found(&self) {
        self.found.notified().await;
    }
}
