//! How the workers of all pools stand, for those that are started after others.
//!
//! Decides when a pool's turn to start has come. Called by [`super::Supervisor`]. Never starts anybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::status::Status;

/// The workers of every pool by its name, shared by all supervisors.
#[derive(Debug, Clone)]
pub struct Standings(Arc<watch::Sender<BTreeMap<Arc<str>, watch::Receiver<Status>>>>);

impl Default for Standings {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::default()))
    }
}

impl Standings {
    /// A pool has workers from now on; what was known under its name before is forgotten.
    pub(super) fn add(&self, pool: Arc<str>, status: watch::Receiver<Status>) {
        self.0.send_modify(|pools| {
            pools.insert(pool, status);
        });
    }

    /// Returns when all workers of all `pools` are ready, or have done their work, see [`Status::is_settled`]. A pool that is not
    /// there yet is waited for.
    pub(super) async fn settled(&self, pools: &[String]) {
        for name in pools {
            let mut known = self.0.subscribe();
            loop {
                let there = known.borrow_and_update().get(name.as_str()).cloned();
                if let Some(mut status) = there
                    && status.wait_for(Status::is_settled).await.is_ok()
                {
                    break;
                }
                // It is not there, or not any more; we hold the sender, so there is no error.
                let _ = known.changed().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pool_is_waited_for_until_it_is_there_and_settled() {
        let standings = Standings::default();
        let pools = ["db".to_owned()];
        let mut settled = std::pin::pin!(standings.settled(&pools));
        let mut is_settled = async || {
            tokio::select! {
                biased;
                () = &mut settled => true,
                () = tokio::task::yield_now() => false,
            }
        };
        assert!(!is_settled().await);
        let empty = Status { pool: "db".into(), count: 1, mixed: None, failed_roll: None, workers: Vec::new() };
        let (publish, status) = watch::channel(empty);
        standings.add("db".into(), status);
        assert!(!is_settled().await);
        // Of no worker nothing is lacking.
        publish.send_modify(|status| status.count = 0);
        assert!(is_settled().await);
    }
}
