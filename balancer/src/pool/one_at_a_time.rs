//! Endpoints of a pool that serve one connection at a time. Decides nothing; called by `forward`, which finds one, and by `app`, which acts.
//! Never says it twice.

use super::Pool;
use crate::endpoint::Endpoint;

impl Pool {
    /// An endpoint has shown that it serves one connection at a time.
    pub fn serves_one_at_a_time(&self, endpoint: &Endpoint) {
        self.serial.tell(&self.name, endpoint);
    }

    /// Returns when an endpoint has shown that it serves one connection at a time; for one caller.
    pub async fn found_serial(&self) {
        self.serial.found().await;
    }
}
