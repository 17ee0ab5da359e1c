//! The room on the disk, shared by whoever writes there. Decides whether there is room for more; asked before each piece. Never touches a
//! file.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::net::{Allowance, Whose};

/// What is known of all files together.
#[derive(Debug)]
pub(super) struct DiskRoom {
    pub(super) bytes: Allowance,
    /// When it was said last that the disk takes no more.
    said: Mutex<Option<Instant>>,
}

impl DiskRoom {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { bytes: Allowance::new(usize::try_from(bytes_max).unwrap_or(usize::MAX)), said: Mutex::default() }
    }

    /// Takes so many bytes more for a client; whether there was room for them.
    pub(super) fn take(&self, bytes: u64, whose: Whose) -> bool {
        self.bytes.take(bytes as usize, whose, |shortage| say(&format_args!("spool_max is reached: {shortage}")))
    }

    /// Gives back what a client has taken.
    pub(super) fn give(&self, bytes: u64, whose: Whose) {
        self.bytes.give(bytes as usize, self.bytes.cell_of(whose));
    }

    /// Says that the disk takes no more, once a minute however often it is tried.
    pub(super) fn say(&self, why: &dyn Display) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|at| at.elapsed() >= SAID_EVERY) {
            *said = Some(Instant::now());
            say(why);
        }
    }
}

fn say(why: &dyn Display) {
    tracing::warn!("no room on the disk for bodies of slow clients: {why}; further bodies are streamed");
}

const SAID_EVERY: Duration = Duration::from_secs(60);
