//! What a process is handed by whoever starts it though nobody asked for it: blocked and ignored signals, open descriptors, a
//! raised limit.
//!
//! Decides that a worker finds none of it. Called by `shim` in the process that becomes a worker, and by `main` for ours. Never
//! touches descriptors 0 to 2.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::close;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::stdio::dup2_stdin;
use tokio::signal::unix::{SignalKind, signal};

/// Takes every signal again that whoever started this process has blocked. For the first thread, before there are others, which
/// get its mask.
pub fn unblock_signals() {
    // It cannot fail with a whole set.
    let _ = SigSet::empty().thread_set_mask();
}

/// Closes every descriptor above the standard three. For a process that has opened none itself.
pub(super) fn close_strays() {
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<RawFd> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for stray in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // That of the directory just read is among them, and closed already.
        let _ = close(stray);
    }
}

/// Makes standard input descriptor 3, which the next program inherits, and empty. For a process that has closed its strays.
///
/// # Errors
/// Those of the system calls; and descriptor 3 is not free.
pub(super) fn take_passed() -> io::Result<()> {
    let passed = fcntl_dupfd_cloexec(io::stdin(), FIRST_PASSED)?;
    if passed.as_raw_fd() != FIRST_PASSED {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fcntl_setfd(&passed, FdFlags::empty())?;
    // It stays open for whoever comes next in this process.
    let _ = passed.into_raw_fd();
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(())
}

/// Gives ignored signals their default effect in the program that this process becomes: what is caught is reset by exec(2), what
/// is ignored is not. SIGPIPE, which the runtime of our language ignores, is put back by its `exec`.
pub(super) fn stop_ignoring() {
    let ignored: Vec<i32> = ignored().into_iter().filter(|number| *number != Signal::SIGPIPE as i32).collect();
    if ignored.is_empty() {
        return;
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let _entered = runtime.enter();
    for number in ignored {
        // It stays caught when the receiver is dropped. Some cannot be caught, and none of those can be ignored.
        let _ = signal(SignalKind::from_raw(number));
    }
}

/// Signals that this process ignores (proc_pid_status(5)).
fn ignored() -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    (1..=64).filter(|number| mask.unwrap_or_default() & (1 << (number - 1)) != 0).collect()
}

/// Lowers the soft limit of descriptors to `soft`: a program that asks how many it may have, or closes them all one by one, must
/// not meet the limit that we raised for ourselves.
pub(super) fn limit_descriptors(soft: rlim_t) {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard);
    }
}

/// SD_LISTEN_FDS_START (sd_listen_fds(3)).
const FIRST_PASSED: RawFd = 3;
