//! Request bodies that wait on a disk for their turn: files without names, written and read by a thread of their own.
//!
//! Decides how much all of them may take together, and that a full disk is no error. Called by `forward` for bodies larger than what
//! is held in memory; `app` starts it. Never lets a thread that serves clients wait for the disk.

mod disk;
mod file;
mod room;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

use disk::{Disk, DiskOrder};
pub use file::File;
use room::DiskRoom;

use crate::net::Whose;

/// Where files are made. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool {
    orders: Sender<DiskOrder>,
    room: Arc<DiskRoom>,
    /// The number of the next file.
    next: Arc<AtomicU64>,
}

impl Spool {
    /// Starts the thread; all files together take at most `bytes_max` of `directory`.
    ///
    /// # Errors
    /// When no file can be made in `directory`, or the thread cannot be started.
    pub fn start(directory: PathBuf, bytes_max: u64) -> io::Result<Self> {
        let room = Arc::new(DiskRoom::new(bytes_max));
        let disk = Disk::new(directory, Arc::clone(&room))?;
        // Without a bound of its own: a file has one order at a time, and its end.
        let (orders, received) = channel();
        std::thread::Builder::new().name("spool".into()).spawn(move || disk.run(&received))?;
        Ok(Self { orders, room, next: Arc::default() })
    }

    /// A file for what a client sends, empty so far.
    pub fn file(&self, whose: Whose) -> File {
        File::new(self.orders.clone(), (Arc::clone(&self.room), whose), self.next.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
