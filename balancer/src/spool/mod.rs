//! Request bodies that wait on a disk for their turn: files without names, written and read by a thread of their own.
//!
//! Decides how much all of them may take together, and that a full disk is no error. Called by `forward` for bodies larger than what
//! is held in memory; `app` starts it. Never lets a thread that serves clients wait for the disk.

mod disk;
mod file;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

use disk::{Disk, Order};
pub use file::File;

/// Where files are made. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool {
    orders: Sender<Order>,
    shared: Arc<Shared>,
}

/// What is known of all files together.
#[derive(Debug)]
struct Shared {
    /// Bytes that they take, and may take.
    taken: AtomicU64,
    bytes_max: u64,
    /// Whether it has been said that there is no more room.
    said: AtomicBool,
    next: AtomicU64,
}

impl Spool {
    /// Starts the thread; all files together take at most `bytes_max` of `directory`.
    ///
    /// # Errors
    /// When no file can be made in `directory`, or the thread cannot be started.
    pub fn start(directory: PathBuf, bytes_max: u64) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            taken: AtomicU64::new(0),
            bytes_max,
            said: AtomicBool::new(false),
            next: AtomicU64::new(0),
        });
        let disk = Disk::new(directory, Arc::clone(&shared))?;
        // Without a bound of its own: a file has one order at a time, and its end.
        let (orders, received) = channel();
        std::thread::Builder::new().name("spool".into()).spawn(move || disk.run(&received))?;
        Ok(Self { orders, shared })
    }

    /// A file, empty so far.
    pub fn file(&self) -> File {
        File::new(self.clone(), self.shared.next.fetch_add(1, Ordering::Relaxed))
    }
}

impl Shared {
    /// Takes so many bytes more; whether there was room for them.
    fn take(&self, bytes: u64) -> bool {
        let grown = self.taken.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if grown > self.bytes_max {
            self.taken.fetch_sub(bytes, Ordering::Relaxed);
            self.say(&format_args!("spool_max ({} MiB) is reached", self.bytes_max >> 20));
            return false;
        }
        true
    }

    fn give(&self, bytes: u64) {
        let left = self.taken.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        // Said again when it was half empty in between.
        if left <= self.bytes_max / 2 {
            self.said.store(false, Ordering::Relaxed);
        }
    }

    fn say(&self, why: &dyn std::fmt::Display) {
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!("no room on the disk for bodies of slow clients: {why}; further bodies are streamed");
        }
    }
}

#[cfg(test)]
mod tests;
