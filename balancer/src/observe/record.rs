//! One request's story, filled in by the rooms it passes and told once.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::by_endpoint::Lasting;
use super::observer::Observer;
use super::past::{Attempt, Candidates, Choice, Claim};
use super::story::{Head, Story};

/// What is told of one request; told when it is dropped, whatever became of the request.
#[derive(Debug)]
pub struct Record {
    story: Story,
    observer: Rc<Observer>,
}

impl Record {
    /// Begins the story of a request.
    pub fn new(observer: &Rc<Observer>, head: Head) -> Self {
        let story = Story {
            head,
            // What stands in the log when the client left before there was an answer.
            status: StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            bytes: 0,
            pool: None,
            endpoint: None,
            is_at_endpoint: false,
            lasting: None,
            attempts: 0,
            reason: None,
            upstream: None,
            rejected: false,
            queued: Duration::ZERO,
            over: None,
            claimed: None,
            choice: Choice::default(),
            candidates: None,
            before: Vec::new(),
        };
        Self { story, observer: Rc::clone(observer) }
    }

    /// Who sent the request; `None` where that is not known by an address.
    pub fn client(&self) -> Option<IpAddr> {
        self.story.head.client
    }

    /// A route was found.
    pub fn routed(&mut self, pool: &Arc<str>) {
        self.story.pool = Some(Arc::clone(pool));
    }

    /// An endpoint, by its name and its number, got the request at that time, perhaps after others.
    pub fn claimed(&mut self, endpoint: (&Arc<str>, u64), now: Instant) {
        if let Some(pool) = &self.story.pool {
            let cells = self.observer.endpoint(pool, endpoint);
            cells.given();
            (self.story.endpoint, self.story.is_at_endpoint) = (Some(cells), true);
        }
        self.story.attempts += 1;
        self.story.claimed = Some(now);
    }

    /// Whether it will be remembered, and by what somebody may ask why it went as it did.
    pub fn is_remembered(&self) -> bool {
        self.observer.remembers()
    }

    /// Why the endpoint was chosen that it has claimed.
    pub fn chosen(&mut self, choice: Choice) {
        self.story.choice = choice;
    }

    /// Who could be asked.
    pub fn candidates(&mut self, candidates: Arc<Candidates>) {
        self.story.candidates = Some(candidates);
    }

    /// It has waited for a place, perhaps not for the first time.
    pub fn queued(&mut self, waited: Duration) {
        self.story.queued += waited;
    }

    /// The status the client gets.
    pub fn answered(&mut self, status: StatusCode) {
        self.story.status = status;
    }

    /// Bytes of the body given to the client.
    pub fn sent(&mut self, bytes: usize) {
        self.story.bytes += bytes as u64;
    }

    /// The worker sent its last byte at that time.
    pub fn worker_done(&mut self, at: Instant) {
        self.story.upstream = self.story.claimed.map(|claimed| at.saturating_duration_since(claimed));
    }

    /// The client has all of it since that time.
    pub fn over(&mut self, at: Instant) {
        self.story.over = Some(at);
    }

    /// It has become something that lasts for as long as its client likes.
    pub fn lasts(&mut self, lasting: Lasting) {
        if let Some(cells) = &self.story.endpoint {
            cells.opened(lasting);
        }
        self.story.lasting = Some(lasting);
    }

    /// An attempt has failed at that time, and another is made.
    pub fn retried(&mut self, why: &'static str, ended: Instant) {
        self.observer.retried(&self.story, why);
        if let Some(cells) = self.story.endpoint.as_ref().filter(|_| self.story.is_at_endpoint) {
            cells.ended(None, Some(why));
        }
        self.story.is_at_endpoint = false;
        let Story { endpoint, claimed, choice, before, .. } = &mut self.story;
        if let (true, Some(cells), Some(at)) = (self.observer.remembers(), endpoint, *claimed) {
            let claim = Claim { endpoint: Arc::clone(cells.shared_name()), at, choice: *choice };
            before.push(Attempt { claim, ended, why });
        }
    }

    /// We answer ourselves, with that status and for that reason.
    pub fn rejected(&mut self, status: StatusCode, reason: &'static str) {
        self.story.rejected = true;
        self.answered(status);
        self.failed(reason);
    }

    /// Something went wrong; the first reason stays.
    pub fn failed(&mut self, reason: &'static str) {
        self.story.reason.get_or_insert(reason);
        if self.story.claimed.is_some() && self.story.upstream.is_none() {
            self.worker_done(Instant::now());
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let no_answer = self.story.status.as_u16() == 499 && self.story.reason.is_none();
        if no_answer {
            self.story.reason = Some("client_gone");
        }
        self.observer.over(&mut self.story);
    }
}
