//! One request's story, filled in by the rooms it passes and told once.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::{MethodLabel, Observer};
use crate::http1::RequestHead;

/// What is told of one request; told when it is dropped, whatever became of the request.
#[derive(Debug)]
pub struct Record {
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
    claimed: Option<Instant>,
    pub(super) over: Option<Instant>,
    observer: Rc<Observer>,
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

impl Record {
    /// Begins the story of a request.
    pub fn new(observer: &Rc<Observer>, head: Head) -> Self {
        Self {
            head,
            // What stands in the log when the client left before there was an answer.
            status: StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            bytes: 0,
            pool: None,
            endpoint: None,
            attempts: 0,
            reason: None,
            upstream: None,
            rejected: false,
            queued: Duration::ZERO,
            claimed: None,
            over: None,
            observer: Rc::clone(observer),
        }
    }

    /// Who sent the request; `None` where that is not known by an address.
    pub fn client(&self) -> Option<IpAddr> {
        self.head.client
    }

    /// A route was found.
    pub fn routed(&mut self, pool: &Arc<str>) {
        self.pool = Some(Arc::clone(pool));
    }

    /// An endpoint got the request at that time, perhaps after others.
    pub fn claimed(&mut self, endpoint: &Arc<str>, now: Instant) {
        self.endpoint = Some(Arc::clone(endpoint));
        self.attempts += 1;
        self.claimed = Some(now);
    }

    /// It has waited for a place, perhaps not for the first time.
    pub fn queued(&mut self, waited: Duration) {
        self.queued += waited;
    }

    /// The status the client gets.
    pub fn answered(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// Bytes of the body given to the client.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The worker sent its last byte at that time.
    pub fn worker_done(&mut self, at: Instant) {
        self.upstream = self.claimed.map(|claimed| at.saturating_duration_since(claimed));
    }

    /// The client has all of it since that time.
    pub fn over(&mut self, at: Instant) {
        self.over = Some(at);
    }

    /// An attempt has failed, and another is made.
    pub fn retried(&self, why: &'static str) {
        self.observer.retried(self, why);
    }

    /// We answer ourselves, with that status and for that reason.
    pub fn rejected(&mut self, status: StatusCode, reason: &'static str) {
        self.rejected = true;
        self.answered(status);
        self.failed(reason);
    }

    /// Something went wrong; the first reason stays.
    pub fn failed(&mut self, reason: &'static str) {
        self.reason.get_or_insert(reason);
        if self.claimed.is_some() && self.upstream.is_none() {
            self.worker_done(Instant::now());
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let no_answer = self.status.as_u16() == 499 && self.reason.is_none();
        if no_answer {
            self.reason = Some("client_gone");
        }
        Rc::clone(&self.observer).over(self);
    }
}
