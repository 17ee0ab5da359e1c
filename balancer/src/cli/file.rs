//! The configuration a command is about. Decides which file that is, and what an instance is called that serves it; called by each command
//! that reads one. Never writes one.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::say::{WRONG_CONFIGURATION, say};
use crate::config::{self, Config, LoadError};

/// The path from the root. Links are left as they are written: where they lead is looked up at each reload and by each command, for a
/// file may be changed by changing its link (a ConfigMap of Kubernetes, `current` of a deploy).
pub(super) fn whole(path: &Path) -> PathBuf {
    // What the shell calls the directory we are in, if it is that one.
    let here = std::env::var_os("PWD").map(PathBuf::from).filter(|here| here.is_absolute());
    let is_here = |here: &Path| here.canonicalize().ok().zip(std::env::current_dir().ok()).is_some_and(|(a, b)| a == b);
    match here.filter(|here| path.is_relative() && is_here(here)) {
        Some(here) => here.join(path.strip_prefix("./").unwrap_or(path)),
        None => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    }
}

/// What an instance is called that serves the file at `path`.
pub(super) fn instance_name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "lb".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// The configuration a command is about, and what to call it.
pub(super) fn load(given: Option<PathBuf>) -> Result<(Config, PathBuf), ExitCode> {
    let path = config_path(given);
    match config::load(&path) {
        Ok(config) => Ok((config, path)),
        Err(error) => {
            let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            say(&error.render(color));
            if let LoadError::Unreadable { cause, .. } = &error
                && cause.kind() == io::ErrorKind::NotFound
            {
                say("Name a file with --config FILE, or try `balancer demo`, which needs none.");
            }
            Err(ExitCode::from(WRONG_CONFIGURATION))
        }
    }
}

/// The file a command is about: the one that was given, else the usual one.
pub(super) fn config_path(given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| {
        let here = PathBuf::from("lb.toml");
        let installed = PathBuf::from("/etc/balancer/lb.toml");
        // Where there is neither, the message names the one that is easier to write.
        if !here.exists() && installed.exists() { installed } else { here }
    })
}
