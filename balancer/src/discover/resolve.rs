//! Whom the others of this room ask; a test answers itself.

use std::net::IpAddr;

use super::answer::{DnsAnswer, FoundPlace};
use crate::config::DnsName;

/// Whoever can be asked where a name leads to.
pub trait Resolve: Send + Sync + 'static {
    /// Every address of a host.
    fn host(&self, name: &str) -> impl Future<Output = DnsAnswer<IpAddr>> + Send;

    /// Every place of a name.
    fn places(&self, name: &DnsName) -> impl Future<Output = DnsAnswer<FoundPlace>> + Send;
}
