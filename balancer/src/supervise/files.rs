//! Workers' output in files, by a thread of its own, so that no other waits for a disk.
//!
//! Decides when a file is rotated and what is dropped. Called by `output`. Never keeps more than five files of a worker, and
//! never leaves half a line: what cannot be written is dropped whole, counted, and said once there is room.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The thread, started when the first file is asked for; its last clone, dropped, waits a second for what is queued.
#[derive(Debug, Clone, Default)]
pub struct Files(Arc<OnceLock<Thread>>);

#[derive(Debug)]
struct Thread {
    queue: SyncSender<Order>,
    ended: std::sync::Mutex<Receiver<()>>,
}

/// Where one worker's lines go.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    path: Arc<Path>,
    queue: SyncSender<Order>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Order {
    /// Whole lines; how many before them found the queue full.
    Write(Arc<Path>, Vec<u8>, u64),
    Finish,
}

impl Files {
    /// The file of a worker in a directory: `app.2.log`.
    pub(super) fn of_worker(&self, directory: &Path, worker: &str) -> LogFile {
        let thread = self.0.get_or_init(Thread::start);
        let path = directory.join(format!("{worker}.log")).into();
        LogFile { path, queue: thread.queue.clone(), dropped: Arc::default() }
    }
}

impl LogFile {
    /// Queues whole lines; when the queue is full they are dropped and counted.
    pub(super) fn write(&self, lines: &[u8]) {
        let before = self.dropped.swap(0, Ordering::Relaxed);
        let order = Order::Write(Arc::clone(&self.path), lines.to_vec(), before);
        if self.queue.try_send(order).is_err() {
            self.dropped.fetch_add(before + count(lines), Ordering::Relaxed);
        }
    }
}

impl Thread {
    fn start() -> Self {
        let (queue, orders) = sync_channel(QUEUE_MAX);
        let (end, ended) = sync_channel(1);
        let body = move || {
            write_all(orders);
            // Nobody listens when the process ended without waiting.
            let _ = end.send(());
        };
        if let Err(error) = std::thread::Builder::new().name("files".into()).spawn(body) {
            tracing::error!(%error, "no thread for the workers' files: their output is dropped");
        }
        Self { queue, ended: ended.into() }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Full: then the disk has been too slow for a while, and the rest is not waited for.
        if self.queue.try_send(Order::Finish).is_ok()
            && let Ok(ended) = self.ended.get_mut()
        {
            let _ = ended.recv_timeout(PATIENCE);
        }
    }
}

/// Until the end is ordered; then nothing can be queued any more.
fn write_all(orders: Receiver<Order>) {
    let mut files = HashMap::<Arc<Path>, Rotated>::new();
    while let Ok(Order::Write(path, lines, dropped)) = orders.recv() {
        let file = files.entry(Arc::clone(&path)).or_insert_with(|| Rotated::new(&path, FILE_BYTES_MAX));
        file.dropped += dropped;
        file.write(&lines);
    }
}

/// One file and those before it, `app.2.log.1` the youngest.
#[derive(Debug)]
struct Rotated {
    path: PathBuf,
    bytes_max: u64,
    file: Option<(File, u64)>,
    /// Lines that are missing since the last that was written.
    dropped: u64,
    failing: bool,
}

impl Rotated {
    fn new(path: &Path, bytes_max: u64) -> Self {
        Self { path: path.to_owned(), bytes_max, file: None, dropped: 0, failing: false }
    }

    fn write(&mut self, lines: &[u8]) {
        let said = match self.dropped {
            0 => Vec::new(),
            dropped => format!("balancer: {dropped} lines were dropped here\n").into_bytes(),
        };
        match self.append(&[&said, lines].concat()) {
            Ok(()) => {
                if std::mem::replace(&mut self.failing, false) {
                    tracing::warn!("{} can be written again; lines dropped: {}", self.path.display(), self.dropped);
                }
                self.dropped = 0;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!("cannot write {}: {error}; lines are dropped", self.path.display());
                }
                self.dropped += count(lines);
            }
        }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = lines.len() as u64;
        if self.file.as_ref().is_some_and(|(_, size)| *size > 0 && size + length > self.bytes_max) {
            self.rotate()?;
        }
        let (file, size) = match &mut self.file {
            Some(open) => open,
            None => {
                let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
                let size = file.metadata()?.len();
                self.file.insert((file, size))
            }
        };
        if let Err(error) = file.write_all(lines) {
            // Whatever part of it was written goes; a device that cannot be cut has nothing to cut.
            let _ = file.set_len(*size);
            return Err(error);
        }
        *size += length;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..FILES_MAX - 1).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))?;
        self.file = None;
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

const FILE_BYTES_MAX: u64 = 10_000_000;
/// Of one worker, the present one among them.
const FILES_MAX: usize = 5;
/// Of some kilobytes each.
const QUEUE_MAX: usize = 256;
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("balancer-files-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn five_files_are_kept_and_no_line_is_torn() {
        let directory = scratch("rotate");
        let path = directory.join("app.1.log");
        let mut file = Rotated::new(&path, 100);
        for number in 0..100 {
            file.write(format!("line {number:04}\n").as_bytes());
        }
        let mut names: Vec<_> = fs::read_dir(&directory).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["app.1.log", "app.1.log.1", "app.1.log.2", "app.1.log.3", "app.1.log.4"]);
        let mut next = 99;
        for name in names {
            let text = fs::read_to_string(directory.join(name)).unwrap();
            assert!(text.len() <= 100);
            for line in text.lines().rev() {
                assert_eq!(line, format!("line {next:04}"));
                next -= 1;
            }
        }
        assert_eq!(next, 49);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_full_disk_drops_whole_lines_and_says_how_many() {
        let directory = scratch("full");
        let path = directory.join("app.1.log");
        // Every write to it fails with "no space left on device"; see full(4).
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut file = Rotated::new(&path, 1_000);
        file.write(b"one\ntwo\n");
        file.write(b"three\n");
        assert_eq!((file.dropped, file.failing), (3, true));
        fs::remove_file(&path).unwrap();
        file.file = None;
        file.write(b"four\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "balancer: 3 lines were dropped here\nfour\n");
        assert_eq!((file.dropped, file.failing), (0, false));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_is_queued_is_written_before_the_end_and_what_found_no_room_is_counted() {
        let directory = scratch("queue");
        let files = Files::default();
        let log = files.of_worker(&directory, "app.1");
        log.dropped.store(7, Ordering::Relaxed);
        log.write(b"one\n");
        log.write(b"two\n");
        drop(files);
        let text = fs::read_to_string(directory.join("app.1.log")).unwrap();
        assert_eq!(text, "balancer: 7 lines were dropped here\none\ntwo\n");
        // The thread has ended.
        log.write(b"three\nfour\n");
        assert_eq!(log.dropped.load(Ordering::Relaxed), 2);
        fs::remove_dir_all(directory).unwrap();
    }
}
