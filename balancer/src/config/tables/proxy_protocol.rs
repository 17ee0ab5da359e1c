//! `proxy_protocol` of a pool. Decides which versions there are; called by [`super::pool`]; never writes a header.

use crate::config::syntax::section::Section;

/// How an endpoint is told who the client of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// By a line of text.
    V1,
    /// By bytes.
    V2,
}

/// The key `proxy_protocol`.
pub(super) fn read(section: &mut Section<'_>) -> Option<ProxyProtocol> {
    section.take("proxy_protocol")?.choice(&[("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)])
}
