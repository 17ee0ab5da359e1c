//! What is said, once a pool, of endpoints that serve one connection at a time.
//!
//! Decides nothing: `endpoint` has found it out, and whoever waits for [`Pool::found_serial`] acts on it. Called by `forward`.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::Pool;
use crate::endpoint::Endpoint;

/// Whether such an endpoint was found.
#[derive(Debug, Default)]
pub(super) struct Serial {
    told: AtomicBool,
    found: Notify,
}

impl Pool {
    /// An endpoint has shown that it serves one connection at a time.
    pub fn serves_one_at_a_time(&self, endpoint: &Endpoint) {
        if !self.serial.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "pool {}: {} seems to serve one connection at a time: three requests were answered only after an idle \
                 connection to it was closed. Connections to it are no longer kept. Set `slots = 1` (`balancer run \
                 --slots 1`) to give each worker one request at a time and keep its connection",
                self.name,
                endpoint.name()
            );
        }
        self.serial.found.notify_one();
    }

    /// Returns when an endpoint has shown that it serves one connection at a time; for one caller.
    pub async fn found_serial(&self) {
        self.serial.found.notified().await;
    }
}
