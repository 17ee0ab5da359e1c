//! What an operator has taken out of a pool, by name.
//!
//! Decides whether an endpoint that joins takes requests, for a worker that is started again or replaced has another endpoint
//! of the same name. Called by the pool when members change. Never waits for requests.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::endpoint::Endpoint;

/// The names that are held.
#[derive(Debug, Default)]
pub(super) struct Holds(BTreeSet<Arc<str>>);

impl Holds {
    /// A fresh member: held like those of its name before it.
    pub(super) fn apply(&self, endpoint: &Endpoint) {
        if self.0.contains(endpoint.name()) {
            endpoint.hold();
        }
    }

    /// Those of that name are held from now on.
    pub(super) fn insert(&mut self, name: &Arc<str>) {
        self.0.insert(Arc::clone(name));
    }

    /// Nobody of that name is held any more; whether one was.
    pub(super) fn forget(&mut self, name: &str) -> bool {
        self.0.remove(name)
    }
}
