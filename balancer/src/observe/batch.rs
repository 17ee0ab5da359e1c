//! Lines of the access log on their way: the thread that serves puts them together, the one that writes takes them.

use std::sync::{Arc, Mutex, PoisonError};

/// Lines that are put together until they are taken; both sides have one.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch(Arc<Mutex<Option<Vec<u8>>>>);

impl Batch {
    /// One with its first line.
    pub(super) fn begin(line: impl FnOnce(&mut Vec<u8>)) -> Self {
        // Of a size that it need not outgrow.
        let mut lines = Vec::with_capacity(BATCH + LINE);
        line(&mut lines);
        Self(Arc::new(Mutex::new(Some(lines))))
    }

    /// Puts a line behind the others; whether there was room, and nobody has taken them yet. If not, another has to begin.
    pub(super) fn add(&self, line: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lines) = lines.as_mut().filter(|lines| lines.len() < BATCH) else { return false };
        line(lines);
        true
    }

    /// Takes the lines, once.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

const BATCH: usize = 32 * 1024;
/// Of most lines.
const LINE: usize = 1024;
