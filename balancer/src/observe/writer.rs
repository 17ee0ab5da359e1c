//! One thread that writes, so that no other waits for a disk, a terminal or a pipe nobody reads.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Hands lines to the writing thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: SyncSender<Order>,
    shared: Arc<Shared>,
    ended: Arc<Mutex<Receiver<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Lines that found the queue full.
    dropped: AtomicU64,
    /// The file is to be opened again before the next line.
    reopen: AtomicBool,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The access log's file.
    File,
}

#[derive(Debug)]
enum Order {
    Write(Destination, Vec<u8>),
    /// Look what else there is to do.
    Look,
    Finish,
}

impl Writer {
    /// Starts the thread; `file` is opened for appending.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not be started.
    pub fn start(file: Option<PathBuf>) -> io::Result<Self> {
        let (queue, orders) = sync_channel(QUEUE_MAX);
        let (end, ended) = sync_channel(1);
        let shared = Arc::<Shared>::default();
        let mut sink = Sink { file: file.as_deref().map(open).transpose()?, path: file, shared: Arc::clone(&shared) };
        let body = move || {
            sink.run(&orders);
            // Nobody listens when the process ended without waiting.
            let _ = end.send(());
        };
        std::thread::Builder::new().name("writer".into()).spawn(body)?;
        Ok(Self { queue, shared, ended: Arc::new(Mutex::new(ended)) })
    }

    /// Queues whole lines; when the queue is full they are dropped and counted.
    pub fn write(&self, destination: Destination, lines: Vec<u8>) {
        let order = Order::Write(destination, lines);
        if let Err(TrySendError::Full(Order::Write(_, lines))) = self.queue.try_send(order) {
            let count = lines.iter().filter(|&&byte| byte == b'\n').count() as u64;
            self.shared.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Opens the file again before the next line, after it was rotated away.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
        // Full: then there are lines to write, and the thread looks before each.
        let _ = self.queue.try_send(Order::Look);
    }

    /// Writes what is queued and ends the thread; not longer than a second or two, for a pipe that nobody reads would keep
    /// the process from ending.
    pub fn finish(&self) {
        let until = Instant::now() + PATIENCE;
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while let Err(TrySendError::Full(_)) = self.queue.try_send(Order::Finish) {
            // The thread is at work: look again in a while, or when it has ended.
            if Instant::now() > until || ended.recv_timeout(PATIENCE / 100).is_ok() {
                return;
            }
        }
        let _ = ended.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

#[derive(Debug)]
struct Sink {
    file: Option<File>,
    path: Option<PathBuf>,
    shared: Arc<Shared>,
}

impl Sink {
    fn run(&mut self, orders: &Receiver<Order>) {
        while let Ok(order) = orders.recv() {
            if self.shared.reopen.swap(false, Ordering::Relaxed) {
                self.reopen();
            }
            match order {
                Order::Write(destination, lines) => self.write(&destination, &lines),
                Order::Look => {}
                Order::Finish => break,
            }
            match self.shared.dropped.swap(0, Ordering::Relaxed) {
                0 => {}
                lines => tracing::warn!(lines, "log lines were dropped: they came faster than they could be written"),
            }
        }
    }

    /// A disk that is full or a pipe that is closed costs log lines, never requests.
    fn write(&mut self, destination: &Destination, lines: &[u8]) {
        let _ = match (destination, &mut self.file) {
            (Destination::Stdout, _) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines).and_then(|()| stdout.flush())
            }
            (Destination::Stderr, _) => io::stderr().lock().write_all(lines),
            (Destination::File, Some(file)) => file.write_all(lines),
            (Destination::File, None) => Ok(()),
        };
    }

    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match open(path) {
            Ok(file) => self.file = Some(file),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "cannot open the access log again; writing to the old file");
            }
        }
    }
}

fn open(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Orders, not lines: the access log hands over a buffer of many lines at once.
const QUEUE_MAX: usize = 1_024;
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_queued_is_written_before_the_end_and_a_rotated_file_is_left() {
        let directory = std::env::temp_dir().join(format!("balancer-writer-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (path, rotated) = (directory.join("access.log"), directory.join("access.log.1"));
        let writer = Writer::start(Some(path.clone())).unwrap();
        writer.write(Destination::File, b"one\n".to_vec());
        while std::fs::read(&path).unwrap().is_empty() {
            std::thread::yield_now();
        }
        std::fs::rename(&path, &rotated).unwrap();
        writer.reopen();
        writer.write(Destination::File, b"two\n".to_vec());
        writer.finish();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "one\n");
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_start() {
        assert!(Writer::start(Some("/nowhere/at/all.log".into())).is_err());
    }
}
