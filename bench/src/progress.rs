//! How far the run is.
//!
//! Decides what is shown: a bar that redraws itself on a terminal, a line per measurement elsewhere. Called by the commands
//! that measure for minutes. Never writes to stdout, which has the result.

use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

use crate::say;

/// Runs done of runs planned. Dropping it removes the bar.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn of(total: usize) -> Progress {
        let bar = ProgressBar::new(total as u64);
        if let Ok(style) = ProgressStyle::with_template("[{bar:20}] {pos}/{len} {eta} left  {msg}") {
            bar.set_style(style);
        }
        *DRAWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(bar.clone());
        Progress(bar)
    }

    /// Something that takes a while begins.
    pub(crate) fn begin(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// One of the planned runs has ended with this to say.
    pub(crate) fn end(&mut self, outcome: &str) {
        self.0.inc(1);
        self.0.set_message(outcome.to_owned());
        if self.0.is_hidden() {
            say(&format!("[{}/{}] {outcome}", self.0.position(), self.0.length().unwrap_or_default()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        *DRAWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }
}

/// Writes a line to stderr above a bar that is drawn there; `false` where there is none.
pub(crate) fn above(line: &str) -> bool {
    let bar = DRAWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    bar.filter(|bar| !bar.is_hidden()).map(|bar| bar.println(line)).is_some()
}

static DRAWN: Mutex<Option<ProgressBar>> = Mutex::new(None);
