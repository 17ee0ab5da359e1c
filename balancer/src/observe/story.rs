//! What is told of one request. Decides nothing; filled in through its [`Record`](super::Record), read by access log and metrics. Never
//! told twice.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::by_endpoint::{EndpointCells, Lasting};
use super::failures::STATUS;
use super::metrics::MethodLabel;
use super::past::{Attempt, Candidates, Choice, Claim, Past};
use crate::http1::RequestHead;

/// All that is known of a request.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) head: Head,
    pub(super) status: StatusCode,
    pub(super) bytes: u64,
    pub(super) pool: Option<Arc<str>>,
    /// Where the counters of the endpoint are that got it last.
    pub(super) endpoint: Option<Arc<EndpointCells>>,
    /// Whether it is still there.
    pub(super) is_at_endpoint: bool,
    pub(super) lasting: Option<Lasting>,
    pub(super) attempts: u32,
    pub(super) reason: Option<&'static str>,
    pub(super) upstream: Option<Duration>,
    pub(super) rejected: bool,
    pub(super) queued: Duration,
    pub(super) over: Option<Instant>,
    /// When it got its place at the endpoint.
    pub(super) claimed: Option<Instant>,
    pub(super) choice: Choice,
    pub(super) candidates: Option<Arc<Candidates>>,
    /// Attempts that were followed by another, where they are remembered.
    pub(super) before: Vec<Attempt>,
}

impl Story {
    /// The name of the endpoint that got it last.
    pub(super) fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_ref().map(|cells| cells.name())
    }

    /// Whether its time says how fast pool and endpoint are: an endpoint has answered, or has let it wait for too long. What we refuse
    /// is no answer of theirs, and how long a tunnel is open is no time that anybody has waited.
    pub(super) fn is_timed(&self) -> bool {
        self.lasting.is_none() && (!self.rejected || self.is_at_endpoint && self.status == StatusCode::GATEWAY_TIMEOUT)
    }

    /// Its time at the endpoint that got it last is over.
    pub(super) fn end_attempt(&self, is_timed: bool) {
        let Some(cells) = &self.endpoint else { return };
        if let Some(lasting) = self.lasting {
            cells.closed(lasting);
        }
        if self.is_at_endpoint {
            let failed = self.status.is_server_error() && !self.rejected;
            cells.ended(self.upstream.filter(|_| is_timed), failed.then_some(STATUS).or(self.reason));
        }
    }
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

impl Story {
    /// What is remembered of it, once it is told otherwise: its parts are taken.
    pub(super) fn past(&mut self, took: Duration) -> Past {
        // None where nobody was asked after the attempts before.
        let is_last = self.attempts as usize > self.before.len();
        let claimed = self.endpoint.as_ref().zip(self.claimed.filter(|_| is_last));
        let claim =
            |cells: &EndpointCells, at| Claim { endpoint: Arc::clone(cells.shared_name()), at, choice: self.choice };
        let last = claimed.map(|(cells, at)| (claim(cells, at), self.upstream));
        Past {
            id: self.head.id,
            begun: self.head.begun,
            took,
            method: self.head.method(),
            status: self.status,
            bytes: self.bytes,
            pool: self.pool.take(),
            queued: self.queued,
            before: std::mem::take(&mut self.before),
            last,
            reason: self.reason,
            rejected: self.rejected,
            candidates: self.candidates.take(),
        }
    }
}

impl Head {
    /// Its method, as it is counted.
    pub(super) fn method(&self) -> MethodLabel {
        self.request.as_ref().map_or_else(MethodLabel::default, |request| MethodLabel::from(&request.method))
    }
}
