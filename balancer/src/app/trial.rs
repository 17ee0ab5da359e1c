//! Whether a command that somebody has just typed works at all.
//!
//! Decides when `run` and `demo` give up: their workers have died several times, and none was ever ready. Told by the workers' events;
//! an instance with a file never gives up, for nobody looks at it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::supervise::{EventKind, WorkerEvent};

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Trial {
    seen: Mutex<Seen>,
    over: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    /// One was ready.
    works: bool,
    deaths: usize,
    /// How it was with the first.
    first: Option<String>,
}

impl Trial {
    /// Something has happened to a worker.
    pub(super) fn saw(&self, event: &WorkerEvent) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event.kind {
            EventKind::Ready => seen.works = true,
            EventKind::Died | EventKind::NotStarted => {
                seen.deaths += 1;
                seen.first.get_or_insert_with(|| event.text.clone());
                if !seen.works && seen.deaths == DEATHS {
                    self.over.notify_one();
                }
            }
            _ => {}
        }
    }

    /// Returns once it is clear that it does not work: how it was with the first worker that died.
    pub(super) async fn failed(&self) -> String {
        self.over.notified().await;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).first.clone().unwrap_or_default()
    }
}

/// One may be an accident, and a second its echo.
const DEATHS: usize = 3;
