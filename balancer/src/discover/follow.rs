//! A name in `endpoints` is one endpoint, reached at whatever addresses the name has.

use std::sync::Arc;

use rand::rngs::SmallRng;
use tokio::sync::watch;
use tokio::time::sleep;

use super::hear::Heard;
use super::pace::pause;
use super::resolve::Resolve;
use super::settings::DiscoverySettings;
use super::shown::NamesShown;
use crate::config::{Address, Host, ListenAddress};
use crate::endpoint::Endpoint;

/// Whoever asks for one endpoint's name.
pub(super) struct Follower<R> {
    pub(super) resolver: Arc<R>,
    pub(super) listen: watch::Receiver<Vec<ListenAddress>>,
    pub(super) settings: watch::Receiver<Arc<DiscoverySettings>>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) shown: watch::Sender<NamesShown>,
}

/// Whether there is a name to ask for.
pub(super) fn has_name(endpoint: &Endpoint) -> bool {
    matches!(endpoint.address(), Address::Tcp { host: Host::Name(_), .. })
}

impl<R: Resolve> Follower<R> {
    /// Goes on for ever.
    pub(super) async fn run(self) {
        let Address::Tcp { host: Host::Name(name), port } = self.endpoint.address().clone() else { return };
        let (mut heard, mut rng): (Heard, SmallRng) = (Heard::default(), rand::make_rng());
        loop {
            let answer = self.resolver.host(&name).await.at(port);
            let settings = Arc::clone(&self.settings.borrow());
            let who = format!("pool {}: {}", settings.pool.name(), self.endpoint.name());
            heard.hear(&who, answer, &self.listen.borrow(), |_| true, settings.config.dns.hold);
            let addresses = heard.addresses().map(|at| Address::Tcp { host: Host::Ip(at.ip()), port: at.port() });
            self.endpoint.resolved(addresses.collect());
            self.shown.send_modify(|all| _ = all.names.insert(self.endpoint.name().to_string(), heard.shown()));
            sleep(pause(settings.config.dns.interval, &mut rng)).await;
        }
    }
}
