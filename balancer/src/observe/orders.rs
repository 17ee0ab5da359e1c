//! What the writing thread is told, and what is counted beside it. Decides nothing; sent by `writer`, carried out by `sinks`. Never holds
//! a line for long.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use super::batch::Batch;
use super::target::LineTarget;

#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Lines that found the queue full and are not told yet, by destination.
    pub(super) overrun: [AtomicU64; 3],
    /// All that were lost, by destination.
    pub(super) lost: [AtomicU64; 3],
    /// The file is to be opened again before the next line.
    pub(super) reopen: AtomicBool,
}

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The access log's file.
    File,
}

/// A file that was opened for lines of the access log.
#[derive(Debug)]
pub struct LogFile {
    pub(super) path: PathBuf,
    pub(super) target: LineTarget,
}

#[derive(Debug)]
pub(super) enum WriteOrder {
    Write(Destination, Vec<u8>),
    /// In a while: until then lines are put to it.
    Collect(Destination, Batch),
    /// Another file, or none, from here on.
    Replace(Option<LogFile>),
    /// Look what else there is to do.
    Look,
    Finish,
}

impl LogFile {
    /// Opens it for appending, and makes it where it is not there. A pipe (mkfifo) is not waited for.
    ///
    /// # Errors
    /// When it cannot be opened, other than for the want of a reader.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), target: LineTarget::file(path)? })
    }

    /// Whether it is a pipe that nobody reads yet.
    pub fn is_unread(&self) -> bool {
        self.target.is_gone()
    }
}

/// Orders, not lines: the access log hands over a buffer of many lines at once.
pub(super) const QUEUE_MAX: usize = 1_024;
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
