//! Both builds.
//!
//! Decides where they go and that they are made alike. Called by [`super::guard`]. Never builds into the user's own target
//! folder, where the program that is running lies.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::events::Events;
use crate::failure::Failure;
use crate::process::{Process, describe};
use crate::say;

/// Builds `names` of the workspace in `source` for release, below `target`; where the programs are, in the order asked for.
///
/// # Errors
/// cargo is missing, fails, or takes more than half an hour.
pub(super) fn build(
    source: &Path,
    target: &Path,
    names: &[&str],
    events: &Arc<Events>,
) -> Result<Vec<PathBuf>, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--target-dir"]).arg(target).current_dir(source);
    command.args(names.iter().flat_map(|name| ["-p", name]));
    say(&format!("building {} of {}", names.join(" and "), source.display()));
    let failed =
        |how: String| Failure::Missing(format!("cannot build {} of {}: {how}", names.join(" and "), source.display()));
    let mut process = Process::spawn_in_view("cargo build", command, events)?;
    let ended = events.wait_any(&[process.pid()], BUILD_TIME)?;
    match (ended, process.reap()) {
        (Some(_), Some(status)) if status.success() => {}
        (Some(_), Some(status)) => return Err(failed(format!("cargo build failed ({})", describe(status)))),
        _ => return Err(failed(format!("it took more than {} minutes", BUILD_TIME.as_secs() / 60))),
    }
    Ok(names.iter().map(|name| target.join("release").join(name)).collect())
}

/// A build from nothing with whole-program optimisation, on a small machine.
const BUILD_TIME: Duration = Duration::from_secs(30 * 60);
