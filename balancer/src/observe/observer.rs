//! What one thread tells of its requests: to the access log, and in numbers.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::metrics::{Counters, Served, Word};
use super::{AccessLog, Metrics, Record, Writer};
use crate::config;

/// Told of every request of a thread when it is over.
#[derive(Debug)]
pub struct Observer {
    log: Option<Rc<AccessLog>>,
    counters: Counters,
}

impl Observer {
    /// For one thread.
    pub fn new(log: &config::AccessLog, writer: &Writer, metrics: &Arc<Metrics>) -> Rc<Self> {
        Rc::new(Self { log: AccessLog::new(log, writer), counters: Counters::new(metrics) })
    }

    /// Whether there is an access log: without one, nobody wants to know what a request said.
    pub fn has_log(&self) -> bool {
        self.log.is_some()
    }

    /// The thread's runtime ends: what the access log still gets is handed over when the last request is dropped.
    pub fn close(&self) {
        if let Some(log) = &self.log {
            log.close();
        }
    }

    pub(super) fn over(&self, record: &Record) {
        let now = record.over.unwrap_or_else(Instant::now);
        let word = |reason| (if record.rejected { Word::Rejected } else { Word::Broken }, reason);
        self.counters.count(&Served {
            pool: record.pool.as_ref(),
            method: record.head.method(),
            status: record.status,
            took: now.saturating_duration_since(record.head.begun),
            upstream: record.upstream,
            queued: record.queued,
            word: record.reason.map(word),
        });
        if let Some(log) = &self.log {
            Rc::clone(log).write(record, now);
        }
    }

    pub(super) fn retried(&self, record: &Record, why: &'static str) {
        self.counters.retried(record.pool.as_ref(), why);
    }
}
