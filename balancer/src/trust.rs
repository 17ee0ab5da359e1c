//! Whom what is in the file system belongs to, and what is opened of it.
//!
//! Decides whether a neighbour, another account of this machine, may have laid something there. Called by whoever opens a file, a
//! folder or a Unix socket that others can get at. Never waits for the other end of a pipe, and never for longer than it says for
//! that of a socket.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{Uid, User, geteuid};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::regular;

/// Fails with a sentence, where the folder at `path` is one in which an account besides root and `own` decides what is there: it is
/// somebody else's, others may write to it, or somebody else's link leads to it. One where each may remove only what is his own (as /tmp)
/// will do.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`], or why it cannot be looked at.
pub fn folder(path: &Path, own: Uid) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.is_symlink() && !is_of(&found, own) {
        return Err(refused(format!("{} is a link that {} has made", path.display(), account(&found))));
    }
    let found = fs::metadata(path)?;
    if !found.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is no folder", path.display())));
    }
    if !is_of(&found, own) {
        return Err(refused(format!("{} belongs to {}", path.display(), account(&found))));
    }
    if found.mode() & OTHERS_WRITE != 0 && found.mode() & STICKY == 0 {
        return Err(refused(format!("others may write to {}", path.display())));
    }
    Ok(())
}

/// The accounts that may answer at the Unix socket at `path`: root, we, `also`, and where we are root the account that root has given the
/// folder to.
///
/// # Errors
/// As [`folder`], and where the socket is none, or belongs to somebody else.
pub fn socket(path: &Path, also: Option<Uid>) -> io::Result<Vec<Uid>> {
    let mut accounts: Vec<Uid> = [geteuid(), Uid::from_raw(0)].into_iter().chain(also).collect();
    let found = fs::symlink_metadata(path)?;
    if !found.file_type().is_socket() {
        let what = if found.is_symlink() { "a link" } else { "no socket" };
        return Err(refused(format!("it is {what}")));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    accounts.extend(geteuid().is_root().then(|| given_by_root(parent)).flatten());
    let owner = fs::metadata(parent)?.uid();
    let own = accounts.iter().copied().find(|account| account.as_raw() == owner).unwrap_or(geteuid());
    folder(parent, own)?;
    if !accounts.iter().any(|account| account.as_raw() == found.uid()) {
        return Err(refused(format!("it belongs to {}", account(&found))));
    }
    Ok(accounts)
}

/// Connects to the Unix socket at `path`, within `patience`. Writing and reading have that bound too. With `accounts`, whoever listens
/// there has to be one of them.
///
/// # Errors
/// Those of the system calls; [`io::ErrorKind::TimedOut`]; [`io::ErrorKind::PermissionDenied`] where it is somebody else.
pub fn connect(path: &Path, accounts: Option<&[Uid]>, patience: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // It bounds the connecting too (unix(7)): whoever accepts nobody fills its queue.
    socket.set_write_timeout(Some(patience))?;
    socket.set_read_timeout(Some(patience))?;
    socket.connect(&SockAddr::unix(path)?).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "it accepts no connection"),
        _ => error,
    })?;
    let peer = Uid::from_raw(getsockopt(&socket, sockopt::PeerCredentials)?.uid());
    match accounts {
        Some(accounts) if !accounts.contains(&peer) => Err(refused(format!("who listens there is {}", name(peer)))),
        _ => Ok(socket.into()),
    }
}

/// Opens a file to append to, or makes it with `mode` (and our umask). What is there already may be a pipe or a device; a link only if we
/// or root have made it.
///
/// # Errors
/// Those of the system call; [`io::ErrorKind::PermissionDenied`] for a link.
pub fn append(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .create(true)
        .append(true)
        .mode(mode)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY).bits());
    match options.open(path) {
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
            let link = fs::symlink_metadata(path)?;
            if link.is_symlink() && !is_of(&link, geteuid()) {
                return Err(refused(format!("it is a link that {} has made", account(&link))));
            }
            options.custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits()).open(path)
        }
        opened => opened,
    }
}

/// All of a file that is not meant to be large, and that nobody but we and root can have written: no link, and no file of another
/// account or that others may write to.
///
/// # Errors
/// Those of [`regular::read`];
/// [`io::ErrorKind::PermissionDenied`] where others could have written it.
pub fn read_own(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = regular::open(path, OFlag::O_NOFOLLOW.bits())?;
    let found = file.metadata()?;
    if !is_of(&found, geteuid()) || found.mode() & OTHERS_WRITE != 0 {
        return Err(refused(format!("it belongs to {}, or others may write to it", account(&found))));
    }
    regular::all_of(file, bytes_max)
}

/// Writes a file that we alone may read, whole or not at all: beside it first, in a file that is new, and then in its place. In a folder
/// that others may write to, nothing of theirs is written to or followed.
///
/// # Errors
/// Those of the system calls; what was there before is there still.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (mut file, beside) = new_beside(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// A file that was not there before.
fn new_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let mut tries = (1..=TRIES).map(|number| path.with_file_name(format!("{name}.new{number}")));
    loop {
        let Some(beside) = tries.next() else { return Err(io::ErrorKind::AlreadyExists.into()) };
        // What we have left there when we were killed; what is somebody else's may stay.
        let _ = fs::remove_file(&beside);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (file, beside)),
        }
    }
}

/// The account that root has given a folder to which nobody else could have put where it is.
fn given_by_root(folder: &Path) -> Option<Uid> {
    let folder: PathBuf = folder.canonicalize().ok()?;
    let parent = fs::symlink_metadata(folder.parent()?).ok()?;
    let owner = fs::symlink_metadata(&folder).ok()?.uid();
    (parent.uid() == 0 && parent.mode() & OTHERS_WRITE == 0).then(|| Uid::from_raw(owner))
}

fn is_of(found: &Metadata, own: Uid) -> bool {
    found.uid() == own.as_raw() || found.uid() == 0
}

fn account(found: &Metadata) -> String {
    name(Uid::from_raw(found.uid()))
}

/// `account www-data`.
pub fn name(uid: Uid) -> String {
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    format!("account {}", name.unwrap_or_else(|| uid.to_string()))
}

fn refused(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

/// Names tried for a new file.
const TRIES: u32 = 10;
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("balancer-trust-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn why<T: std::fmt::Debug>(result: io::Result<T>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        error.to_string()
    }

    #[test]
    fn a_socket_is_asked_only_where_no_other_account_can_have_put_it() {
        let base = scratch("socket");
        let (place, path) = (base.join("in"), base.join("in/lb.sock"));
        fs::create_dir(&place).unwrap();
        assert_eq!(socket(&path, None).unwrap_err().kind(), io::ErrorKind::NotFound);
        let _listener = UnixListener::bind(&path).unwrap();
        let accounts = socket(&path, None).unwrap();
        drop(connect(&path, Some(&accounts), Duration::from_secs(5)).unwrap());
        let nobody = [Uid::from_raw(65_534)];
        assert!(why(connect(&path, Some(&nobody), Duration::from_secs(5))).contains("who listens there is account "));
        symlink(&path, place.join("link.sock")).unwrap();
        assert_eq!(why(socket(&place.join("link.sock"), None)), "it is a link");
        fs::write(place.join("file.sock"), "").unwrap();
        assert_eq!(why(socket(&place.join("file.sock"), None)), "it is no socket");
        set_mode(&place, 0o1777);
        assert!(socket(&path, None).is_ok(), "each keeps to his own there");
        set_mode(&place, 0o775);
        assert!(why(socket(&path, None)).starts_with("others may write to "));
        set_mode(&place, 0o755);
        if geteuid().is_root() {
            lchown(&path, Some(65_534), None).unwrap();
            assert!(why(socket(&path, None)).starts_with("it belongs to account "));
            assert!(socket(&path, Some(nobody[0])).is_ok());
            symlink(&place, base.join("link")).unwrap();
            lchown(&path, Some(0), None).unwrap();
            assert!(socket(&base.join("link/lb.sock"), None).is_ok(), "root may have links");
            lchown(base.join("link"), Some(65_534), None).unwrap();
            assert!(why(socket(&base.join("link/lb.sock"), None)).contains(" is a link that account "));
            // Root has put it there for that account, unless others could have.
            lchown(&place, Some(65_534), None).unwrap();
            lchown(&path, Some(65_534), None).unwrap();
            assert!(socket(&path, None).is_ok());
            set_mode(&base, 0o1777);
            assert!(why(socket(&path, None)).contains(" belongs to account "));
        }
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn who_accepts_nobody_is_not_waited_for() {
        let base = scratch("full");
        let path = base.join("lb.sock");
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let mut held = Vec::new();
        let error = loop {
            match connect(&path, None, Duration::from_millis(50)) {
                Ok(stream) => held.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let silent = held.pop().unwrap().read(&mut [0]).unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::WouldBlock);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn files_are_opened_without_waiting_and_without_links_of_others() {
        let base = scratch("files");
        let (file, pipe, link) = (base.join("file"), base.join("pipe"), base.join("link"));
        append(&file, 0o600).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read_own(&file, 10).unwrap(), b"");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(append(&pipe, 0o600).unwrap_err().raw_os_error(), Some(nix::libc::ENXIO));
        assert_eq!(read_own(&pipe, 10).unwrap_err().to_string(), "it is a pipe or a device, not a regular file");
        assert_eq!(
            read_own(Path::new("/dev/zero"), 10).unwrap_err().to_string(),
            "it is a pipe or a device, not a regular file"
        );
        symlink(&file, &link).unwrap();
        append(&link, 0o600).unwrap();
        assert!(read_own(&link, 10).is_err());
        set_mode(&file, 0o666);
        assert!(why(read_own(&file, 10)).ends_with(", or others may write to it"));
        if geteuid().is_root() {
            lchown(&link, Some(65_534), None).unwrap();
            assert!(why(append(&link, 0o600)).starts_with("it is a link that account "));
            set_mode(&file, 0o600);
            lchown(&file, Some(65_534), None).unwrap();
            assert!(why(read_own(&file, 10)).starts_with("it belongs to account "));
        }
        let _ = fs::remove_file(&file);
        fs::write(&file, "12345678901").unwrap();
        set_mode(&file, 0o600);
        assert!(read_own(&file, 10).unwrap_err().to_string().contains("has more than"));
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn what_others_have_laid_there_is_neither_followed_nor_read() {
        let directory = std::env::temp_dir().join(format!("balancer-trust-laid-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let (path, target) = (directory.join("lb.learned.json"), directory.join("precious"));
        fs::write(&target, "precious").unwrap();
        for number in 1..=TRIES {
            std::os::unix::fs::symlink(&target, path.with_file_name(format!("lb.learned.json.new{number}"))).unwrap();
        }
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(read_own(&path, 10).unwrap_err().to_string().contains("symbolic links"));
        replace(&path, b"{}").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        // What cannot be removed, as somebody else's in a folder like /tmp, is passed over, and nothing is left beside.
        for number in [1, 2] {
            let beside = path.with_file_name(format!("lb.learned.json.new{number}"));
            let _ = fs::remove_file(&beside);
            fs::create_dir(beside).unwrap();
        }
        replace(&path, b"{}").unwrap();
        assert!(!path.with_file_name("lb.learned.json.new3").exists());
        fs::remove_dir_all(directory).unwrap();
    }
}
