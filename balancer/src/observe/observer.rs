//! What one thread tells of its requests: to the access log, and in numbers.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::access_log::AccessLog;
use super::by_endpoint::EndpointCells;
use super::metrics::{Counters, Metrics, ServedRequest, Word};
use super::stories::{Ring, Stories};
use super::story::Story;
use super::writer::Writer;
use crate::config;

/// Told of every request of a thread when it is over.
#[derive(Debug)]
pub struct Observer {
    log: RefCell<Option<AccessLog>>,
    counters: Counters,
    /// Unless nobody wants to ask about single requests.
    ring: RefCell<Option<Arc<Ring>>>,
}

impl Observer {
    /// For one thread.
    pub fn new(log: &config::AccessLog, writer: &Writer, metrics: &Arc<Metrics>) -> Rc<Self> {
        let (log, ring) = (RefCell::new(AccessLog::new(log, writer)), RefCell::default());
        Rc::new(Self { log, counters: Counters::new(metrics), ring })
    }

    /// Requests that end from now on are told as `log` says.
    pub fn configure(&self, log: &config::AccessLog, writer: &Writer) {
        self.log.replace(AccessLog::new(log, writer));
    }

    /// Requests that end from now on are remembered among `stories`; without those, none is any more.
    pub fn remember(&self, stories: Option<&Stories>) {
        let mut ring = self.ring.borrow_mut();
        match stories {
            None => *ring = None,
            Some(stories) => _ = ring.get_or_insert_with(|| stories.ring()),
        }
    }

    /// Whether requests are remembered.
    pub fn remembers(&self) -> bool {
        self.ring.borrow().is_some()
    }

    /// Whether there is an access log: without one, nobody wants to know what a request said.
    pub fn has_log(&self) -> bool {
        self.log.borrow().is_some()
    }

    pub(super) fn over(&self, story: &mut Story) {
        let now = story.over.unwrap_or_else(Instant::now);
        let took = now.saturating_duration_since(story.head.begun);
        let word = |reason| (if story.rejected { Word::Rejected } else { Word::Broken }, reason);
        let is_timed = story.is_timed();
        self.counters.count(&ServedRequest {
            pool: story.pool.as_ref(),
            method: story.head.method(),
            status: story.status,
            took: is_timed.then_some(took),
            queued: story.queued,
            word: story.reason.map(word),
        });
        story.end_attempt(is_timed);
        if let Some(log) = &*self.log.borrow() {
            log.write(story, now, took);
        }
        if let Some(ring) = &*self.ring.borrow() {
            ring.keep(story.past(took));
        }
    }

    /// The counters of an endpoint, see [`Counters::endpoint`].
    pub(super) fn endpoint(&self, pool: &Arc<str>, endpoint: (&Arc<str>, u64)) -> Arc<EndpointCells> {
        self.counters.endpoint(pool, endpoint)
    }

    pub(super) fn retried(&self, story: &Story, why: &'static str) {
        self.counters.retried(story.pool.as_ref(), why);
    }
}
