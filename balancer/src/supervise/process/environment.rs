//! What a worker finds in its environment and in its arguments.
//!
//! Decides on variables and fills in templates. Called by `spawn` at every start, so that a changed `env_file` counts from
//! the next start on. Never changes our own environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Address, Workers, env_file};

/// What tells one worker from its fellows.
#[derive(Debug, Clone, Copy)]
pub(in crate::supervise) struct WorkerPlace<'a> {
    /// Name of its pool.
    pub(in crate::supervise) pool: &'a str,
    /// Its index, from 1.
    pub(in crate::supervise) index: usize,
    /// Where it has to listen.
    pub(in crate::supervise) address: &'a Address,
}

/// A mistake in the `env_file`.
#[derive(Debug)]
pub(in crate::supervise) enum EnvFileError {
    /// It cannot be read.
    Unreadable(PathBuf, io::Error),
    /// It is not of the form that [`env_file::parse`] reads.
    Mistake(PathBuf, env_file::EnvFileMistake),
}

/// `argument` with `{port}` or `{socket}`, `{index}` and `{pool}` filled in; other braces stay as they are.
pub(in crate::supervise) fn fill_in(argument: &str, place: WorkerPlace<'_>) -> String {
    let argument = match place.address {
        Address::Tcp { port, .. } => argument.replace("{port}", &port.to_string()),
        Address::Unix(path) => argument.replace("{socket}", &path.display().to_string()),
    };
    argument.replace("{index}", &place.index.to_string()).replace("{pool}", place.pool)
}

/// All variables of a worker.
///
/// What a later one sets wins: ours (`inherited`, with `env_clear` only a small safe set of it) without what is meant for us
/// alone; `account`, the variables of the user it runs as; the `env_file`; `PORT`, `HOST`, `INSTANCE_ID`; `env`. With a
/// Unix socket it is `SOCKET` instead of `PORT` and `HOST`, which then are not passed on either: a program that finds a port
/// listens on it.
pub(in crate::supervise) fn variables(
    workers: &Workers,
    place: WorkerPlace<'_>,
    inherited: impl Iterator<Item = (OsString, OsString)>,
    account: Vec<(&str, OsString)>,
) -> Result<BTreeMap<OsString, OsString>, EnvFileError> {
    let passed_on = |name: &OsStr| if workers.env_clear { is_safe(name) } else { !is_ours_alone(name) };
    let mut variables: BTreeMap<_, _> = inherited.filter(|(name, _)| passed_on(name)).collect();
    variables.extend(account.into_iter().map(|(name, value)| (name.into(), value)));
    if let Some(file) = &workers.env_file {
        let text = env_file::read(file).map_err(|error| EnvFileError::Unreadable(file.clone(), error))?;
        let read = env_file::parse(&text).map_err(|mistake| EnvFileError::Mistake(file.clone(), mistake))?;
        variables.extend(read.into_iter().map(|(name, value)| (name.into(), value.into_owned().into())));
    }
    match place.address {
        Address::Tcp { host, port } => {
            variables.insert("PORT".into(), port.to_string().into());
            variables.insert("HOST".into(), host.to_string().into());
        }
        Address::Unix(path) => {
            variables.retain(|name, _| name != "PORT" && name != "HOST");
            variables.insert("SOCKET".into(), path.into());
        }
    }
    variables.insert("INSTANCE_ID".into(), place.index.to_string().into());
    variables.extend(workers.env.iter().map(|(name, value)| (name.into(), value.into())));
    // Python holds back what it prints into a pipe: a line that shows readiness would come late, last words never.
    variables.entry("PYTHONUNBUFFERED".into()).or_insert_with(|| "1".into());
    Ok(variables)
}

fn is_safe(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| SAFE.contains(&name) || name.starts_with("LC_"))
}

fn is_ours_alone(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| OURS_ALONE.contains(&name))
}

impl fmt::Display for EnvFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |file: &Path| file.display().to_string();
        match self {
            Self::Unreadable(file, error) => write!(f, "env_file {} cannot be read: {error}", name(file)),
            Self::Mistake(file, mistake) => write!(f, "env_file {}, {mistake}", name(file)),
        }
    }
}

impl std::error::Error for EnvFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(_, error) => Some(error),
            Self::Mistake(_, mistake) => Some(mistake),
        }
    }
}

const SAFE: [&str; 8] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "TERM"];

/// What a service manager tells us (sd_notify(3), sd_listen_fds(3)): a worker that took it for its own would report itself
/// ready in our name.
const OURS_ALONE: [&str; 7] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES"];

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config;

    pub(in crate::supervise) fn workers() -> Workers {
        let second = Duration::from_secs(1);
        Workers {
            ready_timeout: second,
            stop_timeout: second,
            backoff: config::Backoff { min: second, max: second },
            ..Workers::new(vec!["true".into()])
        }
    }

    fn place() -> WorkerPlace<'static> {
        let host = config::Host::Ip([127, 0, 0, 1].into());
        let address = Box::leak(Box::new(Address::Tcp { host, port: 8001 }));
        WorkerPlace { pool: "app", index: 2, address }
    }

    fn inherited() -> impl Iterator<Item = (OsString, OsString)> {
        [("PATH", "/bin"), ("LC_ALL", "C"), ("SECRET", "x"), ("NOTIFY_SOCKET", "/run/n"), ("HOME", "/root")]
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
    }

    fn lines(variables: BTreeMap<OsString, OsString>) -> Vec<String> {
        variables.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect()
    }

    #[test]
    fn templates_are_filled_in_wherever_they_stand() {
        assert_eq!(fill_in("--bind=h:{port}/{pool}.{index}-{port}", place()), "--bind=h:8001/app.2-8001");
        assert_eq!(fill_in("{ports} {} {{index}", place()), "{ports} {} {2");
    }

    #[test]
    fn a_worker_with_a_socket_is_told_its_path_and_no_port() {
        let address = Address::Unix("/run/s".into());
        let place = WorkerPlace { address: &address, ..place() };
        assert_eq!(fill_in("--bind=unix:{socket}.{index} {port}", place), "--bind=unix:/run/s.2 {port}");
        let mut workers = workers();
        workers.env.insert("HOST".into(), "example.com".into());
        let inherited = ["PORT", "HOST", "SOCKET"].map(|name| (name.into(), "ours".into()));
        let variables = variables(&workers, place, inherited.into_iter(), Vec::new()).unwrap();
        assert_eq!(lines(variables), ["HOST=example.com", "INSTANCE_ID=2", "PYTHONUNBUFFERED=1", "SOCKET=/run/s"]);
    }

    #[test]
    fn ours_is_passed_on_without_what_is_meant_for_us_alone() {
        let variables = variables(&workers(), place(), inherited(), Vec::new()).unwrap();
        let expected = [
            "HOME=/root",
            "HOST=127.0.0.1",
            "INSTANCE_ID=2",
            "LC_ALL=C",
            "PATH=/bin",
            "PORT=8001",
            "PYTHONUNBUFFERED=1",
            "SECRET=x",
        ];
        assert_eq!(lines(variables), expected);
    }

    #[test]
    fn a_cleared_environment_has_the_safe_set_and_what_the_file_says() {
        let mut workers = workers();
        workers.env_clear = true;
        workers.env.insert("HOST".into(), "0.0.0.0".into());
        workers.env.insert("PYTHONUNBUFFERED".into(), String::new());
        let account = vec![("HOME", "/home/www".into())];
        let variables = variables(&workers, place(), inherited(), account).unwrap();
        let expected = [
            "HOME=/home/www",
            "HOST=0.0.0.0",
            "INSTANCE_ID=2",
            "LC_ALL=C",
            "PATH=/bin",
            "PORT=8001",
            "PYTHONUNBUFFERED=",
        ];
        assert_eq!(lines(variables), expected);
    }

    #[test]
    fn a_missing_env_file_is_named() {
        let mut workers = workers();
        workers.env_file = Some("/nowhere/env".into());
        let error = variables(&workers, place(), inherited(), Vec::new()).unwrap_err();
        assert!(error.to_string().starts_with("env_file /nowhere/env cannot be read: "), "{error}");
    }
}
