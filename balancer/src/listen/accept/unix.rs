//! Unix sockets for clients: the file, and who may connect to it.

use std::fs::Permissions;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use nix::unistd::Group;
use rustix::fs::{AtFlags, CWD, Gid, Mode as RawMode, OFlags, Uid, chownat, fstat, openat};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::UnixSocket;
use crate::net::SocketFile;
use crate::trust;

/// Listens there, for whom the configuration lets in; `backlog` connections may wait for us.
///
/// # Errors
/// Those of the system calls; what is no socket any more is left alone.
pub(in crate::listen) fn open(socket: &UnixSocket, backlog: i32) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(&socket.path)?;
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    listener.set_nonblocking(true)?;
    listener.bind(&SockAddr::unix(&socket.path)?)?;
    let file = SocketFile::at(&socket.path)?;
    // Until it listens, nobody can connect: the umask decides nothing.
    admit(&file, socket, None)?;
    listener.listen(backlog)?;
    Ok((listener.into(), file))
}

/// Lets those connect whom `socket` lets in, and nobody else. `owner` is the account that root is about to become: the file will be
/// its own.
///
/// # Errors
/// When it is not ours to decide: the group is none that we are in, or the file is another's.
pub fn admit(socket_file: &SocketFile, socket: &UnixSocket, owner: Option<u32>) -> io::Result<()> {
    // From here on it is that file, whatever comes into its place; the kernel's name for it leads nowhere else (open(2), O_PATH).
    let file = openat(CWD, socket_file.path(), OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, RawMode::empty())?;
    let found = fstat(&file)?;
    if !socket_file.is((found.st_dev, found.st_ino)) {
        return Err(replaced());
    }
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    let set = |mode: u32| std::fs::set_permissions(&itself, Permissions::from_mode(mode));
    // In this order: at no moment is a group let in that was not meant.
    set(socket.mode & 0o600)?;
    let group = socket.group.as_deref().map(group_number).transpose()?;
    if owner.is_some() || group.is_some() {
        let told = |error: io::Error| match &socket.group {
            Some(group) => io::Error::new(error.kind(), format!("cannot give it to group {group}: {error}")),
            None => error,
        };
        let (owner, group) = (owner.map(Uid::from_raw), group.map(Gid::from_raw));
        chownat(&file, "", owner, group, AtFlags::EMPTY_PATH).map_err(|error| told(error.into()))?;
    }
    set(socket.mode)
}

fn replaced() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "its file was replaced by another program")
}

fn group_number(group: &str) -> io::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let found = Group::from_name(group).map_err(io::Error::from)?;
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("there is no group {group}"));
    found.map(|group| group.gid.as_raw()).ok_or_else(missing)
}

/// Removes a socket file nobody listens on any more; anything else in its place is left alone.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match trust::connect(path, None, PATIENCE) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        // Somebody answers, or we may not ask.
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// For whoever listens there and accepts nobody.
const PATIENCE: Duration = Duration::from_secs(2);
