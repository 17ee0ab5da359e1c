//! Asks for `dns` of a pool again and again, and has its members follow.

use std::net::SocketAddr;
use std::sync::Arc;

use rand::rngs::SmallRng;
use tokio::sync::watch;
use tokio::time::sleep;

use super::answer::{DnsAnswer, FoundPlace};
use super::candidates::JoiningPlaces;
use super::hear::Heard;
use super::join::Joining;
use super::pace::pause;
use super::resolve::Resolve;
use super::settings::DiscoverySettings;
use super::shown::NamesShown;
use crate::config::{Address, DnsName, Host, ListenAddress};
use crate::probe::Permits;

/// Whoever asks.
pub(super) struct Seeker<R> {
    pub(super) resolver: Arc<R>,
    pub(super) listen: watch::Receiver<Vec<ListenAddress>>,
    pub(super) permits: Permits,
    pub(super) settings: watch::Receiver<Arc<DiscoverySettings>>,
    pub(super) candidates: Arc<JoiningPlaces>,
    pub(super) shown: watch::Sender<NamesShown>,
}

impl<R: Resolve> Seeker<R> {
    /// Goes on until the settings have no name any more.
    pub(super) async fn run(mut self) {
        let (mut heard, mut rng): (Heard, SmallRng) = (Heard::default(), rand::make_rng());
        let mut before = None;
        loop {
            let settings = Arc::clone(&self.settings.borrow_and_update());
            let Some(name) = settings.config.dns.name.clone() else { return };
            if before.replace(name.clone()).is_some_and(|before| before != name) {
                heard.renamed();
            }
            tokio::select! {
                answer = self.resolver.places(&name) => self.hear(&settings, &name, answer, &mut heard),
                changed = self.settings.changed() => if changed.is_err() { return } else { continue },
            }
            tokio::select! {
                () = sleep(pause(settings.config.dns.interval, &mut rng)) => {}
                changed = self.settings.changed() => if changed.is_err() { return },
            }
        }
    }

    fn hear(&self, settings: &DiscoverySettings, name: &DnsName, answer: DnsAnswer<FoundPlace>, heard: &mut Heard) {
        let (shown, pool) = (name.to_string(), &settings.pool);
        let who = format!("pool {}: {shown}", pool.name());
        let wanted = |address| !is_fixed(settings, address);
        let changes = heard.hear(&who, answer, &self.listen.borrow(), wanted, settings.config.dns.hold);
        let by: Arc<str> = shown.as_str().into();
        let joining =
            Joining { settings: self.settings.clone(), permits: self.permits.clone(), shown: self.shown.clone() };
        changes.come.iter().for_each(|place| self.candidates.come(*place, &by, &joining));
        self.candidates.reweigh(&changes.changed, pool);
        changes.gone.iter().for_each(|address| self.candidates.go(address, pool));
        self.shown.send_modify(|all| _ = all.names.insert(shown, heard.shown()));
    }
}

/// Whether the configuration names that address already: an endpoint is a member once.
fn is_fixed(settings: &DiscoverySettings, address: SocketAddr) -> bool {
    settings.config.endpoints.iter().any(|fixed| match &fixed.address {
        Address::Tcp { host: Host::Ip(ip), port } => SocketAddr::new(*ip, *port) == address,
        Address::Tcp { .. } | Address::Unix(_) => false,
    })
}

#[cfg(test)]
#[path = "seek_tests.rs"]
mod tests;
