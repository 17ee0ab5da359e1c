//! A pool and what its configuration says of names. Decides nothing; replaced whole by a reload. Never changes in itself.

use std::sync::Arc;

use crate::config;
use crate::pool::Pool;

/// A pool and its configuration.
#[derive(Debug)]
pub struct DiscoverySettings {
    /// Of which endpoints become members.
    pub pool: Arc<Pool>,
    /// What is to be asked, how often, and how a new endpoint shows that it is there.
    pub config: config::Pool,
}
