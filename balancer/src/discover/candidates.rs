//! The places that a name is taken to have, each with the task that looks after it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::answer::FoundPlace;
use super::join::Joining;
use super::task::OwnedTask;
use crate::config::{Address, Host};
use crate::endpoint::Endpoint;
use crate::pool::Pool;

/// By address. Shared by whoever hears the answers and whoever ends all of it.
#[derive(Debug, Default)]
pub(super) struct JoiningPlaces(Mutex<BTreeMap<SocketAddr, JoiningPlace>>);

#[derive(Debug)]
struct JoiningPlace {
    endpoint: Arc<Endpoint>,
    _joining: OwnedTask,
}

impl JoiningPlaces {
    /// A place that `name` has: it becomes a member once it takes connections.
    pub(super) fn come(&self, place: FoundPlace, name: &Arc<str>, joining: &Joining) {
        let at = Address::Tcp { host: Host::Ip(place.address.ip()), port: place.address.port() };
        let endpoint = Endpoint::found(Arc::clone(name), at, place.weight, place.backup);
        let task = OwnedTask::spawn(joining.clone().keep(Arc::clone(&endpoint)));
        self.locked().insert(place.address, JoiningPlace { endpoint, _joining: task });
    }

    /// Places have other weights or roles.
    pub(super) fn reweigh(&self, places: &[FoundPlace], pool: &Pool) {
        let all = self.locked();
        for place in places {
            if let Some(candidate) = all.get(&place.address) {
                candidate.endpoint.configure(place.weight, place.backup);
            }
        }
        drop(all);
        if !places.is_empty() {
            pool.reweigh();
        }
    }

    /// It is not there any more: it gets no new request, and those in flight go on.
    pub(super) fn go(&self, address: &SocketAddr, pool: &Pool) {
        if let Some(candidate) = self.locked().remove(address) {
            candidate.leave(pool);
        }
    }

    /// None is there any more.
    pub(super) fn clear(&self, pool: &Pool) {
        let all = std::mem::take(&mut *self.locked());
        all.into_values().for_each(|candidate| candidate.leave(pool));
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<SocketAddr, JoiningPlace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JoiningPlace {
    fn leave(self, pool: &Pool) {
        // First out of the list, then closed: who has seen the old list finds the new one.
        pool.remove(self.endpoint.id());
        self.endpoint.drain();
        pool.forget(self.endpoint.name());
    }
}
