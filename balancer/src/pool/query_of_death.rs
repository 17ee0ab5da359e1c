//! The table of requests that workers may have died of, shared by all threads. Decides nothing; looked at by `deaths`. Never locked by a
//! request while it is empty.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::deadly::Asked;
use super::hung::Hung;
use super::killers::Killers;
use super::suspects::Suspects;
use crate::endpoint::EndpointId;
use crate::net::until;

/// What is suspected and what is refused in one pool.
#[derive(Debug, Default)]
pub(super) struct QueryOfDeath {
    /// Whether anything is in the table; requests look at nothing else as long as it is not.
    active: AtomicBool,
    table: Mutex<DeathTable>,
    /// Told of every death.
    pub(super) died: Notify,
    /// What was answered too late, for which workers were replaced.
    pub(super) hung: Hung,
}

/// What is counted by the spelling of a path, and what by client.
#[derive(Debug, Default)]
pub(super) struct DeathTable {
    pub(super) suspects: Suspects,
    pub(super) killers: Killers,
}

impl QueryOfDeath {
    /// What `look` finds in the table, and leaves there.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut DeathTable) -> T) -> T {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let found = look(&mut table);
        self.active.store(!(table.suspects.is_empty() && table.killers.is_empty()), Ordering::Relaxed);
        found
    }

    /// The same, if there is anything in the table.
    pub(super) fn look_if_active<T>(&self, look: impl FnOnce(&mut DeathTable) -> T) -> Option<T> {
        self.active.load(Ordering::Relaxed).then(|| self.look(look))
    }

    /// Returns when `worker` is known to have died with such a request in flight.
    pub(super) async fn until_known(&self, worker: EndpointId, asked: &Asked<'_>) {
        until(&self.died, || self.look(|table| table.suspects.knows(worker, asked)).then_some(())).await;
    }
}
