//! From an address to a member: it is given requests once it takes connections, and none while it does not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::settings::DiscoverySettings;
use super::shown::NamesShown;
use crate::config::Probe;
use crate::endpoint::Endpoint;
use crate::probe::{Permits, ask_once};

/// What it takes to make members of endpoints.
#[derive(Debug, Clone)]
pub(super) struct Joining {
    pub(super) settings: watch::Receiver<Arc<DiscoverySettings>>,
    pub(super) permits: Permits,
    pub(super) shown: watch::Sender<NamesShown>,
}

impl Joining {
    /// Looks after one endpoint for as long as its name leads to it.
    pub(super) async fn keep(self, endpoint: Arc<Endpoint>) {
        let mut returns = false;
        loop {
            self.until_it_accepts(&endpoint).await;
            endpoint.accepted();
            let pool = self.pool();
            if returns {
                tracing::info!("pool {}: {} takes connections again", pool.name(), endpoint.name());
            }
            pool.add(Arc::clone(&endpoint), BEHIND);
            self.shown.send_modify(|shown| shown.joined += 1);
            endpoint.unreachable().await;
            let pool = self.pool();
            pool.remove(endpoint.id());
            returns = true;
            tracing::warn!("pool {}: {} takes no connection; out until it does", pool.name(), endpoint.name());
        }
    }

    /// Asks as the pool's probe does, or for a connection where it has none; again after a pause that grows up to `dns_interval`.
    async fn until_it_accepts(&self, endpoint: &Endpoint) {
        let mut pause = PAUSE;
        loop {
            let (probe, longest) = {
                let settings = self.settings.borrow();
                let connects = || Probe { timeout: settings.config.timeouts.connect, ..Probe::default() };
                (settings.config.health.probe.clone().unwrap_or_else(connects), settings.config.dns.interval)
            };
            match ask_once(&self.pool(), endpoint, &probe, &self.permits).await {
                Ok(()) => return,
                Err(why) => tracing::debug!("pool {}: {} is not there: {why}", self.pool().name(), endpoint.name()),
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    fn pool(&self) -> Arc<crate::pool::Pool> {
        Arc::clone(&self.settings.borrow().pool)
    }
}

/// Behind workers and fixed endpoints, in the order in which they came.
const BEHIND: usize = usize::MAX;
/// Containers have their address moments before they listen.
const PAUSE: Duration = Duration::from_millis(100);
