//! One thread that writes, so that no other waits for a disk, a terminal or a pipe nobody reads; and no destination for another.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::batch::Batch;
use super::orders::{Counts, Destination, LogFile, PATIENCE, QUEUE_MAX, WriteOrder};
use super::sinks::Sinks;

/// Hands lines to the writing thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: SyncSender<WriteOrder>,
    shared: Arc<Counts>,
    ended: Arc<Mutex<Receiver<()>>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(file: Option<LogFile>) -> io::Result<Self> {
        let (queue, orders) = sync_channel(QUEUE_MAX);
        let (end, ended) = sync_channel(1);
        let shared = Arc::<Counts>::default();
        let mut sinks = Sinks::new(file, Arc::clone(&shared))?;
        let body = move || {
            sinks.run(&orders);
            // Nobody listens when the process ended without waiting.
            let _ = end.send(());
        };
        std::thread::Builder::new().name("writer".into()).spawn(body)?;
        Ok(Self { queue, shared, ended: Arc::new(Mutex::new(ended)) })
    }

    /// Queues whole lines; when the queue is full they are dropped and counted.
    pub fn write(&self, destination: Destination, lines: Vec<u8>) {
        let order = WriteOrder::Write(destination, lines);
        if let Err(TrySendError::Full(WriteOrder::Write(_, lines))) = self.queue.try_send(order) {
            self.overrun(destination, &lines);
        }
    }

    /// Queues a batch that is taken a moment later, with the lines that are put to it until then; when the queue is full those that it
    /// has are dropped and counted, and no more can be put to it.
    pub(super) fn collect(&self, destination: Destination, batch: &Batch) {
        let order = WriteOrder::Collect(destination, batch.clone());
        if let Err(TrySendError::Full(WriteOrder::Collect(_, batch))) = self.queue.try_send(order) {
            self.overrun(destination, &batch.take());
        }
    }

    fn overrun(&self, destination: Destination, lines: &[u8]) {
        let count = lines.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.shared.overrun[destination as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// Lines that were lost so far.
    pub fn lost(&self, destination: Destination) -> u64 {
        self.shared.lost[destination as usize].load(Ordering::Relaxed)
            + self.shared.overrun[destination as usize].load(Ordering::Relaxed)
    }

    /// Opens the file again before the next line, after it was rotated away.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
        // Full: then there are lines to write, and the thread looks before each.
        let _ = self.queue.try_send(WriteOrder::Look);
    }

    /// Has lines for the file go to another one, or to none, behind those that are queued.
    pub fn replace(&self, file: Option<LogFile>) {
        // It waits for nothing but the thread, which waits for nobody; that the thread is gone means that the process ends.
        let _ = self.queue.send(WriteOrder::Replace(file));
    }

    /// Writes what is queued and ends the thread; not longer than a second or two, for a pipe that nobody reads would keep
    /// the process from ending.
    pub fn finish(&self) {
        let until = Instant::now() + 2 * PATIENCE;
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while let Err(TrySendError::Full(_)) = self.queue.try_send(WriteOrder::Finish) {
            // The thread is at work: look again in a while, or when it has ended.
            if Instant::now() > until || ended.recv_timeout(PATIENCE / 100).is_ok() {
                return;
            }
        }
        let _ = ended.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_was_queued_is_written_before_the_end_and_a_rotated_file_is_left() {
        let directory = std::env::temp_dir().join(format!("balancer-writer-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (path, rotated) = (directory.join("access.log"), directory.join("access.log.1"));
        let writer = Writer::start(Some(LogFile::open(&path).unwrap())).unwrap();
        writer.write(Destination::File, b"one\n".to_vec());
        while std::fs::read(&path).unwrap().is_empty() {
            std::thread::yield_now();
        }
        std::fs::rename(&path, &rotated).unwrap();
        writer.reopen();
        writer.write(Destination::File, b"two\n".to_vec());
        let other = directory.join("other.log");
        writer.replace(Some(LogFile::open(&other).unwrap()));
        writer.write(Destination::File, b"three\n".to_vec());
        writer.finish();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "three\n");
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_batch_is_written_with_what_was_put_to_it_meanwhile_in_the_order_of_their_first_lines() {
        let path = std::env::temp_dir().join(format!("balancer-batch-{}", std::process::id()));
        let writer = Writer::start(Some(LogFile::open(&path).unwrap())).unwrap();
        let line = |text: &'static str| move |lines: &mut Vec<u8>| lines.extend_from_slice(text.as_bytes());
        let full = format!("{}\n", "x".repeat(40_000));
        let first = Batch::begin(line("1\n"));
        writer.collect(Destination::File, &first);
        assert!(first.add(line("2\n")) && first.add(|lines| lines.extend_from_slice(full.as_bytes())));
        assert!(!first.add(line("3\n")), "it is full");
        let second = Batch::begin(line("3\n"));
        writer.collect(Destination::File, &second);
        // Nobody asks for it.
        while std::fs::read_to_string(&path).unwrap() != format!("1\n2\n{full}3\n") {
            std::thread::yield_now();
        }
        assert!(!second.add(line("4\n")), "it was taken");
        writer.collect(Destination::File, &Batch::begin(line("4\n")));
        writer.finish();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("3\n4\n"));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_start() {
        assert!(LogFile::open(Path::new("/nowhere/at/all.log")).is_err());
    }
}
