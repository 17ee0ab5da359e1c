//! Names → addresses, kept fresh: the endpoints that DNS has for a pool come and go with its answers.
//!
//! Decides when a name is asked for, which of its addresses are taken to be there, and when one of them is given requests. Called
//! by `app`, on the control thread, and by `cli`, which only asks. Never judges an endpoint beyond its first connection, and
//! never keeps a request waiting.

mod answer;
#[cfg(not(feature = "dns"))]
mod by_libc;
mod candidates;
mod follow;
mod hear;
mod join;
mod known;
mod own;
mod pace;
mod resolve;
#[cfg(feature = "dns")]
mod resolver;
#[cfg(feature = "dns")]
mod search;
mod seek;
mod settings;
#[cfg(feature = "dns")]
mod shares;
mod shown;
#[cfg(feature = "dns")]
mod system;
mod task;
mod tell;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::{self, ListenAddress};
use crate::endpoint::EndpointId;
use crate::probe::Permits;
pub use answer::DnsAnswer;
#[cfg(not(feature = "dns"))]
pub use by_libc::Resolver;
use candidates::JoiningPlaces;
pub use resolve::Resolve;
#[cfg(feature = "dns")]
pub use resolver::Resolver;
pub use settings::DiscoverySettings;
pub use shown::{NameShown, NamesShown};
use task::OwnedTask;

/// Follows the names of one pool until it is dropped: its `dns`, and those in its `endpoints`.
#[derive(Debug)]
pub struct Discoverer {
    settings: watch::Sender<Arc<DiscoverySettings>>,
    surroundings: DiscoverySurroundings,
    shown: watch::Sender<NamesShown>,
    candidates: Arc<JoiningPlaces>,
    /// Looks for the addresses of `dns`.
    seeking: Option<OwnedTask>,
    /// Follow names in `endpoints`.
    following: BTreeMap<EndpointId, OwnedTask>,
}

/// What all discoverers share.
#[derive(Debug, Clone)]
pub struct DiscoverySurroundings {
    /// Whom to ask.
    pub resolver: Arc<Resolver>,
    /// Where we listen ourselves.
    pub listen: watch::Receiver<Vec<ListenAddress>>,
    /// Questions to endpoints under way.
    pub permits: Permits,
}

impl Discoverer {
    /// Whether a pool has names to follow.
    pub fn is_wanted(config: &config::Pool) -> bool {
        config.dns.name.is_some() || config.endpoints.iter().any(config::Endpoint::has_name)
    }

    /// Begins at once, and waits for no answer.
    pub fn start(settings: DiscoverySettings, surroundings: DiscoverySurroundings) -> Self {
        let mut discoverer = Self {
            settings: watch::Sender::new(Arc::new(settings)),
            surroundings,
            shown: watch::Sender::default(),
            candidates: Arc::default(),
            seeking: None,
            following: BTreeMap::new(),
        };
        discoverer.set_out();
        discoverer
    }

    /// Goes on with other settings. Addresses that another `dns` has as well stay members.
    pub fn reconfigure(&mut self, settings: DiscoverySettings) {
        self.settings.send_replace(Arc::new(settings));
        self.set_out();
    }

    /// What is known of the names.
    pub fn watch(&self) -> watch::Receiver<NamesShown> {
        self.shown.subscribe()
    }

    /// Waits until `dns` has led to an endpoint that takes requests, or is known to lead nowhere, for so long at most.
    pub async fn settled(&self, patience: Duration) {
        let Some(name) = self.settings.borrow().config.dns.name.as_ref().map(ToString::to_string) else { return };
        let mut shown = self.shown.subscribe();
        let settled = shown.wait_for(|shown| match shown.names.get(&name) {
            Some(known) => known.addresses.is_empty() || shown.joined > 0,
            None => false,
        });
        // Whether it is or not, there is nothing better to do.
        let _ = timeout(patience, settled).await.is_ok();
    }

    /// Takes the endpoints out to which names have led; their requests go on.
    pub fn end(self) {
        drop((self.seeking, self.following));
        self.candidates.clear(&self.settings.borrow().pool);
    }

    /// Sees to it that there is a task for each name.
    fn set_out(&mut self) {
        let settings = Arc::clone(&self.settings.borrow());
        if settings.config.dns.name.is_none() {
            self.seeking = None;
            self.candidates.clear(&settings.pool);
        } else if self.seeking.is_none() {
            let seeker = seek::Seeker {
                resolver: Arc::clone(&self.surroundings.resolver),
                listen: self.surroundings.listen.clone(),
                permits: self.surroundings.permits.clone(),
                settings: self.settings.subscribe(),
                candidates: Arc::clone(&self.candidates),
                shown: self.shown.clone(),
            };
            self.seeking = Some(OwnedTask::spawn(seeker.run()));
        }
        let endpoints = settings.pool.endpoints();
        self.following.retain(|id, _| endpoints.iter().any(|endpoint| endpoint.id() == *id));
        for endpoint in endpoints.into_iter().filter(|endpoint| follow::has_name(endpoint)) {
            self.following.entry(endpoint.id()).or_insert_with(|| {
                let follower = follow::Follower {
                    resolver: Arc::clone(&self.surroundings.resolver),
                    listen: self.surroundings.listen.clone(),
                    settings: self.settings.subscribe(),
                    endpoint,
                    shown: self.shown.clone(),
                };
                OwnedTask::spawn(follower.run())
            });
        }
        let names = shown::names(&settings.config);
        self.shown.send_modify(|shown| shown.names.retain(|name, _| names.contains(name)));
    }
}
