//! What a header of the PROXY protocol says, whatever its version. Decides nothing; made by whoever reads one. Never says who is believed.

use std::net::SocketAddr;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The client; `None` where the proxy speaks for itself (`LOCAL`) or does not know (`UNKNOWN`): then its own address counts.
    pub client: Option<SocketAddr>,
}

/// What came is no header, or one that two readers could read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadHeader;
