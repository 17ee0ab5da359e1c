//! All destinations, of the thread that writes. Decides when what is collected is taken, and what is said of lines that were lost. Run by
//! `writer`. Never waits for one destination while another has lines.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::orders::{Counts, Destination, LogFile, PATIENCE, QUEUE_MAX, WriteOrder};
use super::sink::{Sink, reason};
use super::target::LineTarget;

/// All of them, of the thread that writes.
#[derive(Debug)]
pub(super) struct Sinks {
    stdout: Sink,
    stderr: Sink,
    file: Option<Sink>,
    /// What is to be taken, and when.
    collecting: VecDeque<(Instant, Destination, Batch)>,
    path: Option<PathBuf>,
    shared: Arc<Counts>,
}

impl Sinks {
    /// Standard output and error, and a file.
    pub(super) fn new(file: Option<LogFile>, shared: Arc<Counts>) -> io::Result<Self> {
        Ok(Self {
            stdout: Sink::new("stdout".into(), LineTarget::inherited(io::stdout().as_fd())?),
            stderr: Sink::new("stderr".into(), LineTarget::inherited(io::stderr().as_fd())?),
            collecting: VecDeque::new(),
            path: file.as_ref().map(|file| file.path.clone()),
            file: file.map(|file| Sink::new(named(&file.path), file.target)),
            shared,
        })
    }

    /// Carries out orders until the last.
    pub(super) fn run(&mut self, orders: &Receiver<WriteOrder>) {
        let mut waits = false;
        loop {
            let due = self.collecting.front().map(|(due, ..)| due.saturating_duration_since(Instant::now()));
            let order = match due.into_iter().chain(waits.then_some(AGAIN)).min() {
                Some(time) => match orders.recv_timeout(time) {
                    Err(RecvTimeoutError::Timeout) => WriteOrder::Look,
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
                WriteOrder::Write(destination, lines) => waits |= self.write(destination, lines),
                WriteOrder::Collect(destination, batch) => {
                    self.collecting.push_back((Instant::now() + COLLECT, destination, batch));
                }
                WriteOrder::Look => waits = self.flush(),
                WriteOrder::Replace(file) => {
                    waits |= self.collect(true);
                    self.replace(file);
                }
                WriteOrder::Finish => break,
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
        match LineTarget::file(path) {
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
/// Somebody at a terminal sees a line at once.
const COLLECT: Duration = Duration::from_millis(50);
/// Between two looks whether somebody takes something.
const AGAIN: Duration = Duration::from_millis(10);
