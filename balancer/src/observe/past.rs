//! What is remembered of a request that is over: ids, numbers, and names that are there anyway.
//!
//! Decides what counts as failed. Filled in by [`super::Record`], kept by [`super::Stories`], made text by `admin` when somebody asks.
//! Never holds what a client or a worker has said.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::metrics::MethodLabel;

/// One request, from its first byte to its end.
#[derive(Debug, Clone)]
pub struct Past {
    /// Its id, 32 hexadecimal digits.
    pub id: [u8; 32],
    /// When its first byte arrived.
    pub begun: Instant,
    /// Until its client had the last byte of the answer, or never will have.
    pub took: Duration,
    /// Its method.
    pub method: MethodLabel,
    /// What the client got; 499: it left before.
    pub status: StatusCode,
    /// Of the answer's body.
    pub bytes: u64,
    /// Where its route led.
    pub pool: Option<Arc<str>>,
    /// How long it waited for a place.
    pub queued: Duration,
    /// Attempts that failed and were followed by another.
    pub before: Vec<Attempt>,
    /// The last attempt, unless no endpoint was asked.
    pub last: Option<(Claim, Option<Duration>)>,
    /// What went wrong, in a word.
    pub reason: Option<&'static str>,
    /// Whether the answer is our own.
    pub rejected: bool,
    /// Who could have been asked, a moment before.
    pub candidates: Option<Arc<Candidates>>,
}

/// A place at an endpoint.
#[derive(Debug, Clone)]
pub struct Claim {
    /// What the endpoint is called.
    pub endpoint: Arc<str>,
    /// When the request got it.
    pub at: Instant,
    /// Why there.
    pub choice: Choice,
}

/// A try that was followed by another.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Where.
    pub claim: Claim,
    /// When it had failed.
    pub ended: Instant,
    /// In a word.
    pub why: &'static str,
}

/// Why an endpoint was chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Choice {
    /// By what.
    pub by: By,
    /// Requests at the endpoint, this one included.
    pub in_flight: u32,
}

/// By what an endpoint was chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// The pool's policy.
    #[default]
    Policy,
    /// The client's affinity cookie.
    Cookie,
    /// Its health spoke against it: for want of others, or on probation.
    Want,
}

/// The members of a pool at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// The first of them, at most [`CANDIDATES_MAX`].
    pub some: Vec<Candidate>,
    /// How many there are besides.
    pub more: usize,
}

/// A member of a pool at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What it is called.
    pub name: Arc<str>,
    /// Whether it takes requests, in a word.
    pub state: &'static str,
    /// Requests there.
    pub in_flight: u32,
}

impl Past {
    /// Whether somebody may ask why: it was not answered, answered by us, or not at the first attempt.
    pub fn has_failed(&self) -> bool {
        self.reason.is_some() || self.status.is_server_error() || !self.before.is_empty()
    }
}

/// Of a pool; more fit on no screen.
pub const CANDIDATES_MAX: usize = 32;
