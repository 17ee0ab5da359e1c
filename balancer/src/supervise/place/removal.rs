//! Removes what workers left in a folder of ours, whatever that is.
//!
//! Decides in which order and up to which bound. Called by `socket` and `private`. Never follows a link, leaves the folder or the
//! file system it is on, or goes deeper than one level: whoever nests fifty thousand folders costs time and no stack.

use std::ffi::{CStr, CString};
use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fchmod, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;

/// How much may be removed.
#[derive(Debug)]
pub(super) struct Bound {
    names: u64,
    until: Instant,
}

/// Why something is left.
#[derive(Debug)]
pub(super) enum LeftBehind {
    /// It is more than the bound.
    More,
    /// The system has refused.
    Refused(io::Error),
}

/// Removes the folder at `path`, which is in one that others cannot write to, with all there is in it.
///
/// Folders in it that are not empty are taken apart one by one: what they hold is moved up into the first, so none is ever
/// more than one level below what is open.
///
/// # Errors
/// See [`LeftBehind`]; what could be removed is.
pub(in crate::supervise) fn remove(path: &Path, bound: &mut Bound) -> Result<(), LeftBehind> {
    match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let root = open(CWD, &c_path(path)?)?;
    let device = fstat(&root)?.st_dev;
    Removal { root: root.as_fd(), device, bound, moved: 0, full: Vec::new() }.empty()?;
    Ok(unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
}

impl Bound {
    /// That of one removal.
    pub(in crate::supervise) fn new() -> Self {
        Self { names: NAMES_MAX, until: Instant::now() + TIME_MAX }
    }

    /// One more name.
    fn spend(&mut self) -> Result<(), LeftBehind> {
        self.names = self.names.checked_sub(1).ok_or(LeftBehind::More)?;
        if self.names.is_multiple_of(LOOK_EVERY) && Instant::now() > self.until {
            return Err(LeftBehind::More);
        }
        Ok(())
    }
}

/// One removal under way.
struct Removal<'a> {
    root: BorrowedFd<'a>,
    /// That of the root: what is mounted in it is not ours.
    device: u64,
    bound: &'a mut Bound,
    /// Counts the folders that were moved up.
    moved: u64,
    /// The last of them, which are not empty.
    full: Vec<CString>,
}

impl Removal<'_> {
    /// Removes all there is in the root.
    fn empty(&mut self) -> Result<(), LeftBehind> {
        loop {
            let names = read(self.root)?;
            if names.is_empty() {
                return Ok(());
            }
            let (mut first, mut progress) = (None, false);
            for (name, kind) in names {
                let mut removed = self.remove(&name, kind);
                while let (Ok(()), Some(name)) = (&removed, self.full.pop()) {
                    removed = self.take_apart(&name);
                }
                match removed {
                    Ok(()) => progress = true,
                    Err(LeftBehind::More) => return Err(LeftBehind::More),
                    Err(left) => drop(first.get_or_insert(left)),
                }
            }
            // What cannot be removed must not be tried for ever.
            if let Some(left) = first.filter(|_| !progress) {
                return Err(left);
            }
        }
    }

    /// Removes one name of the root; what a folder of that name holds comes into the root instead.
    fn remove(&mut self, name: &CStr, kind: FileType) -> Result<(), LeftBehind> {
        self.bound.spend()?;
        if remove_one(self.root, name, kind)? { Ok(()) } else { self.take_apart(name) }
    }

    /// The same of a folder that is not empty.
    fn take_apart(&mut self, name: &CStr) -> Result<(), LeftBehind> {
        let folder = open(self.root, name)?;
        if fstat(&folder)?.st_dev != self.device {
            return Err(Errno::XDEV.into());
        }
        loop {
            for (name, kind) in read(folder.as_fd())? {
                self.bound.spend()?;
                if !remove_one(folder.as_fd(), &name, kind)? {
                    self.move_up(folder.as_fd(), &name)?;
                }
            }
            if remove_one(self.root, name, FileType::Directory)? {
                return Ok(());
            }
            self.bound.spend()?;
        }
    }

    /// Moves a folder into the root, under a name that none has there.
    fn move_up(&mut self, from: BorrowedFd<'_>, name: &CStr) -> Result<(), LeftBehind> {
        let mut opened = false;
        loop {
            self.bound.spend()?;
            self.moved += 1;
            // As folders of workers are called: what is left of it is ours to the next start too.
            let new = format!("{LEFT}-{}", self.moved);
            match renameat(from, name, self.root, &*new) {
                Ok(()) => {
                    if self.full.len() < BATCH {
                        self.full.extend(CString::new(new));
                    }
                    return Ok(());
                }
                // There is one of that name, which will have its turn.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                // Its own mode keeps it where it is.
                Err(Errno::ACCESS) if !opened => {
                    open(from, name)?;
                    opened = true;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Removes a file, or a folder that is empty; `false` if it is one that is not.
fn remove_one(at: BorrowedFd<'_>, name: &CStr, kind: FileType) -> Result<bool, Errno> {
    if kind != FileType::Directory {
        match unlinkat(at, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(true),
            // It is one after all.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    match unlinkat(at, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens a folder, not what a link points to, and makes sure that its mode does not keep us out.
fn open(at: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match openat(at, name, OFlags::RDONLY | flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let found = openat(at, name, OFlags::PATH | flags, Mode::empty())?;
            // The one that is open, whatever has that name now (open(2), O_PATH).
            let itself = format!("/proc/self/fd/{}", found.as_raw_fd());
            std::fs::set_permissions(itself, Permissions::from_mode(0o700))?;
            openat(at, name, OFlags::RDONLY | flags, Mode::empty())?
        }
        opened => opened?,
    };
    if fstat(&folder)?.st_mode & 0o700 != 0o700 {
        // Where it is needed and not ours to change, what comes next fails.
        let _ = fchmod(&folder, Mode::from_raw_mode(0o700));
    }
    Ok(folder)
}

/// Some of the names in a folder, from its beginning.
fn read(folder: BorrowedFd<'_>) -> io::Result<Vec<(CString, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
        if names.len() == BATCH {
            break;
        }
    }
    Ok(names)
}

fn c_path(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

impl From<io::Error> for LeftBehind {
    fn from(error: io::Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Errno> for LeftBehind {
    fn from(error: Errno) -> Self {
        Self::Refused(error.into())
    }
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::More => write!(f, "it is more than can be removed in {} s", TIME_MAX.as_secs()),
            Self::Refused(error) => write!(f, "it cannot be removed: {error}"),
        }
    }
}

/// What folders are called that were moved up.
const LEFT: &str = "left";
/// Names that one removal looks at: a minute's worth in memory.
const NAMES_MAX: u64 = 5_000_000;
/// Of a thread that nobody waits for; a busy disk takes so long for some hundred thousand folders.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Names between two looks at the clock.
const LOOK_EVERY: u64 = 64;
/// Names read at once: memory is bounded, however many there are.
const BATCH: usize = 512;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use rustix::fs::mkdirat;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("balancer-removal-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn nest(folder: &Path, depth: usize) {
        let mut at = openat(CWD, folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..depth {
            mkdirat(&at, "d", Mode::from_raw_mode(0o700)).unwrap();
            at = openat(&at, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
    }

    #[test]
    fn fifty_thousand_nested_folders_are_removed_on_a_small_stack() {
        // In memory where that can be: a disk may take milliseconds for each.
        let shm = PathBuf::from("/dev/shm");
        let base =
            if shm.is_dir() { shm.join(format!("balancer-nested-{}", std::process::id())) } else { scratch("nested") };
        fs::create_dir_all(&base).unwrap();
        let folder = base.join("app.1-1");
        fs::create_dir(&folder).unwrap();
        nest(&folder, 50_000);
        let removed = folder.clone();
        let thread = std::thread::Builder::new().stack_size(64 << 10);
        thread.spawn(move || remove(&removed, &mut Bound::new())).unwrap().join().unwrap().unwrap();
        assert!(!folder.exists());
        fs::remove_dir(base).unwrap();
    }

    #[test]
    fn nothing_outside_is_touched_and_no_mode_keeps_anything() {
        let base = scratch("links");
        let (folder, outside) = (base.join("app.1-1"), base.join("outside"));
        for path in [&outside, &folder.join("closed/inner/more"), &folder.join("left-1/full"), &folder.join("a/b/c")] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(outside.join("kept"), "").unwrap();
        fs::write(folder.join("left-2"), "").unwrap();
        fs::write(folder.join("a/b/c/file"), "").unwrap();
        symlink(&outside, folder.join("link")).unwrap();
        symlink("../../../outside", folder.join("a/b/link")).unwrap();
        symlink("/", folder.join("a/left-3")).unwrap();
        for (path, mode) in [("closed/inner", 0o500), ("closed", 0o000), ("a/b", 0o000)] {
            fs::set_permissions(folder.join(path), Permissions::from_mode(mode)).unwrap();
        }
        remove(&folder, &mut Bound::new()).unwrap();
        assert!(!folder.exists() && outside.join("kept").exists());
        // A link in the folder's own place is none.
        symlink(&outside, &folder).unwrap();
        assert!(remove(&folder, &mut Bound::new()).is_err());
        assert!(outside.join("kept").exists());
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn what_is_over_the_bound_is_left_and_another_call_goes_on() {
        let base = scratch("bound");
        let folder = base.join("app.1-1");
        fs::create_dir(&folder).unwrap();
        nest(&folder, 1_000);
        let mut calls = 0;
        while folder.exists() {
            calls += 1;
            let mut bound = Bound { names: 500, ..Bound::new() };
            let ended = remove(&folder, &mut bound);
            assert!(matches!(ended, Ok(()) | Err(LeftBehind::More)), "{ended:?}");
            assert!(calls < 100);
        }
        assert!(calls > 1);
        let mut late = Bound { until: Instant::now() - Duration::from_secs(1), ..Bound::new() };
        fs::create_dir(&folder).unwrap();
        nest(&folder, 200);
        assert!(matches!(remove(&folder, &mut late), Err(LeftBehind::More)));
        remove(&folder, &mut Bound::new()).unwrap();
        fs::remove_dir(base).unwrap();
    }
}
