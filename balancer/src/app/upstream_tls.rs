//! What it takes to speak TLS to endpoints: read at the start and at a reload, for each pool that has a table `tls`.
//!
//! Decides what becomes of a file that could be read before and cannot be now: what stood in it holds on, and that is said. Called by
//! `open` and `reload`. Never connects.

use std::collections::BTreeMap;

use crate::config;
use crate::tls::EndpointTls;

/// By pool.
#[derive(Debug, Default)]
pub(super) struct PoolsTls {
    pools: BTreeMap<String, PoolTls>,
    troubles: Vec<String>,
}

#[derive(Debug, Clone)]
struct PoolTls {
    /// Where it was read.
    config: config::UpstreamTls,
    http2: bool,
    tls: EndpointTls,
}

impl PoolsTls {
    /// The same for other pools, read anew; nothing is changed by that.
    ///
    /// # Errors
    /// A sentence, where a file cannot be used that never could.
    pub(super) fn again(&self, pools: &[config::Pool]) -> Result<Self, String> {
        let mut new = Self::default();
        for pool in pools {
            let Some(config) = &pool.tls else { continue };
            let known = self.pools.get(&pool.name).filter(|known| known.config == *config && known.http2 == pool.http2);
            let tls = match (EndpointTls::load(config, pool.http2), known) {
                // The same, so that sessions can be resumed.
                (Ok(tls), Some(known)) if known.tls.is_same_as(&tls) => known.tls.clone(),
                (Ok(tls), _) => {
                    new.troubles.extend(tls.oddity.iter().map(|oddity| format!("pool {}: {oddity}", pool.name)));
                    tls
                }
                (Err(error), Some(known)) => {
                    new.troubles.push(format!("pool {}: {error}; what was read before holds on", pool.name));
                    known.tls.clone()
                }
                (Err(error), None) => return Err(format!("pool {}: {error}", pool.name)),
            };
            new.pools.insert(pool.name.clone(), PoolTls { config: config.clone(), http2: pool.http2, tls });
        }
        Ok(new)
    }

    /// Says what is odd, once.
    pub(super) fn tell(&mut self) {
        self.troubles.drain(..).for_each(|trouble| tracing::warn!("{trouble}"));
    }

    /// What the endpoints of a pool are spoken to with; `None`: without TLS.
    pub(super) fn of(&self, pool: &str) -> Option<EndpointTls> {
        self.pools.get(pool).map(|read| read.tls.clone())
    }
}
