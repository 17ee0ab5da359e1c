//! Workers' output in files, by a thread of its own, so that no other waits for a disk.
//!
//! Decides when a file is rotated and what is dropped. Called by `output`. Never keeps more than five files of a worker, never
//! goes on in one that others have moved away, and never leaves half a line: what cannot be written is dropped whole,
//! counted, and said once there is room.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::trust;

/// The thread, started when the first file is asked for; its last clone, dropped, waits a second for what is queued.
#[derive(Debug, Clone, Default)]
pub struct Files(Arc<OnceLock<Thread>>);

#[derive(Debug)]
struct Thread {
    queue: SyncSender<FileOrder>,
    /// Lines that found the queue full and are not told yet, by path: whoever writes there next tells, whichever run of the
    /// worker that is.
    dropped: Mutex<HashMap<Arc<Path>, Arc<AtomicU64>>>,
    ended: Mutex<Receiver<()>>,
}

/// Where one worker's lines go.
#[derive(Debug, Clone)]
pub(in crate::supervise) struct WorkerLogFile {
    path: Arc<Path>,
    queue: SyncSender<FileOrder>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum FileOrder {
    /// Whole lines; how many before them found the queue full.
    Write(Arc<Path>, Vec<u8>, u64),
    Finish,
}

impl Files {
    /// The file of a worker in a directory: `app.2.log`.
    pub(in crate::supervise) fn of_worker(&self, directory: &Path, worker: &str) -> WorkerLogFile {
        let thread = self.0.get_or_init(Thread::start);
        let path: Arc<Path> = directory.join(format!("{worker}.log")).into();
        let mut dropped = thread.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        // Of those that nobody writes to any more and that miss nothing.
        dropped.retain(|_, count| Arc::strong_count(count) > 1 || count.load(Ordering::Relaxed) > 0);
        let dropped = Arc::clone(dropped.entry(Arc::clone(&path)).or_default());
        WorkerLogFile { path, queue: thread.queue.clone(), dropped }
    }
}

impl WorkerLogFile {
    /// Queues whole lines; when the queue is full they are dropped and counted.
    pub(in crate::supervise) fn write(&self, lines: &[u8]) {
        let before = self.dropped.swap(0, Ordering::Relaxed);
        let order = FileOrder::Write(Arc::clone(&self.path), lines.to_vec(), before);
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
        Self { queue, dropped: Mutex::default(), ended: ended.into() }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Full: then the disk has been too slow for a while, and the rest is not waited for.
        if self.queue.try_send(FileOrder::Finish).is_ok()
            && let Ok(ended) = self.ended.get_mut()
        {
            let _ = ended.recv_timeout(PATIENCE);
        }
    }
}

/// Until the end is ordered; then nothing can be queued any more.
fn write_all(orders: Receiver<FileOrder>) {
    let mut files = HashMap::<Arc<Path>, Rotated>::new();
    while let Ok(FileOrder::Write(path, lines, dropped)) = orders.recv() {
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
    file: Option<Open>,
    /// Lines that are missing since the last that was written.
    dropped: u64,
    failing: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
    /// Device and inode: what tells it from another file of its name.
    identity: (u64, u64),
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
        // Others may have removed or renamed it, logrotate(8) for one.
        let mut open = match self.file.take().filter(|open| open.is_at(&self.path)) {
            Some(open) => open,
            None => Open::at(&self.path)?,
        };
        if open.size > 0 && open.size + length > self.bytes_max {
            self.rotate()?;
            open = Open::at(&self.path)?;
        }
        let open = self.file.insert(open);
        if let Err(error) = open.file.write_all(lines) {
            // Whatever part of it was written goes; a device that cannot be cut has nothing to cut.
            let _ = open.file.set_len(open.size);
            return Err(error);
        }
        open.size += length;
        Ok(())
    }

    fn rotate(&self) -> io::Result<()> {
        // With nothing to put in front, those behind stay where they are.
        if !self.path.try_exists()? {
            return Ok(());
        }
        for number in (1..FILES_MAX - 1).rev() {
            rename(&self.numbered(number), &self.numbered(number + 1))?;
        }
        rename(&self.path, &self.numbered(1))
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        // A worker may own the folder: no link of its making is followed, and no pipe waited for.
        let file = trust::append(path, LOG_MODE)?;
        let metadata = file.metadata()?;
        if metadata.file_type().is_fifo() {
            return Err(io::Error::other("it is a pipe"));
        }
        Ok(Self { file, size: metadata.len(), identity: (metadata.dev(), metadata.ino()) })
    }

    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == self.identity)
    }
}

/// Nothing there is nothing to be done.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// As the access log's: what programs print is not for every account.
const LOG_MODE: u32 = 0o640;
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
    fn a_file_that_others_move_away_is_made_anew_and_older_ones_stay() {
        let directory = scratch("moved");
        let path = directory.join("app.1.log");
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        let mut file = Rotated::new(&path, 20);
        for number in 0..3 {
            file.write(format!("line {number:04}\n").as_bytes());
        }
        assert_eq!((read("app.1.log.1"), read("app.1.log")), ("line 0000\nline 0001\n".into(), "line 0002\n".into()));
        fs::rename(&path, directory.join("moved")).unwrap();
        file.write(b"behind the move\n");
        assert_eq!((read("moved"), read("app.1.log")), ("line 0002\n".into(), "behind the move\n".into()));
        for line in ["fresh 1\n", "fresh 2\n"] {
            // Full each time.
            file.write(b"the whole of a file.\n");
            let older = read("app.1.log.1");
            fs::remove_file(&path).unwrap();
            file.write(line.as_bytes());
            assert_eq!((read("app.1.log"), read("app.1.log.1")), (line.into(), older));
        }
        // It goes in the very moment of the rotation.
        file.write(b"the whole of a file.\n");
        let older = read("app.1.log.1");
        fs::remove_file(&path).unwrap();
        file.rotate().unwrap();
        assert_eq!((read("app.1.log.1"), file.dropped, file.failing), (older, 0, false));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn after_a_rotation_that_failed_the_next_begins_anew() {
        let directory = scratch("stuck");
        let path = directory.join("app.1.log");
        // A file cannot take the place of a directory.
        let stuck = directory.join("app.1.log.4");
        fs::create_dir(&stuck).unwrap();
        fs::write(directory.join("app.1.log.3"), "").unwrap();
        let mut file = Rotated::new(&path, 10);
        file.write(b"line 1\n");
        file.write(b"line 2\n");
        assert_eq!((file.dropped, file.failing, file.file.is_none()), (1, true, true));
        fs::remove_dir(stuck).unwrap();
        file.write(b"line 3\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "balancer: 1 lines were dropped here\nline 3\n");
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
        file.write(b"four\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "balancer: 3 lines were dropped here\nfour\n");
        assert_eq!((file.dropped, file.failing), (0, false));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_a_run_of_a_worker_has_lost_is_told_by_the_next() {
        let directory = scratch("next-run");
        let files = Files::default();
        let first = files.of_worker(&directory, "app.1");
        first.dropped.store(3, Ordering::Relaxed);
        drop(first);
        let (other, next) = (files.of_worker(&directory, "app.2"), files.of_worker(&directory, "app.1"));
        other.write(b"two\n");
        next.write(b"one\n");
        drop((other, next));
        files.of_worker(&directory, "app.3");
        assert_eq!(files.0.get().unwrap().dropped.lock().unwrap().len(), 1, "only who is there is remembered");
        drop(files);
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        assert_eq!(read("app.1.log"), "balancer: 3 lines were dropped here\none\n");
        assert_eq!(read("app.2.log"), "two\n");
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
