//! `balancer --config FILE`: serve until told to stop.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::unistd::geteuid;

use super::file::{instance_name, load, whole};
use super::log;
use super::say::{WRONG_ARGUMENTS, fail, say};
use super::target::running;
use crate::admin::Account;
use crate::app::{self, Failure, Origin};
use crate::config::{Config, ListenAddress};
use crate::listen::Passed;
use crate::observe::{LogFile, Writer};
use crate::trust;

pub(super) fn run(file: Option<PathBuf>, passed: Passed, log_level: &str) -> ExitCode {
    match load(file) {
        Ok((config, path)) => {
            let shown = path.display().to_string();
            // Whatever becomes of the directory we are in, the file stays the same.
            let path = whole(&path);
            serve(&config, &Origin { name: instance_name(&path), shown, path: Some(path) }, passed, log_level)
        }
        Err(code) => code,
    }
}

/// Serves a configuration, whoever made it.
pub(super) fn serve(config: &Config, origin: &Origin, passed: Passed, log_level: &str) -> ExitCode {
    let file = match config.access_log.file().map(|path| (path, open_log(path, config))) {
        None => None,
        Some((_, Ok(file))) => Some(file),
        Some((path, Err(error))) => {
            return fail(&format!("balancer: cannot open the access log {}: {error}", path.display()));
        }
    };
    let is_unread = file.as_ref().is_some_and(LogFile::is_unread);
    let writer = match Writer::start(file) {
        Ok(writer) => writer,
        Err(error) => return fail(&format!("balancer: cannot write: {error}")),
    };
    if let Err(text) = log::start(log_level, &writer) {
        say(&format!("balancer: {text}"));
        return ExitCode::from(WRONG_ARGUMENTS);
    }
    if let Some(path) = config.access_log.file().filter(|_| is_unread) {
        tracing::warn!("the access log {} is a pipe without a reader: lines are lost until it has one", path.display());
    }
    let outcome = app::run(config, origin, passed, &writer);
    if let Err(failure) = &outcome {
        tracing::error!("{failure}");
    }
    writer.finish();
    if let Some(hint) = outcome.as_ref().err().filter(|_| origin.path.is_none()).and_then(another_place) {
        say(&hint);
    }
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What to type where an address without a file is taken.
fn another_place(failure: &Failure) -> Option<String> {
    let Failure::Listen(address, error, holder) = failure else { return None };
    let ListenAddress::Tcp(address) = address.place() else { return None };
    if error.kind() != io::ErrorKind::AddrInUse {
        return None;
    }
    let other = format!("`--listen {}` takes another port", address.port().checked_add(1).unwrap_or(8080));
    let holder = holder.as_ref().and_then(|(pid, _)| running().into_iter().find(|one| one.is.pid == u64::from(*pid)));
    Some(match holder {
        Some(one) => format!("`balancer stop --name {}` ends it, {other}", one.is.name),
        None => other,
    })
}

/// Opens the access log as the account that root is about to become: what that may not write to, it cannot have us write to by a link.
/// In a folder that is root's alone, it is root who makes the file.
fn open_log(path: &Path, config: &Config) -> io::Result<LogFile> {
    let Some(account) = Account::of(&config.identity) else { return LogFile::open(path) };
    let is_roots = || path.parent().is_some_and(|folder| trust::folder(folder, geteuid()).is_ok());
    match account.acting(|| LogFile::open(path)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_roots() => LogFile::open(path),
        opened => opened,
    }
}
