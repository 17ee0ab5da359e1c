//! What is told of one request. Decides nothing; filled in through its [`Record`](super::Record), read by access log and metrics. Never
//! told twice.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::metrics::MethodLabel;
use crate::http1::RequestHead;

/// All that is known of a request.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) head: Head,
    pub(super) status: StatusCode,
    pub(super) bytes: u64,
    pub(super) pool: Option<Arc<str>>,
    pub(super) endpoint: Option<Arc<str>>,
    pub(super) attempts: u32,
    pub(super) reason: Option<&'static str>,
    pub(super) upstream: Option<Duration>,
    pub(super) rejected: bool,
    pub(super) queued: Duration,
    pub(super) over: Option<Instant>,
}

/// What is known when a request arrives.
#[derive(Debug)]
pub struct Head {
    /// When its first byte arrived.
    pub begun: Instant,
    /// Who sent it, as far as trusted proxies say; `None` where there is no address.
    pub client: Option<IpAddr>,
    /// All it said; `None` when there was nothing to read.
    pub request: Option<Arc<RequestHead>>,
    /// Its id, 32 hexadecimal digits.
    pub id: [u8; 32],
}

impl Head {
    /// Its method, as it is counted.
    pub(super) fn method(&self) -> MethodLabel {
        self.request.as_ref().map_or_else(MethodLabel::default, |request| MethodLabel::from(&request.method))
    }
}
