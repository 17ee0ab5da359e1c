//! What a `run` does about workers that serve one connection at a time.
//!
//! Decides that each gets one request at a time, as if `--slots 1` had been said: whoever typed the command may not know what its
//! program does. A file is somebody's decision, and is not changed.

use std::sync::Arc;

use super::live::Live;
use super::plan::Plan;
use crate::admin::Reporter;
use crate::config::{Buffers, Slots};
use crate::pool::Pool;

impl Live {
    /// The pool to be asked whether it has such workers: of an instance without a file.
    pub(super) fn may_be_serial(&self) -> Option<Arc<Pool>> {
        self.pools.first().filter(|_| self.path.is_none()).map(|served| Arc::clone(&served.pool))
    }

    /// Gives each worker one request at a time.
    pub(super) async fn serve_one_at_a_time(&mut self) {
        let mut new = self.config.clone();
        for pool in new.pools.iter_mut().filter(|pool| pool.slots.is_none()) {
            pool.slots = Some(Slots::new(1));
            pool.buffers = Buffers::with_slots(true);
        }
        let plan = Plan::new(&self.config, &new);
        if plan.is_empty() {
            return;
        }
        match self.apply(&plan, new.clone(), new, &Reporter::nobody()).await {
            Ok(_) => {
                let text = "each worker gets one request at a time now, as with --slots 1";
                tracing::info!("{text}");
                self.note("serial", None, text);
            }
            Err(why) => tracing::warn!("cannot give each worker one request at a time: {why}"),
        }
    }
}

/// Returns when such workers were found.
pub(super) async fn found(pool: Option<&Pool>) {
    match pool {
        Some(pool) => pool.found_serial().await,
        None => std::future::pending().await,
    }
}
