//! The room on the disk, shared by whoever writes there. Decides whether there is room for more; asked before each piece. Never touches a
//! file.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What is known of all files together.
#[derive(Debug)]
pub(super) struct DiskRoom {
    /// Bytes that they take, and may take.
    pub(super) taken: AtomicU64,
    bytes_max: u64,
    /// Whether it has been said that there is no more room.
    said: AtomicBool,
}

impl DiskRoom {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { taken: AtomicU64::new(0), bytes_max, said: AtomicBool::new(false) }
    }

    /// Takes so many bytes more; whether there was room for them.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let grown = self.taken.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if grown > self.bytes_max {
            self.taken.fetch_sub(bytes, Ordering::Relaxed);
            self.say(&format_args!("spool_max ({} MiB) is reached", self.bytes_max >> 20));
            return false;
        }
        true
    }

    pub(super) fn give(&self, bytes: u64) {
        let left = self.taken.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        // Said again when it was half empty in between.
        if left <= self.bytes_max / 2 {
            self.said.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn say(&self, why: &dyn std::fmt::Display) {
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!("no room on the disk for bodies of slow clients: {why}; further bodies are streamed");
        }
    }
}
