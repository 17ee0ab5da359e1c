//! Names and counts.
//!
//! Decides what is counted, and when the process crashes or is slow by request count. Called by every room that serves.
//! Never does I/O but for the record that is to outlive the process.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::Options;
use crate::listen::Address;

/// One worker process: its name, its options, its counts. Shared by all its connections.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    /// The name and a newline: the answer of most routes.
    pub(crate) greeting: Bytes,
    pub(crate) options: Options,
    begun: AtomicU64,
    served: AtomicU64,
    overlaps: AtomicU64,
    in_flight: AtomicUsize,
    open: AtomicUsize,
    open_max: AtomicUsize,
    seen: Mutex<Seen>,
    record: Option<File>,
    /// Of `--slots`, where an event loop serves.
    pub(crate) slots: Option<Arc<Semaphore>>,
}

/// What a worker has counted up to now.
pub(crate) struct Counts {
    pub(crate) connections: usize,
    pub(crate) connections_max: usize,
    pub(crate) in_flight: usize,
    pub(crate) served: u64,
    pub(crate) overlaps: u64,
}

/// What the machine, or the container, is called.
fn host() -> String {
    nix::unistd::gethostname().map_or_else(|_| "host".to_owned(), |name| name.to_string_lossy().into_owned())
}

impl Worker {
    /// # Errors
    /// The record cannot be opened.
    pub(crate) fn new(options: &Options, address: &Address) -> io::Result<Arc<Worker>> {
        let name = match (&options.name, &options.instance) {
            (Some(name), _) => name.replace("{host}", &host()),
            (None, Some(index)) => format!("server {index}"),
            (None, None) => match address {
                Address::Tcp(address) => format!("server {}", address.port()),
                Address::Unix(path) => format!("server {}", path.display()),
                Address::Handed => format!("server {}", std::process::id()),
            },
        };
        let open = |folder: &PathBuf| {
            let path = folder.join(std::process::id().to_string());
            OpenOptions::new().create(true).append(true).open(path)
        };
        Ok(Arc::new(Worker {
            record: options.record.as_ref().map(open).transpose()?,
            greeting: format!("{name}\n").into(),
            name,
            options: options.clone(),
            begun: AtomicU64::new(0),
            served: AtomicU64::new(0),
            overlaps: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            open_max: AtomicUsize::new(0),
            seen: Mutex::default(),
            slots: options.slots.map(|slots| Arc::new(Semaphore::new(slots.into()))),
        }))
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn connection_opened(self: &Arc<Self>) -> Open {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.open_max.fetch_max(open, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Counts a request as in flight until the guard is dropped. Aborts the process where `crash_after` says so.
    pub(crate) fn request_begun(self: &Arc<Self>) -> InFlight {
        let before = self.begun.fetch_add(1, Ordering::Relaxed);
        if self.options.crash_after.is_some_and(|limit| before >= limit) {
            std::process::abort();
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// How long the request that has just begun waits before its answer.
    pub(crate) fn delay(&self) -> Duration {
        let cold = self.begun.load(Ordering::Relaxed) <= self.options.cold_requests;
        self.options.work().sleep + Duration::from_millis(if cold { self.options.cold_ms } else { 0 })
    }

    /// Counts that another connection waited while one was served, in a model that serves one at a time.
    pub(crate) fn overlapped(&self) {
        self.overlaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers that the request named `id` was run.
    pub(crate) fn saw(&self, id: &[u8]) {
        if let Some(mut record) = self.record.as_ref() {
            // One write, appended: a process that is killed leaves whole lines. Without room on the disk one is missing, which
            // whoever reads them notices.
            let _ = record.write_all(&[id, b"\n"].concat());
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).count(id);
    }

    /// How often the request named `id` was run.
    pub(crate) fn times_seen(&self, id: &[u8]) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).times.get(id).copied().unwrap_or(0)
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            connections: self.open.load(Ordering::Relaxed),
            connections_max: self.open_max.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            served: self.served.load(Ordering::Relaxed),
            overlaps: self.overlaps.load(Ordering::Relaxed),
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Open(Arc<Worker>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request being served, until the last byte of its answer; served or given up once dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Worker>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.served.fetch_add(1, Ordering::Relaxed);
    }
}

/// How often each id came; the oldest ids are forgotten first.
#[derive(Debug, Default)]
struct Seen {
    times: HashMap<Box<[u8]>, u64>,
    order: VecDeque<Box<[u8]>>,
}

impl Seen {
    fn count(&mut self, id: &[u8]) {
        if let Some(times) = self.times.get_mut(id) {
            *times += 1;
            return;
        }
        if id.len() > ID_BYTES_MAX {
            return;
        }
        if self.order.len() == SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.times.remove(&oldest);
        }
        self.times.insert(id.into(), 1);
        self.order.push_back(id.into());
    }
}

const SEEN_MAX: usize = 100_000;
const ID_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_id_is_forgotten_when_there_are_too_many() {
        let mut seen = Seen::default();
        for id in 0..=SEEN_MAX {
            seen.count(id.to_string().as_bytes());
            seen.count(id.to_string().as_bytes());
        }
        assert_eq!(seen.times.len(), SEEN_MAX);
        assert_eq!(seen.times.get(b"0".as_slice()), None);
        assert_eq!(seen.times.get(b"1".as_slice()), Some(&2));
    }

    #[test]
    fn an_endless_id_is_not_kept() {
        let mut seen = Seen::default();
        seen.count(&[b'x'; ID_BYTES_MAX + 1]);
        assert!(seen.times.is_empty() && seen.order.is_empty());
    }
}
