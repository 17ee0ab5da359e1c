//! The small program between us and a worker: it makes its own process ready, then becomes the worker.
//!
//! Decides nothing; does what can only be done inside the new process (tie its life to ours, leave behind what we were started with,
//! change user, change directory) without code between fork and exec, which would need `unsafe`. Called by `main` when our own program is
//! started as `balancer __exec …`, which `spawn` does. Never returns when all goes well.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use rustix::thread::clear_ambient_capability_set;

use super::account::WorkerAccount;
use super::guard::stand_guard;
use super::inherited::{close_strays, limit_descriptors, stop_ignoring, take_passed};
use super::{GUARD_OPTION, SHIM_COMMAND};
use crate::config::Identity;

/// What the shim is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervise) struct ShimOrder {
    /// The process whose death is ours too.
    pub(in crate::supervise) parent: u32,
    /// The account to become.
    pub(in crate::supervise) identity: Identity,
    /// The soft limit of descriptors.
    pub(in crate::supervise) descriptors: Option<u64>,
    /// The directory to go to, as that account.
    pub(in crate::supervise) directory: Option<PathBuf>,
    /// What our standard input is, by the name it gets: it becomes descriptor 3 (sd_listen_fds(3)).
    pub(in crate::supervise) passed: Option<String>,
    /// Program and its arguments.
    pub(in crate::supervise) command: Vec<OsString>,
}

/// Becomes the worker. `args` are those behind [`SHIM_COMMAND`].
///
/// Comes back only when that fails: with 127 when the program is not there, else 126, as a shell does (POSIX.1-2017 XCU
/// 2.8.2), and one line on stderr that says why.
pub fn exec_shim(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter().peekable();
    if args.next_if(|first| first == GUARD_OPTION).is_some() {
        let marks = args.next().unwrap_or_default();
        return stand_guard(io::stdin().lock(), &marks.to_string_lossy());
    }
    let (code, message) = match ShimOrder::parse(args) {
        Ok(order) => order.carry_out(),
        Err(message) => (CANNOT_EXECUTE, message),
    };
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "balancer: {message}");
    ExitCode::from(code)
}

impl ShimOrder {
    /// Reads the arguments that [`Self::to_args`] writes.
    fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut order = Self {
            parent: 0,
            identity: Identity::default(),
            descriptors: None,
            directory: None,
            passed: None,
            command: Vec::new(),
        };
        while let Some(option) = args.next().filter(|option| option != "--") {
            let value = args.next().ok_or_else(|| format!("{}: value missing", option.display()))?;
            let text = || value.clone().into_string().map_err(|value| format!("{}: not UTF-8", value.display()));
            match option.to_str() {
                Some("--parent") => order.parent = text()?.parse().map_err(|_| "--parent: not a number".to_owned())?,
                Some("--descriptors") => {
                    order.descriptors = Some(text()?.parse().map_err(|_| "--descriptors: not a number".to_owned())?);
                }
                Some("--user") => order.identity.user = Some(text()?),
                Some("--group") => order.identity.group = Some(text()?),
                Some("--passed") => order.passed = Some(text()?),
                Some("--directory") => order.directory = Some(value.into()),
                _ => return Err(format!("{}: not an option of {SHIM_COMMAND}", option.display())),
            }
        }
        order.command = args.collect();
        if order.command.is_empty() { Err("command missing".to_owned()) } else { Ok(order) }
    }

    /// The arguments of our program that make it carry this out.
    pub(in crate::supervise) fn to_args(&self) -> Vec<OsString> {
        let mut args = vec![SHIM_COMMAND.into(), "--parent".into(), self.parent.to_string().into()];
        let options = [
            ("--user", self.identity.user.as_ref().map(OsString::from)),
            ("--group", self.identity.group.as_ref().map(OsString::from)),
            ("--descriptors", self.descriptors.map(|number| number.to_string().into())),
            ("--passed", self.passed.as_ref().map(OsString::from)),
            ("--directory", self.directory.as_ref().map(OsString::from)),
        ];
        for (option, value) in options {
            args.extend(value.into_iter().flat_map(|value| [option.into(), value]));
        }
        args.push("--".into());
        args.extend(self.command.iter().cloned());
        args
    }

    /// Comes back with an exit code and a message when it cannot.
    fn carry_out(&self) -> (u8, String) {
        close_strays();
        if let Some(soft) = self.descriptors {
            limit_descriptors(soft);
        }
        if let Some(error) = self.passed.as_ref().and_then(|_| take_passed().err()) {
            return (CANNOT_EXECUTE, format!("cannot take the socket that it is passed: {error}"));
        }
        let prepared = self
            .die_with_parent()
            .and_then(|()| WorkerAccount::find(&self.identity))
            .and_then(|account| account.become_it())
            // The kernel forgets it when the user changes (PR_SET_PDEATHSIG(2const)).
            .and_then(|()| self.die_with_parent())
            .and_then(|()| self.enter_directory());
        if let Err(message) = prepared {
            return (CANNOT_EXECUTE, message);
        }
        let Some((program, args)) = self.command.split_first() else {
            return (CANNOT_EXECUTE, "command missing".to_owned());
        };
        // What we were given is ours alone (capabilities(7)). A kernel without ambient capabilities passes on none.
        let _ = clear_ambient_capability_set();
        // The mask is empty since the beginning of `main`.
        stop_ignoring();
        let mut program_to_be = Command::new(program);
        if let Some(name) = &self.passed {
            // The process stays the same.
            let ours = std::process::id().to_string();
            program_to_be.envs([("LISTEN_FDS", "1"), ("LISTEN_PID", ours.as_str()), ("LISTEN_FDNAMES", name.as_str())]);
        }
        let error = program_to_be.args(args).exec();
        let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_EXECUTE };
        (code, format!("cannot execute {}: {error}", program.display()))
    }

    fn die_with_parent(&self) -> Result<(), String> {
        set_pdeathsig(Signal::SIGKILL)
            .map_err(|error| format!("cannot ask for a signal at the parent's end: {error}"))?;
        // It may have ended before we asked.
        let ours = u32::try_from(getppid().as_raw()) == Ok(self.parent);
        if ours { Ok(()) } else { Err("the process that started this worker has ended".to_owned()) }
    }

    fn enter_directory(&self) -> Result<(), String> {
        let Some(directory) = &self.directory else { return Ok(()) };
        std::env::set_current_dir(directory)
            .map_err(|error| format!("cannot change to directory {}: {error}", directory.display()))
    }
}

const NOT_FOUND: u8 = 127;
const CANNOT_EXECUTE: u8 = 126;

#[cfg(test)]
mod tests {
    use super::*;

    fn args(args: &[&str]) -> impl Iterator<Item = OsString> {
        args.iter().map(OsString::from).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let full = ShimOrder {
            parent: 12,
            identity: Identity { user: Some("www".into()), group: Some("33".into()) },
            descriptors: Some(1_024),
            directory: Some("/srv/app".into()),
            passed: Some("listener".to_owned()),
            command: args(&["/bin/sh", "--user", "--", "x"]).collect(),
        };
        let plain = ShimOrder {
            parent: 1,
            identity: Identity::default(),
            descriptors: None,
            directory: None,
            passed: None,
            command: vec!["/a".into()],
        };
        for order in [full, plain] {
            let mut written = order.to_args().into_iter();
            assert_eq!(written.next().unwrap(), SHIM_COMMAND);
            assert_eq!(ShimOrder::parse(written).unwrap(), order);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (given, message) in [
            (&[][..], "command missing"),
            (&["--"], "command missing"),
            (&["--user"], "--user: value missing"),
            (&["--parent", "x", "--", "/a"], "--parent: not a number"),
            (&["--colour", "red", "--", "/a"], "--colour: not an option of __exec"),
        ] {
            assert_eq!(ShimOrder::parse(args(given)).unwrap_err(), message);
        }
    }
}
