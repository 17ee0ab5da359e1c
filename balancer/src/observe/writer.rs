//! One thread that writes, so that no other waits for a disk, a terminal or a pipe nobody reads; and no destination for another.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::sink::{Sink, reason};
use super::target::Target;

/// Hands lines to the writing thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: SyncSender<Order>,
    shared: Arc<Shared>,
    ended: Arc<Mutex<Receiver<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Lines that found the queue full and are not told yet, by destination.
    overrun: [AtomicU64; 3],
    /// All that were lost, by destination.
    lost: [AtomicU64; 3],
    /// The file is to be opened again before the next line.
    reopen: AtomicBool,
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
    path: PathBuf,
    target: Target,
}

#[derive(Debug)]
enum Order {
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
        Ok(Self { path: path.to_owned(), target: Target::file(path)? })
    }

    /// Whether it is a pipe that nobody reads yet.
    pub fn is_unread(&self) -> bool {
        self.target.is_gone()
    }
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(file: Option<LogFile>) -> io::Result<Self> {
        let (queue, orders) = sync_channel(QUEUE_MAX);
        let (end, ended) = sync_channel(1);
        let shared = Arc::<Shared>::default();
        let mut sinks = Sinks {
            stdout: Sink::new("stdout".into(), Target::inherited(io::stdout().as_fd())?),
            stderr: Sink::new("stderr".into(), Target::inherited(io::stderr().as_fd())?),
            collecting: VecDeque::new(),
            path: file.as_ref().map(|file| file.path.clone()),
            file: file.map(|file| Sink::new(named(&file.path), file.target)),
            shared: Arc::clone(&shared),
        };
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
        let order = Order::Write(destination, lines);
        if let Err(TrySendError::Full(Order::Write(_, lines))) = self.queue.try_send(order) {
            self.overrun(destination, &lines);
        }
    }

    /// Queues a batch that is taken a moment later, with the lines that are put to it until then; when the queue is full those that it
    /// has are dropped and counted, and no more can be put to it.
    pub(super) fn collect(&self, destination: Destination, batch: &Batch) {
        let order = Order::Collect(destination, batch.clone());
        if let Err(TrySendError::Full(Order::Collect(_, batch))) = self.queue.try_send(order) {
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
        let _ = self.queue.try_send(Order::Look);
    }

    /// Has lines for the file go to another one, or to none, behind those that are queued.
    pub fn replace(&self, file: Option<LogFile>) {
        // It waits for nothing but the thread, which waits for nobody; that the thread is gone means that the process ends.
        let _ = self.queue.send(Order::Replace(file));
    }

    /// Writes what is queued and ends the thread; not longer than a second or two, for a pipe that nobody reads would keep
    /// the process from ending.
    pub fn finish(&self) {
        let until = Instant::now() + 2 * PATIENCE;
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

/// All of them, of the thread that writes.
#[derive(Debug)]
struct Sinks {
    stdout: Sink,
    stderr: Sink,
    file: Option<Sink>,
    /// What is to be taken, and when.
    collecting: VecDeque<(Instant, Destination, Batch)>,
    path: Option<PathBuf>,
    shared: Arc<Shared>,
}

impl Sinks {
    fn run(&mut self, orders: &Receiver<Order>) {
        let mut waits = false;
        loop {
            let due = self.collecting.front().map(|(due, ..)| due.saturating_duration_since(Instant::now()));
            let order = match due.into_iter().chain(waits.then_some(AGAIN)).min() {
                Some(time) => match orders.recv_timeout(time) {
                    Err(RecvTimeoutError::Timeout) => Order::Look,
                    Err(RecvTimeoutError::Disconnected) => break,
                    Ok(order) => order,
                },
                None => match orders.recv() {
                    Ok(order) => order,
                    Err(_) => break,
                },
            };
            if self.shared.reopen.swap(false, Ordering::Relaxed) {
                self.reopen();
            }
            match order {
                Order::Write(destination, lines) => waits |= self.write(destination, lines),
                Order::Collect(destination, batch) => {
                    self.collecting.push_back((Instant::now() + COLLECT, destination, batch));
                }
                Order::Look => waits = self.flush(),
                Order::Replace(file) => {
                    waits |= self.collect(true);
                    self.replace(file);
                }
                Order::Finish => break,
            }
            waits |= self.collect(false);
            waits |= self.overrun();
        }
        self.collect(true);
        // Readers that are slow, and not gone, get what there is.
        let until = Instant::now() + PATIENCE;
        while self.flush() && self.has_pending() && Instant::now() < until {
            let _ = orders.recv_timeout(AGAIN);
        }
    }

    /// Writes the batches whose time has come, or `all`, in the order in which they were begun; whether something waits to be written.
    fn collect(&mut self, all: bool) -> bool {
        let mut waits = false;
        while let Some((due, destination, batch)) = self.collecting.front() {
            if !all && self.collecting.len() <= QUEUE_MAX && *due > Instant::now() {
                break;
            }
            let (destination, lines) = (*destination, batch.take());
            waits |= self.write(destination, lines);
            self.collecting.pop_front();
        }
        waits
    }

    /// Whether something waits to be written.
    fn write(&mut self, destination: Destination, lines: Vec<u8>) -> bool {
        let Some(sink) = self.sink(destination) else { return false };
        let flushed = sink.write(lines, Instant::now());
        self.shared.lost[destination as usize].fetch_add(flushed.lost, Ordering::Relaxed);
        flushed.waits
    }

    /// Whether something waits still.
    fn flush(&mut self) -> bool {
        let (now, mut waits) = (Instant::now(), false);
        for destination in ALL {
            let Some(sink) = self.sink(destination) else { continue };
            let flushed = sink.flush(now);
            waits |= flushed.waits;
            self.shared.lost[destination as usize].fetch_add(flushed.lost, Ordering::Relaxed);
        }
        waits
    }

    fn has_pending(&self) -> bool {
        [Some(&self.stdout), Some(&self.stderr), self.file.as_ref()].into_iter().flatten().any(|sink| !sink.is_empty())
    }

    /// Tells of lines that found the queue full; whether there were some.
    fn overrun(&mut self) -> bool {
        let mut some = false;
        for destination in ALL {
            let lines = self.shared.overrun[destination as usize].swap(0, Ordering::Relaxed);
            if lines > 0 {
                some = true;
                self.shared.lost[destination as usize].fetch_add(lines, Ordering::Relaxed);
                if let Some(sink) = self.sink(destination) {
                    sink.overrun(lines, Instant::now());
                }
            }
        }
        some
    }

    fn sink(&mut self, destination: Destination) -> Option<&mut Sink> {
        match destination {
            Destination::Stdout => Some(&mut self.stdout),
            Destination::Stderr => Some(&mut self.stderr),
            Destination::File => self.file.as_mut(),
        }
    }

    fn replace(&mut self, file: Option<LogFile>) {
        self.path = file.as_ref().map(|file| file.path.clone());
        match (file, &mut self.file) {
            (None, kept) => *kept = None,
            (Some(file), Some(kept)) => kept.replace(named(&file.path), file.target),
            (Some(file), kept) => *kept = Some(Sink::new(named(&file.path), file.target)),
        }
    }

    fn reopen(&mut self) {
        let (Some(path), Some(sink)) = (&self.path, &mut self.file) else { return };
        match Target::file(path) {
            Ok(target) => sink.replace(named(path), target),
            Err(error) => {
                tracing::error!("cannot open {} again, so it goes on in the old file: {}", named(path), reason(&error))
            }
        }
    }
}

fn named(path: &Path) -> String {
    format!("the access log {}", path.display())
}

const ALL: [Destination; 3] = [Destination::Stdout, Destination::Stderr, Destination::File];
/// Orders, not lines: the access log hands over a buffer of many lines at once.
const QUEUE_MAX: usize = 1_024;
/// Somebody at a terminal sees a line at once.
const COLLECT: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks whether somebody takes something.
const AGAIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
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
