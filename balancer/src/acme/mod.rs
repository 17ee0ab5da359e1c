//! Certificates that a CA gives by ACME (RFC 8555): ordered, kept in `state_dir`, and renewed in time.
//!
//! Decides when one is ordered, how the CA may look whether a name is ours, and when it is tried again. Called by `app`, which shows what was
//! obtained. Never takes a connection, and never holds up a start: names without a certificate wait for theirs while all others are served.

mod account;
mod answer;
mod failure;
mod history;
mod http;
mod job;
mod keeper;
mod order;
mod pace;
mod renewal;
mod settings;
mod store;
mod wanted;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::tls::Certificates;
use keeper::Keeper;
pub use settings::{AcmeSettings, Show};

/// Whoever looks after them, as long as it is kept.
#[derive(Debug)]
pub struct Acme {
    settings: watch::Sender<AcmeSettings>,
    _keeping: JoinSet<()>,
}

impl Acme {
    /// Shows what is kept already, before it returns, and orders the rest from then on. Must be called within a runtime.
    pub fn start(settings: AcmeSettings, certificates: Arc<Certificates>, show: Show) -> Self {
        let (settings, changes) = watch::channel(settings);
        let mut keeping = JoinSet::new();
        keeping.spawn(Keeper::new(changes, certificates, show).run());
        Self { settings, _keeping: keeping }
    }

    /// From now on these: names that are gone are not shown any more, and new ones are ordered.
    pub fn configure(&self, settings: AcmeSettings) {
        self.settings.send_if_modified(|known| {
            let differs = *known != settings;
            *known = settings;
            differs
        });
    }
}
