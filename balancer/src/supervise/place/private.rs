//! Directories of ours that others keep out of: made, locked, told from those of dead instances.
//!
//! Decides which directory is ours to make and to remove. Called by `socket`. Never looks at what a worker puts into one.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::removal::{Bound, remove};

/// Makes a directory and locks it; nothing if another one is there, or somebody takes it for a dead instance's.
pub(super) fn make_locked(path: &Path, mode: u32) -> io::Result<Option<File>> {
    match DirBuilder::new().mode(MODE_PRIVATE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        made => made?,
    }
    let locked = || {
        // Our umask has no say in it.
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        lock(path)
    };
    match locked() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        locked => locked,
    }
}

/// Removes what dead instances left in `bases`; waits for it a moment, and goes on where there is much.
pub(super) fn clean(bases: &[PathBuf]) {
    let bases = bases.to_vec();
    let (end, ended) = std::sync::mpsc::sync_channel(1);
    let body = move || {
        bases.iter().for_each(|base| clean_one(base));
        // Nobody listens who has not waited.
        let _ = end.send(());
    };
    match std::thread::Builder::new().name("cleaner".into()).spawn(body) {
        Ok(_) => drop(ended.recv_timeout(PATIENCE)),
        Err(error) => tracing::warn!(%error, "no thread that removes what killed instances left: it stays"),
    }
}

fn clean_one(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for path in entries.flatten().filter(|entry| is_name(&entry.file_name())).map(|entry| entry.path()) {
        // The lock of a dead instance went with it.
        let Some(_lock) = Some(&path).filter(|path| is_ours(path)).and_then(|path| lock(path).ok()?) else { continue };
        match remove(&path, &mut Bound::new()) {
            Ok(()) => tracing::info!("removed {}, left by an instance that was killed", path.display()),
            Err(left) => tracing::warn!("{}, left by an instance that was killed, stays: {left}", path.display()),
        }
    }
}

/// The first directory on the way to `base`, itself included, that not everybody can pass.
pub(super) fn closed_to_others(base: &Path) -> Option<PathBuf> {
    let base = base.canonicalize().ok()?;
    let is_closed = |path: &&Path| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o001 == 0);
    base.ancestors().collect::<Vec<_>>().into_iter().rev().find(is_closed).map(Path::to_owned)
}

/// The directory, locked; nothing if somebody else has the lock, or it is not the one that was there any more.
pub(in crate::supervise) fn lock(path: &Path) -> io::Result<Option<File>> {
    // Not what a link or a pipe in its place would open.
    let flags = (OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits();
    let directory = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match directory.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    let (ours, there) = (directory.metadata()?, fs::symlink_metadata(path)?);
    Ok(Some(directory).filter(|_| (ours.dev(), ours.ino()) == (there.dev(), there.ino())))
}

/// `balancer-12` or `balancer-12-1`.
fn is_name(name: &OsString) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    name.to_str().and_then(|name| name.strip_prefix(NAME)).is_some_and(|rest| rest.splitn(2, '-').all(is_number))
}

/// Whether it looks as one that we made: our user's alone, and full of nothing but workers' folders.
fn is_ours(path: &Path) -> bool {
    let Ok(metadata) = fs::symlink_metadata(path) else { return false };
    let mode = metadata.permissions().mode() & 0o777;
    let private = metadata.is_dir() && metadata.uid() == geteuid().as_raw();
    let of_a_worker = |entry: fs::DirEntry| {
        let numbered = |name: &str| name.rsplit_once('-').is_some_and(|(_, number)| number.parse::<u64>().is_ok());
        entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.file_name().to_str().is_some_and(numbered)
    };
    private
        && matches!(mode, MODE_PRIVATE | MODE_PASSABLE)
        && fs::read_dir(path).is_ok_and(|entries| entries.flatten().all(of_a_worker))
}

/// What the name of such a directory begins with.
pub(super) const NAME: &str = "balancer-";
/// Nobody else may enter.
pub(super) const MODE_PRIVATE: u32 = 0o700;
/// Others may pass through, but not look around; each worker's folder is its user's alone.
pub(super) const MODE_PASSABLE: u32 = 0o711;
/// What a start waits for the cleaning; what dead instances leave is a few empty folders, unless a worker was hostile.
const PATIENCE: Duration = Duration::from_secs(1);
