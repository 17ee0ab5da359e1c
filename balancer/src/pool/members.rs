//! The members of a pool at one moment: an immutable snapshot, swapped whole.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use super::affinity::Affinity;
use crate::config;
use crate::endpoint::{Around, Endpoint, EndpointId};
use crate::pick::{Picker, Turn};

/// Endpoints in order, and the policy made ready for them.
#[derive(Debug)]
pub(super) struct Members {
    /// What decides of those that come.
    config: Arc<config::Pool>,
    /// How many of the configuration's own endpoints are in front.
    fixed: usize,
    positions: Vec<(usize, Arc<Endpoint>)>,
    first: Picker,
    backup: Picker,
    /// Who asks for something in these seconds.
    around: Arc<Around>,
}

impl Members {
    /// The fixed endpoints of a configuration.
    pub(super) fn of(pool: &config::Pool, name: &Arc<str>) -> Self {
        let around = Arc::default();
        let fixed = pool.endpoints.iter().map(|fixed| (0, fixed_endpoint(fixed, (name, &pool.health, &around))));
        let fixed: Vec<_> = fixed.collect();
        Self::new(&Arc::new(pool.clone()), fixed.len(), fixed, &around)
    }

    /// The same members under another configuration: its fixed endpoints, those that were there already kept, and whoever
    /// came by itself.
    pub(super) fn configured(&self, pool: &config::Pool, name: &Arc<str>) -> Self {
        let (before, others) = self.positions.split_at(self.fixed);
        let fixed = pool.endpoints.iter().map(|fixed| {
            let known = before.iter().map(|(_, endpoint)| endpoint).find(|known| *known.address() == fixed.address);
            let endpoint = known.map_or_else(|| fixed_endpoint(fixed, (name, &pool.health, &self.around)), Arc::clone);
            endpoint.judged_by(name, &pool.health, &self.around);
            endpoint.configure(fixed.weight, fixed.backup);
            (0, endpoint)
        });
        let fixed: Vec<_> = fixed.collect();
        others.iter().for_each(|(_, endpoint)| endpoint.judged_by(name, &pool.health, &self.around));
        let all = fixed.iter().chain(others).cloned().collect();
        Self::new(&Arc::new(pool.clone()), fixed.len(), all, &self.around)
    }

    /// The first `fixed` stay in front and in order, the others follow by position.
    fn new(
        config: &Arc<config::Pool>,
        fixed: usize,
        mut positions: Vec<(usize, Arc<Endpoint>)>,
        around: &Arc<Around>,
    ) -> Self {
        positions[fixed..].sort_by_key(|(position, endpoint)| (*position, endpoint.id()));
        let part = |backup| {
            let part = positions.iter().map(|(_, endpoint)| endpoint).filter(|endpoint| endpoint.backup() == backup);
            Picker::new(&config.policy, part.cloned().collect())
        };
        let (config, around) = (Arc::clone(config), Arc::clone(around));
        Self { config, fixed, first: part(false), backup: part(true), positions, around }
    }

    /// How long tunnels may go on.
    pub(super) fn tunnel_drain(&self) -> Duration {
        self.config.timeouts.tunnel_drain
    }

    /// The same with one more.
    pub(super) fn with(&self, endpoint: Arc<Endpoint>, position: usize) -> Self {
        let mut positions = self.positions.clone();
        positions.push((position, endpoint));
        Self::new(&self.config, self.fixed, positions, &self.around)
    }

    /// The same, made anew of what the endpoints are now.
    pub(super) fn again(&self) -> Self {
        Self::new(&self.config, self.fixed, self.positions.clone(), &self.around)
    }

    /// The same without the one of that number.
    pub(super) fn without(&self, id: EndpointId) -> Self {
        let fixed = self.positions[..self.fixed].iter().filter(|(_, endpoint)| endpoint.id() != id).count();
        let rest = self.positions.iter().filter(|(_, endpoint)| endpoint.id() != id);
        Self::new(&self.config, fixed, rest.cloned().collect(), &self.around)
    }

    /// Picks one that accepts requests, is not out, and is none of `tried`; a backup only where there is no other.
    ///
    /// With `despite`, health is not asked; else the flag is set where it has kept an endpoint from being picked.
    pub(super) fn pick<R: Rng>(
        &self,
        turn: &mut Turn<'_, R>,
        tried: &[EndpointId],
        despite: bool,
    ) -> (Option<&Arc<Endpoint>>, bool) {
        let kept_out = Cell::new(false);
        let available = |endpoint: &Arc<Endpoint>| {
            let accepts = endpoint.accepts() && !tried.contains(&endpoint.id());
            let out = accepts && !despite && endpoint.is_out();
            kept_out.set(kept_out.get() || out);
            accepts && !out
        };
        let picked = self.first.pick(turn, available).or_else(|| self.backup.pick(turn, available));
        (picked, kept_out.get())
    }

    /// Picks an ejected one that is none of `tried`, before its time is over: for whom nobody else is left.
    pub(super) fn pick_ejected<R: Rng>(&self, turn: &mut Turn<'_, R>, tried: &[EndpointId]) -> Option<&Arc<Endpoint>> {
        let may = |endpoint: &Arc<Endpoint>| is_askable(endpoint) && !tried.contains(&endpoint.id());
        self.first.pick(turn, may).or_else(|| self.backup.pick(turn, may))
    }

    /// As [`Self::pick`], among those with fewer than `slots` requests. A backup's turn comes when no other is available, not
    /// when all others are busy. Where none is left that is available and not tried, one that is ejected is taken, with
    /// `despite` any; and then, with `again`, one of `tried`.
    pub(super) fn pick_free<R: Rng>(
        &self,
        turn: &mut Turn<'_, R>,
        tried: &[EndpointId],
        (slots, again, despite): (usize, bool, bool),
    ) -> Option<&Arc<Endpoint>> {
        let parts = [&self.first, &self.backup];
        // As without slots, a retry goes first to who is available.
        let of_all = despite && tried.is_empty();
        let available = |endpoint: &Arc<Endpoint>| takes(endpoint, of_all) && !tried.contains(&endpoint.id());
        let is_free = |endpoint: &Arc<Endpoint>| endpoint.in_flight() < slots;
        if let Some(part) = parts.into_iter().find(|part| part.endpoints().iter().any(available)) {
            let picked = part.pick(turn, |endpoint| available(endpoint) && is_free(endpoint));
            if picked.is_some() || !despite {
                return picked;
            }
        }
        let left = |endpoint: &Arc<Endpoint>| {
            (is_askable(endpoint) || takes(endpoint, despite)) && !tried.contains(&endpoint.id()) && is_free(endpoint)
        };
        let left = parts.into_iter().find_map(|part| part.pick(turn, left));
        left.or_else(|| if again { self.pick_free(turn, &[], (slots, false, despite)) } else { None })
    }

    /// Whether any that is available has fewer than `slots` requests, or any that is ejected where none is available; with
    /// `despite`, health is not asked.
    pub(super) fn any_free(&self, slots: usize, despite: bool) -> bool {
        let mut none_available = true;
        for endpoint in self.endpoints().filter(|endpoint| takes(endpoint, despite)) {
            if endpoint.in_flight() < slots {
                return true;
            }
            none_available = false;
        }
        none_available && self.endpoints().any(|endpoint| is_askable(endpoint) && endpoint.in_flight() < slots)
    }

    /// Whether [`Self::pick_free`] has one for who was not served at `tried`, but for those that were tried.
    pub(super) fn is_any_free_for(&self, tried: &[EndpointId], slots: usize, despite: bool) -> bool {
        let parts = [&self.first, &self.backup];
        let is_new = |endpoint: &Endpoint| !tried.contains(&endpoint.id());
        let available = |endpoint: &Endpoint| takes(endpoint, despite && tried.is_empty()) && is_new(endpoint);
        let left = |endpoint: &Endpoint| (is_askable(endpoint) || takes(endpoint, despite)) && is_new(endpoint);
        let any_free = |part: &Picker, is: &dyn Fn(&Endpoint) -> bool| {
            part.endpoints().iter().any(|endpoint| is(endpoint) && endpoint.in_flight() < slots)
        };
        let part = parts.into_iter().find(|part| part.endpoints().iter().any(|endpoint| available(endpoint)));
        part.is_some_and(|part| any_free(part, &available))
            || ((part.is_none() || despite) && parts.into_iter().any(|part| any_free(part, &left)))
    }

    /// Places there are with so many at each, free or not.
    pub(super) fn places(&self, slots: usize, despite: bool) -> usize {
        let count = |part: &Picker, is: &dyn Fn(&Endpoint) -> bool| {
            part.endpoints().iter().filter(|endpoint| is(endpoint)).count()
        };
        let available = |part| count(part, &|endpoint| takes(endpoint, despite));
        let counts = [available(&self.first), available(&self.backup), count(&self.first, &is_askable)];
        slots * counts.into_iter().find(|&count| count > 0).unwrap_or(0)
    }

    /// Whether the health of any that accepts keeps requests away.
    pub(super) fn any_out(&self) -> bool {
        self.endpoints().any(|endpoint| endpoint.accepts() && endpoint.is_out())
    }

    /// The one of that number.
    pub(super) fn get(&self, id: EndpointId) -> Option<&Arc<Endpoint>> {
        self.endpoints().find(|endpoint| endpoint.id() == id)
    }

    /// The one whose affinity tag this is, unless it was tried or is out.
    pub(super) fn tagged(&self, tag: u64, affinity: &Affinity, tried: &[EndpointId]) -> Option<&Arc<Endpoint>> {
        // A worker that drains and its replacement have one name, and so one tag.
        let found = self.endpoints().find(|endpoint| affinity.tag(endpoint) == tag && endpoint.accepts());
        found.filter(|found| !tried.contains(&found.id()) && !found.is_out())
    }

    /// How many of those that accept requests are not out, and how many there are; backups do not count. `None` when a
    /// backup is available: it serves then.
    pub(super) fn available(&self) -> Option<(usize, usize)> {
        let is_available = |endpoint: &Arc<Endpoint>| takes(endpoint, false);
        if self.backup.endpoints().iter().any(is_available) {
            return None;
        }
        let first = self.first.endpoints();
        let available = first.iter().filter(|endpoint| is_available(endpoint)).count();
        Some((available, first.iter().filter(|endpoint| endpoint.accepts()).count()))
    }

    /// Who asks the pool for something in these seconds.
    pub(super) fn around(&self) -> &Arc<Around> {
        &self.around
    }

    /// How members are judged.
    pub(super) fn health(&self) -> &config::Health {
        &self.config.health
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
fn fixed_endpoint(
    fixed: &config::Endpoint,
    (pool, health, around): (&Arc<str>, &config::Health, &Arc<Around>),
) -> Arc<Endpoint> {
    let endpoint = Endpoint::new(fixed.address.to_string(), fixed.address.clone(), fixed.weight, fixed.backup);
    endpoint.judged_by(pool, health, around);
    endpoint
}

/// Whether it may be given requests; with `despite`, whatever its health is.
fn takes(endpoint: &Endpoint, despite: bool) -> bool {
    endpoint.accepts() && (despite || !endpoint.is_out())
}

/// Whether it may be given requests for want of others although it is ejected.
fn is_askable(endpoint: &Endpoint) -> bool {
    endpoint.accepts() && endpoint.is_ejected()
}
