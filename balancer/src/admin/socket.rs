//! The Unix socket: where it is, that it is ours alone, and that a dead instance's does not stand in the way.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Uid, geteuid};
use socket2::{Domain, SockAddr, Socket, Type};

use super::Account;
use crate::net::SocketFile;
use crate::trust;

/// The file of an admin socket, and its directory where that is there because of us; both are removed when it is dropped.
#[derive(Debug)]
pub(super) struct AdminSocketFile {
    /// Declared before the directory, so that it is gone when that is to be removed.
    file: SocketFile,
    directory: Option<MadeDirectory>,
}

/// A directory that we have made; dropping it removes it, unless something is in it.
#[derive(Debug)]
struct MadeDirectory(PathBuf);

impl Drop for MadeDirectory {
    fn drop(&mut self) {
        // Fails where another instance has its socket there.
        let _ = fs::remove_dir(&self.0);
    }
}

/// The usual places for the socket of an instance called `name` that runs as `uid`, the best first.
pub fn candidates(name: &str, uid: Uid) -> Vec<PathBuf> {
    let file = format!("{name}.sock");
    directories(uid).into_iter().map(|directory| directory.join(&file)).collect()
}

/// What the socket of the instance that serves the file at `path` is called: two files of one name in two folders are two.
pub fn name_of(path: &Path) -> String {
    let stem: String = path.file_stem().unwrap_or_default().to_string_lossy().chars().take(STEM_MAX).collect();
    format!("{stem}-{:08x}", xxhash_rust::xxh3::xxh3_64(path.as_os_str().as_bytes()) as u32)
}

/// Every socket in the usual places of this account, whoever listens there.
pub fn all() -> Vec<PathBuf> {
    let own = geteuid();
    let mut directories = directories(own);
    // Where an instance is that was started from a session, when we were not (sudo, cron).
    let of_session = PathBuf::from(format!("/run/user/{own}/balancer"));
    if !directories.contains(&of_session) {
        directories.push(of_session);
    }
    // In one of somebody else's, what answers may be anybody.
    directories.retain(|directory| trust::folder(directory, own).is_ok());
    let entries = directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
    let mut sockets: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    sockets.retain(|path| path.extension().is_some_and(|extension| extension == "sock"));
    sockets.sort();
    sockets
}

fn directories(uid: Uid) -> Vec<PathBuf> {
    // It is of whoever calls us.
    let of_user = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| uid == geteuid());
    let of_user = of_user.map(PathBuf::from).filter(|path| path.is_absolute());
    let usual = of_user.into_iter().chain([PathBuf::from("/run")]).map(|base| base.join("balancer"));
    // A container whose root is read-only has nothing but the last that can be written to.
    let last = [std::env::temp_dir(), PathBuf::from("/dev/shm")].map(|base| base.join(format!("balancer-admin-{uid}")));
    usual.chain(last).collect()
}

/// Opens the socket at `path`, which will belong to `account` where root is to become one; its directory is made if its
/// parent is there.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`] when an instance answers there; else why it cannot be.
pub(super) fn open(path: &Path, account: Option<&Account>) -> io::Result<(UnixListener, AdminSocketFile)> {
    let Some(account) = account else { return open_as(geteuid(), path, None) };
    match account.acting(|| open_as(account.uid, path, None)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        opened => return opened,
    }
    // Where the account may not, root does it: there the account cannot have laid a trap for root either.
    open_as(geteuid(), path, Some(account))
}

fn open_as(own: Uid, path: &Path, heir: Option<&Account>) -> io::Result<(UnixListener, AdminSocketFile)> {
    let made_directory = path.parent().map_or(Ok(false), |directory| make_private(directory, own))?;
    if let (true, Some(heir), Some(directory)) = (made_directory, heir, path.parent()) {
        heir.give(directory)?;
        let (listener, mut file) = heir.acting(|| open_as(heir.uid, path, None))?;
        file.directory = Some(MadeDirectory(directory.to_owned()));
        return Ok((listener, file));
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is not a socket is there"));
        }
        Ok(found) if found.uid() != own.as_raw() && found.uid() != 0 => {
            let text = format!("{} has a socket there", trust::name(Uid::from_raw(found.uid())));
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        // One that accepts nobody for so long is there all the same.
        Ok(_) if !is_dead(trust::connect(path, None, PATIENCE)) => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "a running instance answers there"));
        }
        _ => {}
    }
    // Under another name until somebody answers there; then it takes the place, also that of a dead instance's.
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let _ = fs::remove_file(&beside);
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    listener.bind(&SockAddr::unix(&beside)?)?;
    let placed = || {
        // Until it listens, nobody can connect: the umask decides nothing.
        fs::set_permissions(&beside, Permissions::from_mode(0o600))?;
        heir.map_or(Ok(()), |heir| heir.give(&beside))?;
        listener.set_nonblocking(true)?;
        listener.listen(BACKLOG)?;
        SocketFile::at(&beside)?.moved_to(path)
    };
    match placed() {
        Ok(file) => {
            let directory = path.parent().filter(|_| made_directory).map(|made| MadeDirectory(made.to_owned()));
            Ok((listener.into(), AdminSocketFile { file, directory }))
        }
        Err(error) => {
            let _ = fs::remove_file(&beside);
            Err(error)
        }
    }
}

/// A directory that nobody but `own` and root can write to; whether it is new.
fn make_private(directory: &Path, own: Uid) -> io::Result<bool> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map(|()| true),
    }
    trust::folder(directory, own).map(|()| false)
}

fn is_dead(connected: io::Result<UnixStream>) -> bool {
    connected.is_err_and(|error| error.kind() != io::ErrorKind::TimedOut)
}

/// For one that listens and accepts nobody.
const PATIENCE: Duration = Duration::from_secs(2);

/// Of a file's name in its socket's: the path of a socket has 107 bytes (unix(7)).
const STEM_MAX: usize = 40;

impl AdminSocketFile {
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Whether the file is there still, and the one we have made.
    pub(super) fn is_there(&self) -> bool {
        self.file.is_there()
    }
}

/// As the standard library has it.
const BACKLOG: i32 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_instances_socket_is_replaced_and_a_live_one_stays() {
        let directory = std::env::temp_dir().join(format!("balancer-admin-socket-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("new").join("lb.sock");
        let (listener, file) = open(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(open(&path, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // As after a kill -9: the file stays, nobody listens.
        drop(listener);
        std::mem::forget(file);
        let (_second, file) = open(&path, None).unwrap();
        // Somebody else's in the same place is not removed.
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
        drop(other);
        fs::write(directory.join("text"), "").unwrap();
        assert_eq!(open(&directory.join("text"), None).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o777)).unwrap();
        assert_eq!(open(&path, None).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        fs::remove_dir_all(&directory).unwrap();
    }
}
