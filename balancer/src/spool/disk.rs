//! The thread that has the files.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use nix::libc::O_TMPFILE;

use super::room::DiskRoom;
use crate::net::{Buffer, Whose};

/// What the thread is asked to do with the file of that number.
#[derive(Debug)]
pub(super) enum DiskOrder {
    /// Write a piece at that place.
    Write(u64, Buffer, u64, Arc<Mail>),
    /// Fill a buffer with so many bytes from that place.
    Read(u64, Buffer, (u64, usize), Arc<Mail>),
    /// Close it, which gives back so many bytes of that client.
    Close(u64, (u64, Whose)),
}

impl DiskOrder {
    /// The piece that was to be written.
    pub(super) fn into_piece(self) -> Buffer {
        match self {
            Self::Write(_, piece, ..) | Self::Read(_, piece, ..) => piece,
            Self::Close(..) => Buffer::default(),
        }
    }
}

/// What the thread has done.
#[derive(Debug)]
pub(super) enum Done {
    Written,
    /// There is no room; here it is again.
    Refused(Buffer),
    Read(io::Result<Buffer>),
}

/// Where a file's owner finds what was done.
#[derive(Debug, Default)]
pub(super) struct Mail(Mutex<(Option<Done>, Option<Waker>)>);

impl Mail {
    /// What was done; if nothing yet, `waker` is woken when it is.
    pub(super) fn take(&self, waker: &Waker) -> Option<Done> {
        let (done, waiting) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if done.is_none() {
            *waiting = Some(waker.clone());
        }
        done.take()
    }

    fn put(&self, new: Done) {
        let waiting = {
            let (done, waiting) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *done = Some(new);
            waiting.take()
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[derive(Debug)]
pub(super) struct Disk {
    directory: PathBuf,
    files: HashMap<u64, File>,
    room: Arc<DiskRoom>,
}

impl Disk {
    /// Makes one file, to see whether that works.
    pub(super) fn new(directory: PathBuf, room: Arc<DiskRoom>) -> io::Result<Self> {
        nameless(&directory)?;
        Ok(Self { directory, files: HashMap::new(), room })
    }

    /// Does what it is asked to, as long as anybody can ask.
    pub(super) fn run(mut self, orders: &Receiver<DiskOrder>) {
        while let Ok(order) = orders.recv() {
            match order {
                DiskOrder::Write(id, piece, at, mail) => mail.put(match self.write(id, piece.unread(), at) {
                    Ok(()) => Done::Written,
                    Err(error) => {
                        self.room.say(&error);
                        Done::Refused(piece)
                    }
                }),
                DiskOrder::Read(id, buffer, place, mail) => mail.put(Done::Read(self.read(id, buffer, place))),
                DiskOrder::Close(id, (bytes, whose)) => {
                    drop(self.files.remove(&id));
                    self.room.give(bytes, whose);
                }
            }
        }
    }

    fn write(&mut self, id: u64, bytes: &[u8], at: u64) -> io::Result<()> {
        let file = match self.files.entry(id) {
            std::collections::hash_map::Entry::Occupied(file) => file.into_mut(),
            std::collections::hash_map::Entry::Vacant(none) => none.insert(nameless(&self.directory)?),
        };
        file.write_all_at(bytes, at)
    }

    fn read(&self, id: u64, mut buffer: Buffer, (at, length): (u64, usize)) -> io::Result<Buffer> {
        let file = self.files.get(&id).ok_or(io::ErrorKind::NotFound)?;
        let room = buffer.room();
        let length = length.min(room.len());
        file.read_exact_at(&mut room[..length], at)?;
        buffer.filled(length);
        Ok(buffer)
    }
}

/// A file that nobody else can open and that is gone with its descriptor, whatever becomes of us.
fn nameless(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().custom_flags(O_TMPFILE).open(directory) {
        Ok(file) => return Ok(file),
        // Some file systems have none such (open(2)).
        Err(error) if matches!(error.raw_os_error(), Some(EOPNOTSUPP | EISDIR)) => {}
        Err(error) => return Err(error),
    }
    let path = directory.join(format!("balancer-{:016x}", rand::random::<u64>()));
    let file = options.create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

const EOPNOTSUPP: i32 = nix::libc::EOPNOTSUPP;
const EISDIR: i32 = nix::libc::EISDIR;
