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
    policy: config::Policy,
    /// How many of the configuration's own endpoints are in front.
    fixed: usize,
    positions: Vec<(usize, Arc<Endpoint>)>,
    first: Picker,
    backup: Picker,
}

impl Members {
    /// The fixed endpoints of a configuration.
    pub(super) fn of(pool: &config::Pool) -> Self {
        let fixed: Vec<_> = pool.endpoints.iter().map(|fixed| (0, fixed_endpoint(fixed))).collect();
        Self::new(&pool.policy, fixed.len(), fixed)
    }

    /// The same members under another configuration: its fixed endpoints, those that were there already kept, and whoever
    /// came by itself.
    pub(super) fn configured(&self, pool: &config::Pool) -> Self {
        let (before, others) = self.positions.split_at(self.fixed);
        let fixed = pool.endpoints.iter().map(|fixed| {
            let known = before.iter().map(|(_, endpoint)| endpoint).find(|known| *known.address() == fixed.address);
            let endpoint = known.map_or_else(|| fixed_endpoint(fixed), Arc::clone);
            endpoint.configure(fixed.weight, fixed.backup);
            (0, endpoint)
        });
        let fixed: Vec<_> = fixed.collect();
        Self::new(&pool.policy, fixed.len(), fixed.into_iter().chain(others.iter().cloned()).collect())
    }

    /// The first `fixed` stay in front and in order, the others follow by position.
    fn new(policy: &config::Policy, fixed: usize, mut positions: Vec<(usize, Arc<Endpoint>)>) -> Self {
        positions[fixed..].sort_by_key(|(position, endpoint)| (*position, endpoint.id()));
        let part = |backup| {
            let part = positions.iter().map(|(_, endpoint)| endpoint).filter(|endpoint| endpoint.backup() == backup);
            Picker::new(policy, part.cloned().collect())
        };
        Self { policy: policy.clone(), fixed, first: part(false), backup: part(true), positions }
    }

    /// The same with one more.
    pub(super) fn with(&self, endpoint: Arc<Endpoint>, position: usize) -> Self {
        let mut positions = self.positions.clone();
        positions.push((position, endpoint));
        Self::new(&self.policy, self.fixed, positions)
    }

    /// The same without the one of that number.
    pub(super) fn without(&self, id: EndpointId) -> Self {
        let fixed = self.positions[..self.fixed].iter().filter(|(_, endpoint)| endpoint.id() != id).count();
        let rest = self.positions.iter().filter(|(_, endpoint)| endpoint.id() != id);
        Self::new(&self.policy, fixed, rest.cloned().collect())
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

/// An endpoint that the configuration names.
fn fixed_endpoint(fixed: &config::Endpoint) -> Arc<Endpoint> {
    Endpoint::new(fixed.address.to_string(), fixed.address.clone(), fixed.weight, fixed.backup)
}
