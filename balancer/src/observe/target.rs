//! Files, pipes, terminals and sockets, written without waiting. Decides how each is; called by [`super::sink`]; never keeps a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};

use crate::trust;

/// Something that lines can be written to.
#[derive(Debug)]
pub(super) enum LineTarget {
    /// A file of ours. A pipe (mkfifo) that nobody reads cannot be opened, and is tried again.
    File { path: PathBuf, file: Option<File>, tried: Option<Instant> },
    /// What we were started with, and perhaps share with others.
    Inherited(OwnedFd, Manner),
}

/// How what was inherited is written to without waiting: that others may write there too forbids to set `O_NONBLOCK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// A file; or a pipe or a terminal that we have opened once more, without waiting.
    Plain,
    /// A socket (the journal's): the call says it.
    Socket,
    /// A pipe or a terminal of another account: asked before, and not given more than it then takes (pipe(7)).
    Asked,
}

impl LineTarget {
    /// A file to append to; one that ends within a line gets the end of that line first.
    ///
    /// # Errors
    /// When it cannot be opened, other than for the want of a reader.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        let file = match open(path) {
            Err(error) if is_unread(path, &error) => None,
            opened => Some(opened?),
        };
        Ok(Self::File { path: path.to_owned(), file, tried: None })
    }

    /// stdout or stderr.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub(super) fn inherited(of: BorrowedFd<'_>) -> io::Result<Self> {
        let kind = File::from(of.try_clone_to_owned()?).metadata()?.file_type();
        if kind.is_socket() {
            return Ok(Self::Inherited(of.try_clone_to_owned()?, Manner::Socket));
        }
        if !kind.is_fifo() && !kind.is_char_device() {
            return Ok(Self::Inherited(of.try_clone_to_owned()?, Manner::Plain));
        }
        let again = OpenOptions::new()
            .write(true)
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
            .open(format!("/proc/self/fd/{}", of.as_raw_fd()));
        Ok(match again {
            Ok(file) => Self::Inherited(file.into(), Manner::Plain),
            Err(_) => Self::Inherited(of.try_clone_to_owned()?, Manner::Asked),
        })
    }

    /// Writes what can be written at once: some bytes, at least one.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when it takes none now; else why it will take none.
    pub(super) fn write(&mut self, bytes: &[u8], now: Instant) -> io::Result<usize> {
        loop {
            let written = match self {
                Self::Inherited(descriptor, manner) => write_inherited(descriptor.as_fd(), *manner, bytes),
                Self::File { path, file, tried } => {
                    if file.is_none() {
                        if tried.is_some_and(|tried| now.saturating_duration_since(tried) < AGAIN) {
                            return Err(io::Error::from_raw_os_error(nix::libc::ENXIO));
                        }
                        *tried = Some(now);
                        *file = Some(open(path)?);
                    }
                    let Some(opened) = file else { return Err(io::ErrorKind::NotFound.into()) };
                    let written = opened.write(bytes);
                    if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
                        *file = None;
                    }
                    written
                }
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return written,
            }
        }
    }

    /// Whether whoever reads next begins anew.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::File { file: None, .. })
    }
}

fn write_inherited(descriptor: BorrowedFd<'_>, manner: Manner, bytes: &[u8]) -> io::Result<usize> {
    match manner {
        Manner::Plain => Ok(nix::unistd::write(descriptor, bytes)?),
        Manner::Socket => Ok(send(descriptor.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?),
        Manner::Asked => {
            let mut asked = [PollFd::new(descriptor, PollFlags::POLLOUT)];
            if poll(&mut asked, PollTimeout::ZERO)? == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(nix::unistd::write(descriptor, &bytes[..bytes.len().min(ATOMIC)])?)
        }
    }
}

/// Opens for appending, without waiting for whoever reads a pipe.
fn open(path: &Path) -> io::Result<File> {
    let mut file = trust::append(path, LOG_MODE)?;
    if ends_within_a_line(path) {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

/// Whether a file was left so, by a disk that was full; what cannot be read is left as it is.
fn ends_within_a_line(path: &Path) -> bool {
    let last = || {
        let is_file = path.metadata()?.is_file();
        let mut byte = [b'\n'];
        if is_file {
            let mut file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
            if file.seek(SeekFrom::End(0))? > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut byte)?;
            }
        }
        io::Result::Ok(byte)
    };
    last().is_ok_and(|byte| byte != *b"\n")
}

/// Whether it is a pipe that only lacks somebody who reads it.
fn is_unread(path: &Path, error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::ENXIO) && path.metadata().is_ok_and(|found| found.file_type().is_fifo())
}

/// Addresses of clients and queries of theirs are not for every account; a group may be let in to read them.
const LOG_MODE: u32 = 0o640;
/// Between two tries to open a pipe that nobody reads.
const AGAIN: Duration = Duration::from_millis(500);
/// What a pipe takes at once when it says that it takes something (PIPE_BUF).
const ATOMIC: usize = 4_096;
