//! What an operator does to endpoints of a pool. Decides nothing; called by `app`. Never waits for the requests that are in flight there.

use std::sync::{Arc, PoisonError};

use super::Pool;
use crate::endpoint::Endpoint;

impl Pool {
    /// Gives endpoints of that name no request from now on, also those that come later, until [`Self::unhold`].
    pub fn hold(&self, name: &Arc<str>) {
        // Whoever joins meanwhile does so before, or sees it.
        let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        holds.insert(name);
        self.named(name).for_each(|endpoint| endpoint.hold());
    }

    /// Ends [`Self::hold`]; says whether it did hold.
    pub fn unhold(&self, name: &str) -> bool {
        let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        let was_held = holds.forget(name);
        self.named(name).for_each(|endpoint| endpoint.release());
        drop(holds);
        self.available_changed();
        was_held
    }

    /// Nobody of that name will come again, or if so, as somebody else.
    pub fn forget(&self, name: &str) {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).forget(name);
    }

    fn named<'n>(&self, name: &'n str) -> impl Iterator<Item = Arc<Endpoint>> + use<'n> {
        self.endpoints().into_iter().filter(move |endpoint| **endpoint.name() == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Address};

    fn endpoint(name: &str, number: u16) -> Arc<Endpoint> {
        Endpoint::of_worker(name.to_owned(), Address::Unix(format!("/s{number}").into()), None)
    }

    #[test]
    fn whoever_comes_under_a_held_name_is_held_and_one_that_is_away_can_be_released() {
        let pool = Pool::new(&config::Pool::new("app"));
        let (first, other, second) = (endpoint("app.1", 1), endpoint("app.2", 2), endpoint("app.1", 3));
        pool.add(Arc::clone(&first), 1);
        pool.add(Arc::clone(&other), 2);
        pool.hold(first.name());
        pool.add(Arc::clone(&second), 1);
        assert!(first.is_held() && second.is_held() && other.accepts());
        assert!(pool.unhold("app.1") && !pool.unhold("app.1"));
        assert!(first.accepts() && second.accepts());
        pool.hold(first.name());
        pool.remove(first.id());
        pool.remove(second.id());
        assert!(pool.unhold("app.1"));
        let third = endpoint("app.1", 4);
        pool.add(Arc::clone(&third), 1);
        assert!(third.accepts());
    }

    #[test]
    fn an_endpoint_that_the_configuration_drops_is_held_no_more_when_it_comes_back() {
        let mut with = config::Pool::new("web");
        with.endpoints.push(config::Endpoint::new(Address::Unix("/s9".into())));
        let without = config::Pool::new("web");
        let pool = Pool::new(&with);
        let held = pool.endpoints()[0].name().clone();
        pool.hold(&held);
        assert!(pool.succeed(&with).endpoints()[0].is_held());
        assert!(pool.succeed(&without).succeed(&with).endpoints()[0].accepts());
    }
}
