//! How connections to the endpoints of a pool are encrypted. Decides by whose name an endpoint is asked and believed; called by whoever
//! connects, and by `app`, which reads the files. Never opens a connection.

use std::sync::Arc;

use super::Pool;
use crate::config::{Address, Host};
use crate::endpoint::Endpoint;
use crate::net::{Encryption, announcement};
use crate::tls::EndpointTls;

impl Pool {
    /// From now on connections are encrypted as `tls` says, or not at all. Idle ones that were opened otherwise carry no further
    /// request.
    pub fn encrypt(&self, tls: Option<EndpointTls>) {
        let tls = tls.map(Arc::new);
        let before = self.tls.swap(tls.clone());
        let is_same = match (&before, &tls) {
            (Some(before), Some(now)) => before.is_same_as(now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if !is_same {
            self.endpoints().iter().for_each(|endpoint| endpoint.moved());
        }
    }

    /// What it takes to connect to one of its endpoints. Whoever connects is nobody's client, where endpoints want to be told.
    pub fn encryption(&self, endpoint: &Endpoint) -> Encryption {
        match (endpoint.found_by(), endpoint.address()) {
            // `name:port`, or a name alone.
            (Some(name), _) => self.towards(name.rsplit_once(':').map_or(name, |(name, _)| name)),
            (None, address) => self.encryption_at(address),
        }
    }

    /// The same for one that is no endpoint yet.
    pub fn encryption_at(&self, address: &Address) -> Encryption {
        match address {
            Address::Tcp { host: Host::Zone(ip, _), .. } => self.towards(&ip.to_string()),
            Address::Tcp { host, .. } => self.towards(&host.to_string()),
            // `config` wants a name for these.
            Address::Unix(_) => self.towards(""),
        }
    }

    fn towards(&self, host: &str) -> Encryption {
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls.load_full() {
            let announced = self.proxy_protocol.map_or(Vec::new(), |version| announcement(version).to_vec());
            return Encryption::with(Arc::clone(tls.config()), tls.name().unwrap_or(host)).announced(announced);
        }
        let _ = (host, announcement);
        Encryption::default()
    }
}
