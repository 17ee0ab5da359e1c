//! Where workers with `socket = true` listen: paths in a directory of ours.
//!
//! Decides on the directory, once, and on a new path in it at each start of a worker, so that what was meant for the last
//! run never reaches the next. Called by `app` at the start and by `spawn`. Never connects to a socket.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::unistd::{chown, geteuid};

use super::private::{MODE_PASSABLE, MODE_PRIVATE, NAME, clean, closed_to_others, make_locked};
use super::remover::Remover;
use crate::config::{self, Workers};
use crate::supervise::process::account::WorkerAccount;
use crate::trust;

/// The private directory of all pools' sockets; removed when the last of its clones is dropped.
///
/// It is locked (flock(2)) as long as it is ours: the lock ends with the process however that ends, so the next instance knows
/// what it may remove, and cleaners of temporary directories (tmpfiles.d(5)) leave it alone.
#[derive(Debug, Clone)]
pub struct Sockets(Arc<Directory>);

/// Where one run of a worker listens; dropping it removes whatever the worker left there.
#[derive(Debug)]
pub(in crate::supervise) struct WorkerSocket {
    path: PathBuf,
    /// Holds it and nothing else.
    folder: PathBuf,
    sockets: Sockets,
}

/// Why there is no place for a socket.
#[derive(Debug)]
pub enum SocketError {
    /// No directory will do; each with its reason.
    NoDirectory(Vec<(PathBuf, String)>),
    /// A directory that was there is gone, full, or not ours any more.
    Folder(PathBuf, io::Error),
    /// The path would be longer than the kernel takes.
    TooLong(PathBuf),
    /// The directory cannot be given to the worker's user.
    Owner(PathBuf, String, io::Error),
    /// On the way to the directory is one that the worker's user cannot enter.
    Closed(PathBuf, String),
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    mode: AtomicU32,
    lock: Mutex<File>,
    next: AtomicU64,
    remover: Remover,
}

/// What the workers of a configuration need of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Need {
    /// Bytes behind the directory's own path.
    bytes: usize,
    /// Users other than ours have to find their way through it.
    others: bool,
}

impl Sockets {
    /// Makes the directory, in the first of `$XDG_RUNTIME_DIR`, `$RUNTIME_DIRECTORY` (systemd's; else `/run/balancer` where it
    /// is there) and the temporary directory that will do, and removes what killed instances left in these. `None` if no
    /// worker of `pools` needs one.
    ///
    /// # Errors
    /// [`SocketError::NoDirectory`].
    pub fn make(pools: &[config::Pool]) -> Result<Option<Self>, SocketError> {
        let Some(need) = Need::of(pools) else { return Ok(None) };
        Self::make_in(bases(|name| std::env::var_os(name)), need).map(Some)
    }

    fn make_in(bases: Vec<PathBuf>, need: Need) -> Result<Self, SocketError> {
        clean(&bases);
        let mut reasons = Vec::new();
        for base in bases {
            match Directory::make(&base, need) {
                Ok(directory) => return Ok(Self(Arc::new(directory))),
                Err(reason) => reasons.push((base, reason)),
            }
        }
        Err(SocketError::NoDirectory(reasons))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// A new path for a start of worker `index` (from 1) of `pool`, in a folder of its own that only its user can enter.
    pub(in crate::supervise) fn choose(
        &self,
        pool: &str,
        index: usize,
        workers: &Workers,
        account: &WorkerAccount,
    ) -> Result<WorkerSocket, SocketError> {
        let directory = &*self.0;
        let number = directory.next.fetch_add(1, Ordering::Relaxed);
        let folder = directory.path.join(format!("{pool}.{index}-{number}"));
        let path = folder.join(SOCKET);
        if path.as_os_str().len() > PATH_BYTES_MAX {
            return Err(SocketError::TooLong(path));
        }
        directory.add(&folder).map_err(|error| SocketError::Folder(folder.clone(), error))?;
        // From here on dropping it removes the folder.
        let socket = WorkerSocket { path, folder, sockets: self.clone() };
        if let Some(user) = account.other_than(geteuid()) {
            let name = || workers.identity.user.clone().unwrap_or_default();
            directory.open_to_others(name)?;
            let given = chown(&socket.folder, Some(user), account.group);
            given.map_err(|error| SocketError::Owner(socket.folder.clone(), name(), error.into()))?;
        }
        Ok(socket)
    }
}

impl WorkerSocket {
    /// Its path.
    pub(in crate::supervise) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkerSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        // A worker may have put more there than its socket, and that may take its time.
        match fs::remove_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.sockets.0.remover.remove(std::mem::take(&mut self.folder));
            }
            _ => {}
        }
    }
}

impl Directory {
    /// In `base`; the error says why not.
    fn make(base: &Path, need: Need) -> Result<Self, String> {
        if base.to_str().is_none() {
            return Err("its name is not UTF-8".to_owned());
        }
        // Who may rename what is there could have its own in our place.
        trust::folder(base, geteuid()).map_err(|error| error.to_string())?;
        if let Some(closed) = closed_to_others(base).filter(|_| need.others) {
            return Err(format!("the workers' user cannot enter {}", closed.display()));
        }
        let mode = if need.others { MODE_PASSABLE } else { MODE_PRIVATE };
        for attempt in 0..ATTEMPTS {
            let mut name = format!("{NAME}{}", std::process::id());
            if attempt > 0 {
                name.push_str(&format!("-{attempt}"));
            }
            let path = base.join(name);
            let longest = path.as_os_str().len() + need.bytes;
            if longest > PATH_BYTES_MAX {
                return Err(format!(
                    "paths there would have {longest} bytes, {PATH_BYTES_MAX} are the most of a socket"
                ));
            }
            if let Some(lock) = make_locked(&path, mode).map_err(|error| error.to_string())? {
                let (lock, next) = (Mutex::new(lock), AtomicU64::new(1));
                return Ok(Self { path, mode: mode.into(), lock, next, remover: Remover::default() });
            }
        }
        Err(format!("there are too many {NAME}{}", std::process::id()))
    }

    /// A user other than ours, which no worker had when it was made, has to pass through it.
    fn open_to_others(&self, user: impl Fn() -> String) -> Result<(), SocketError> {
        if self.mode.load(Ordering::Relaxed) == MODE_PASSABLE {
            return Ok(());
        }
        if let Some(closed) = self.path.parent().and_then(closed_to_others) {
            return Err(SocketError::Closed(closed, user()));
        }
        fs::set_permissions(&self.path, Permissions::from_mode(MODE_PASSABLE))
            .map_err(|error| SocketError::Owner(self.path.clone(), user(), error))?;
        self.mode.store(MODE_PASSABLE, Ordering::Relaxed);
        Ok(())
    }

    /// Makes `folder` in it; makes it anew should somebody have removed it.
    fn add(&self, folder: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(MODE_PRIVATE).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let lock =
                    make_locked(&self.path, self.mode.load(Ordering::Relaxed))?.ok_or(io::ErrorKind::AlreadyExists)?;
                *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = lock;
                DirBuilder::new().mode(MODE_PRIVATE).create(folder)
            }
            made => made,
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        match fs::remove_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.remover.finish(std::mem::take(&mut self.path))
            }
            _ => {}
        }
    }
}

impl Need {
    fn of(pools: &[config::Pool]) -> Option<Self> {
        let with_sockets = pools.iter().filter_map(|pool| Some((pool, pool.workers.as_ref()?)));
        let needs = with_sockets.filter(|(_, workers)| workers.socket).map(|(pool, workers)| {
            let folder = format!("/{}.{}-{NUMBER_LARGE}/{SOCKET}", pool.name, workers.count);
            // An account that cannot be found is told of when a worker is started.
            let others =
                WorkerAccount::find(&workers.identity).is_ok_and(|account| account.other_than(geteuid()).is_some());
            Self { bytes: folder.len(), others }
        });
        needs.reduce(|one, other| Self { bytes: one.bytes.max(other.bytes), others: one.others || other.others })
    }
}

/// Where the directory may be made, the best place first.
fn bases(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let of_session = variable("XDG_RUNTIME_DIR").and_then(absolute);
    // More than one directory is separated by colons, systemd.exec(5).
    let first = |all: OsString| Some(all.to_str()?.split(':').next()?.into());
    let of_service = match variable("RUNTIME_DIRECTORY") {
        Some(all) => first(all).and_then(absolute),
        None => Some(PathBuf::from("/run/balancer")).filter(|path| path.is_dir()),
    };
    // The last is all there is in a container whose root is read-only.
    of_session.into_iter().chain(of_service).chain([std::env::temp_dir(), PathBuf::from("/dev/shm")]).collect()
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDirectory(reasons) => {
                f.write_str("cannot make a directory for the workers' sockets")?;
                for (at, (base, reason)) in reasons.iter().enumerate() {
                    write!(f, "{} in {}: {reason}", if at == 0 { "" } else { "," }, base.display())?;
                }
                f.write_str("; XDG_RUNTIME_DIR may name a better place")
            }
            Self::Folder(folder, error) => write!(f, "cannot make {} for its socket: {error}", folder.display()),
            Self::TooLong(path) => {
                write!(f, "{} has more than the {PATH_BYTES_MAX} bytes of a socket's path", path.display())
            }
            Self::Owner(folder, user, error) => write!(f, "cannot give {} to user {user}: {error}", folder.display()),
            Self::Closed(closed, user) => {
                write!(
                    f,
                    "user {user} cannot enter {}, on the way to its socket; a restart of the balancer may find ",
                    closed.display()
                )?;
                f.write_str("another place, XDG_RUNTIME_DIR may name one")
            }
        }
    }
}

impl std::error::Error for SocketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder(_, error) | Self::Owner(_, _, error) => Some(error),
            Self::NoDirectory(_) | Self::TooLong(_) | Self::Closed(..) => None,
        }
    }
}

/// Short, for `sun_path` is.
const SOCKET: &str = "sock";
/// `sun_path` holds 108 bytes, the last a NUL; see unix(7).
const PATH_BYTES_MAX: usize = 107;
/// Starts of workers that a path must have room for.
const NUMBER_LARGE: u64 = 9_999_999;
/// Names tried in one place; more are taken only by instances with our pid in other namespaces.
const ATTEMPTS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::place::private::lock;

    const NEED: Need = Need { bytes: 20, others: false };

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sockets-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn choose(sockets: &Sockets) -> WorkerSocket {
        sockets.choose("app", 1, &Workers::new(Vec::new()), &WorkerAccount { user: None, group: None }).unwrap()
    }

    #[test]
    fn every_start_has_a_new_path_and_nothing_is_left_of_the_last() {
        let base = scratch("paths");
        let sockets = Sockets::make_in(vec![base.clone()], NEED).unwrap();
        let (first, second) = (choose(&sockets), choose(&sockets));
        assert_ne!(first.path(), second.path());
        for private in [sockets.path(), first.path().parent().unwrap()] {
            assert_eq!(fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o700);
        }
        fs::write(first.path(), "").unwrap();
        fs::write(first.path().with_file_name("lock"), "").unwrap();
        let folder = first.path().parent().unwrap().to_owned();
        drop(first);
        // More than a socket was there: that is removed beside the work.
        let begun = std::time::Instant::now();
        while folder.exists() {
            assert!(begun.elapsed().as_secs() < 30);
            std::thread::yield_now();
        }
        // Somebody cleaned up too eagerly.
        fs::remove_dir_all(sockets.path()).unwrap();
        assert!(choose(&sockets).path().starts_with(sockets.path()));
        drop((second, sockets));
        assert_eq!(fs::read_dir(&base).unwrap().count(), 0);
        fs::remove_dir(&base).unwrap();
    }

    #[test]
    fn only_what_a_dead_instance_left_is_removed() {
        let base = scratch("clean");
        let (stale, alive) = (base.join("balancer-1"), base.join("balancer-2-1"));
        let others = ["balancer-3", "balancer-it-4", "balancer-", "balancer-5-", "other"].map(|name| base.join(name));
        for path in [&stale, &alive].into_iter().chain(&others) {
            DirBuilder::new().mode(0o700).create(path).unwrap();
            DirBuilder::new().mode(0o700).create(path.join("app.1-7")).unwrap();
        }
        fs::write(others[0].join("notes"), "").unwrap();
        let held = lock(&alive).unwrap().unwrap();
        let sockets = Sockets::make_in(vec![base.clone()], NEED).unwrap();
        assert!(!stale.exists());
        assert!(alive.exists() && others.iter().all(|path| path.exists()));
        drop(held);
        drop(sockets);
        drop(Sockets::make_in(vec![base.clone()], NEED).unwrap());
        assert!(!alive.exists());
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_place_that_will_not_do_is_passed_over_and_none_at_all_is_explained() {
        let base = scratch("bases");
        let deep = base.join("x".repeat(100));
        fs::create_dir_all(&deep).unwrap();
        let bad = vec![PathBuf::from("/proc"), deep.clone(), PathBuf::from("/nowhere")];
        let error = Sockets::make_in(bad.clone(), NEED).unwrap_err().to_string();
        for part in [" in /proc: ", " bytes, 107 are the most of a socket, in /nowhere: No such file or directory"] {
            assert!(error.contains(part), "{error}");
        }
        let good = Sockets::make_in(bad.into_iter().chain([base.clone()]).collect(), NEED).unwrap();
        assert_eq!(good.path().parent(), Some(&*base));
        drop(good);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn where_others_may_put_theirs_in_our_place_there_is_no_place_for_us() {
        let base = scratch("others");
        for (mode, will_do) in [(0o777, false), (0o775, false), (0o1777, true), (0o755, true)] {
            fs::set_permissions(&base, Permissions::from_mode(mode)).unwrap();
            let made = Sockets::make_in(vec![base.clone()], NEED);
            assert_eq!(made.is_ok(), will_do, "{mode:o}: {:?}", made.map_err(|error| error.to_string()));
        }
        fs::remove_dir(base).unwrap();
    }

    #[test]
    fn another_user_is_not_sent_through_a_closed_door() {
        let base = scratch("closed");
        fs::set_permissions(&base, Permissions::from_mode(0o700)).unwrap();
        let need = Need { others: true, ..NEED };
        let error = Sockets::make_in(vec![base.clone()], need).unwrap_err().to_string();
        assert!(error.contains(&format!("the workers' user cannot enter {}", base.display())), "{error}");
        fs::set_permissions(&base, Permissions::from_mode(0o755)).unwrap();
        let sockets = Sockets::make_in(vec![base.clone()], need).unwrap();
        assert_eq!(fs::metadata(sockets.path()).unwrap().permissions().mode() & 0o777, 0o711);
        drop(sockets);
        fs::remove_dir(base).unwrap();
    }

    #[test]
    fn a_user_that_comes_later_is_let_through_or_told_which_door_is_closed() {
        if !geteuid().is_root() {
            return;
        }
        let base = scratch("later");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let other = WorkerAccount { user: Some((nix::unistd::Uid::from_raw(65_534), None)), group: None };
        let mut workers = Workers::new(Vec::new());
        workers.identity.user = Some("nobody".into());
        for open in [true, false] {
            fs::set_permissions(&base, Permissions::from_mode(if open { 0o755 } else { 0o700 })).unwrap();
            let sockets = Sockets::make_in(vec![base.clone()], NEED).unwrap();
            let ours = choose(&sockets);
            assert_eq!(mode(sockets.path()), 0o700);
            match sockets.choose("app", 1, &workers, &other) {
                Ok(socket) => {
                    assert!(open);
                    assert_eq!([mode(sockets.path()), mode(&ours.folder), mode(&socket.folder)], [0o711, 0o700, 0o700]);
                    // Made anew, it lets that user through still.
                    drop(socket);
                    fs::remove_dir_all(sockets.path()).unwrap();
                    let _again = choose(&sockets);
                    assert_eq!(mode(sockets.path()), 0o711);
                }
                Err(error) => {
                    assert!(!open);
                    let text = format!("user nobody cannot enter {}, on the way to its socket", base.display());
                    assert!(error.to_string().starts_with(&text), "{error}");
                    assert_eq!(fs::read_dir(sockets.path()).unwrap().count(), 1, "nothing is left of it");
                }
            }
        }
        fs::remove_dir(base).unwrap();
    }

    #[test]
    fn places_are_taken_from_the_environment() {
        let of = |session: Option<&str>, service: Option<&str>| {
            let all = bases(|name| if name == "XDG_RUNTIME_DIR" { session } else { service }.map(Into::into));
            all.into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        let temporary = std::env::temp_dir().display().to_string();
        assert_eq!(of(Some("/run/user/7"), Some("/run/a:/run/b")), ["/run/user/7", "/run/a", &temporary, "/dev/shm"]);
        assert_eq!(of(Some(""), Some("")), [&*temporary, "/dev/shm"]);
    }
}
