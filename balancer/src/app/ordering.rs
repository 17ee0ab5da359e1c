//! Certificates that a CA gives, from one configuration to the next: which are ordered, and how they come to be shown.
//!
//! Called at the start and by a reload. Never asks a CA, which is what `acme` does.

use std::sync::{Arc, PoisonError};

use super::certificates::Keyring;
use super::memory;
use crate::acme::{Acme, AcmeSettings, Show};
use crate::config::{self, Config, ListenAddress};
use crate::tls::Pair;

impl Keyring {
    /// Orders what the configuration wants and no file has, by the account that we have for good. What is kept from before is shown when
    /// this returns.
    pub(super) fn order(&mut self, config: &Config) {
        let (mut names, mut covered) = (Vec::new(), Vec::new());
        for name in &config.tls.acme.names {
            if self.kept().has(name) { &mut covered } else { &mut names }.push(name.clone());
        }
        self.kept().names.clone_from(&names);
        for name in covered {
            tracing::warn!("{name}: `certificates` has one for it, which is shown; none is ordered");
        }
        let plain = config.listen.iter().any(ListenAddress::takes_plain_requests);
        let acme = config::Acme { names, ..config.tls.acme.clone() };
        let settings = AcmeSettings { acme, state_dir: memory::directory(config), plain };
        match &self.acme {
            Some(acme) => acme.configure(settings),
            None if settings.acme.names.is_empty() => {}
            None => {
                if let Some(note) = config.tls.acme.note_on_challenges(&config.listen) {
                    tracing::warn!("{note}");
                }
                self.acme = Some(Acme::start(settings, Arc::clone(self.certificates()), self.show_ordered()));
            }
        }
    }

    fn show_ordered(&self) -> Show {
        let (kept, certificates) = (Arc::clone(&self.kept), Arc::clone(self.certificates()));
        Arc::new(move |name: &str, pair: Option<Pair>| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            match pair {
                Some(pair) => _ = kept.ordered.insert(name.to_owned(), pair),
                None => _ = kept.ordered.remove(name),
            }
            if let Err(error) = kept.show(&certificates) {
                tracing::error!("{error}; the certificates from before are shown on");
            }
        })
    }
}
