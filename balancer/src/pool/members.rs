//! The members of a pool at one moment: an immutable snapshot, swapped whole.

use std::sync::Arc;

use rand::Rng;

use super::Affinity;
use crate::config;
use crate::endpoint::{Endpoint, EndpointId};
use crate::pick::{Picker, Turn};

/// Endpoints in order, and the policy made ready for them.
#[derive(Debug)]
pub(super) struct Members {
    positions: Vec<(usize, Arc<Endpoint>)>,
    first: Picker,
    backup: Picker,
}

impl Members {
    /// Endpoints with their positions, in any order.
    pub(super) fn new(policy: &config::Policy, mut positions: Vec<(usize, Arc<Endpoint>)>) -> Self {
        positions.sort_by_key(|(position, endpoint)| (*position, endpoint.id()));
        let part = |backup| {
            let part = positions.iter().map(|(_, endpoint)| endpoint).filter(|endpoint| endpoint.backup() == backup);
            Picker::new(policy, part.cloned().collect())
        };
        Self { first: part(false), backup: part(true), positions }
    }

    /// The same with one more.
    pub(super) fn with(&self, policy: &config::Policy, endpoint: Arc<Endpoint>, position: usize) -> Self {
        let mut positions = self.positions.clone();
        positions.push((position, endpoint));
        Self::new(policy, positions)
    }

    /// The same without the one of that number.
    pub(super) fn without(&self, policy: &config::Policy, id: EndpointId) -> Self {
        let rest = self.positions.iter().filter(|(_, endpoint)| endpoint.id() != id);
        Self::new(policy, rest.cloned().collect())
    }

    /// Picks one that accepts requests and is none of `tried`; a backup only where there is no other.
    pub(super) fn pick<R: Rng>(&self, turn: &mut Turn<'_, R>, tried: &[EndpointId]) -> Option<&Arc<Endpoint>> {
        let available = |endpoint: &Arc<Endpoint>| endpoint.accepts() && !tried.contains(&endpoint.id());
        self.first.pick(turn, available).or_else(|| self.backup.pick(turn, available))
    }

    /// The one whose affinity tag this is, unless it was tried.
    pub(super) fn tagged(&self, tag: u64, affinity: &Affinity, tried: &[EndpointId]) -> Option<&Arc<Endpoint>> {
        // A worker that drains and its replacement have one name, and so one tag.
        let wanted = |endpoint: &&Arc<Endpoint>| affinity.tag(endpoint) == tag && endpoint.accepts();
        self.endpoints().find(wanted).filter(|found| !tried.contains(&found.id()))
    }

    /// All, in order.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.positions.iter().map(|(_, endpoint)| endpoint)
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }
}
