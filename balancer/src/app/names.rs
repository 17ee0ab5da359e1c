//! Names that lead to endpoints: who follows them, at the start and from one configuration to the next.
//!
//! Called by `app` at the start and by `reload`. Never asks for a name itself.

use std::sync::Arc;
use std::time::Duration;

use super::live::Live;
use crate::admin::{Reporter, ServedPool};
use crate::config::{self, Config};
use crate::discover::{Discoverer, DiscoverySettings, DiscoverySurroundings};
use crate::pool::Pool;

impl Live {
    /// Follows the names of every pool, from now on as its configuration says. Endpoints to which a name has led leave with the
    /// name, or with their pool.
    pub(super) fn discover(&mut self) {
        let is_there = |name: &str| self.config.pools.iter().any(|pool| pool.name == name);
        // Those of a pool that is gone serve who is on the way to them; the pool is drained as a whole.
        self.discoverers.retain(|name, _| is_there(name));
        for (config, served) in self.config.pools.clone().into_iter().zip(self.pools.clone()) {
            let (name, pool) = (config.name.clone(), served.pool);
            match (Discoverer::is_wanted(&config), self.discoverers.remove(&name)) {
                (true, Some(mut discoverer)) => {
                    discoverer.reconfigure(DiscoverySettings { pool, config });
                    self.discoverers.insert(name, discoverer);
                }
                (true, None) => _ = self.discoverers.insert(name, self.discoverer(pool, config)),
                (false, Some(discoverer)) => discoverer.end(),
                (false, None) => {}
            }
        }
    }

    /// One that begins.
    fn discoverer(&self, pool: Arc<Pool>, config: config::Pool) -> Discoverer {
        let surroundings = DiscoverySurroundings {
            resolver: Arc::clone(&self.resolver),
            listen: self.listens.subscribe(),
            permits: self.permits.clone(),
        };
        Discoverer::start(DiscoverySettings { pool, config }, surroundings)
    }

    /// Says where we listen now.
    pub(super) fn listens(&self) {
        self.listens.send_replace(self.listening.iter().map(|one| one.bound.clone()).collect());
    }

    /// Follows `dns` of pools that are new or had none, until it has led to an endpoint or it is known that it does not.
    pub(super) async fn find_new(&mut self, begun: &[ServedPool], new: &Config, reporter: &Reporter) {
        for config in new.pools.iter().filter(|config| config.dns.name.is_some()) {
            let is_it = |served: &&ServedPool| **served.pool.name() == *config.name;
            let Some(served) = begun.iter().find(is_it).or_else(|| self.pools.iter().find(is_it)) else { continue };
            let pool = Arc::clone(&served.pool);
            let old = self.config.pools.iter().find(|known| known.name == config.name);
            match (old, self.discoverers.get_mut(&config.name)) {
                (Some(old), _) if old.dns.name.is_some() => continue,
                (Some(old), Some(discoverer)) => {
                    let config = config::Pool { dns: config.dns.clone(), ..old.clone() };
                    discoverer.reconfigure(DiscoverySettings { pool, config });
                }
                _ => {
                    let discoverer = self.discoverer(pool, config.clone());
                    self.discoverers.insert(config.name.clone(), discoverer);
                }
            }
            reporter.progress(format!("{}: looking up its endpoints", config.name));
            if let Some(discoverer) = self.discoverers.get(&config.name) {
                discoverer.settled(FOUND).await;
            }
        }
    }
}

/// A resolver that has not answered by then will not soon.
const FOUND: Duration = Duration::from_secs(5);
