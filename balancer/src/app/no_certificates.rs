//! In the place of certificates, where the program is built without the feature `tls`: `config` refuses listeners that would need one.

use std::sync::Arc;

use super::upstream_tls::PoolsTls;
use crate::config::{Config, Tls};
use crate::tls::Certificates;

/// None, and nobody who looks after them.
#[derive(Default)]
pub(super) struct Keyring {
    certificates: Arc<Certificates>,
    /// How endpoints are spoken to, without TLS.
    pub(super) endpoints: PoolsTls,
}

/// Nothing.
pub(super) struct Prepared;

#[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "the same methods as where there are certificates")]
impl Keyring {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    pub(super) fn prepare(&self, _: &Tls) -> Result<Prepared, String> {
        Ok(Prepared)
    }

    pub(super) fn order(&mut self, _: &Config) {}

    pub(super) fn change(&mut self, _: Prepared) {}

    pub(super) fn show(&mut self, _: Prepared) -> Result<(), String> {
        Ok(())
    }
}
