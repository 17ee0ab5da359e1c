//! Where programs are.
//!
//! Decides what to do about one that is missing, and builds our own. Called by [`crate::lab`] before anything starts. Never
//! measures.

use std::path::{Path, PathBuf};
use std::{collections::BTreeMap, ffi::OsString, process::Command, sync::Arc, time::Duration};

use crate::process::{Process, describe};
use crate::{events::Events, failure::Failure, say};

/// Debian's package, in the words one types.
pub(crate) fn how_to_install(program: &str) -> String {
    let package = match program {
        "ab" => "apache2-utils",
        "nginx" => "nginx-light",
        other => other,
    };
    format!("apt-get install {package}")
}

/// The program that runs: it is a generator too.
pub(crate) fn ourselves() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|e| Failure::system("find our own executable", e))
}

/// Our own programs: where their path says, else this workspace's, built when needed.
pub(crate) fn ours(
    wanted: &[(&'static str, Option<&Path>)],
    events: &Arc<Events>,
) -> Result<BTreeMap<&'static str, PathBuf>, Failure> {
    let to_build: Vec<&str> = wanted.iter().filter(|(_, given)| given.is_none()).map(|(name, _)| *name).collect();
    build(&to_build, events)?;
    wanted.iter().map(|(name, given)| Ok((*name, own(name, *given)?))).collect()
}

/// The first executable of this name on `PATH`, or where Debian keeps servers, which users' `PATH` leaves out.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| is_executable(path))
}

pub(crate) fn missing_tools(ab: bool, wrk: bool) -> Failure {
    let names = [(ab, "ab"), (wrk, "wrk")].into_iter().filter_map(|(missing, name)| missing.then_some(name));
    let names = names.collect::<Vec<_>>().join(" and ");
    Failure::Missing(format!("missing: {names}. Install with: apt-get install apache2-utils wrk"))
}

/// Brings our own programs up to date. Under `cargo run` always, for cargo alone knows whether they are what the source
/// says, and a figure of an older build would mislead; else only when one is not there.
fn build(names: &[&str], events: &Arc<Events>) -> Result<(), Failure> {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let by_cargo = std::env::var_os("CARGO").is_some() && folder.is_some();
    if names.is_empty() || (!by_cargo && names.iter().all(|name| own(name, None).is_ok())) {
        return Ok(());
    }
    cargo_build(names, folder.as_deref().unwrap_or(Path::new(".")), None, events)
}

/// Builds `names` of the workspace in `source` for release, into its own target folder or this one.
pub(crate) fn cargo_build(
    names: &[&str],
    source: &Path,
    target: Option<&Path>,
    events: &Arc<Events>,
) -> Result<(), Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["build", "--release"]).args(names.iter().flat_map(|name| ["-p", name])).current_dir(source);
    command.args(target.iter().flat_map(|target| ["--target-dir".as_ref(), target.as_os_str()]));
    let what = format!("{} of {}", names.join(" and "), source.display());
    say(&format!("building {what}"));
    let mut process = Process::spawn_in_view("cargo build", command, events)?;
    let ended = events.wait_any(&[process.pid()], BUILD_TIME)?;
    let how = match (ended, process.reap()) {
        (Some(_), Some(status)) if status.success() => return Ok(()),
        (Some(_), Some(status)) => format!("cargo build failed ({})", describe(status)),
        _ => format!("it took more than {} minutes", BUILD_TIME.as_secs() / 60),
    };
    Err(Failure::Missing(format!("cannot build {what}: {how}")))
}

/// The path given, or the program beside our own, or in the release folder when we are a debug build.
fn own(name: &str, given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = given {
        let none = || Failure::Missing(format!("--{name} {}: no executable file there", path.display()));
        return if is_executable(path) { Ok(path.to_owned()) } else { Err(none()) };
    }
    let ourselves = ourselves()?;
    let folder = ourselves.parent().unwrap_or(Path::new("/"));
    let folder = if folder.ends_with("debug") { folder.with_file_name("release") } else { folder.to_owned() };
    let path = folder.join(name);
    let none = || {
        Failure::Missing(format!(
            "no {name} at {}: build it with `cargo build --release -p {name}` or say where it is with --{name} PATH",
            path.display()
        ))
    };
    if is_executable(&path) { Ok(path) } else { Err(none()) }
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

/// A build from nothing with whole-program optimisation, on a small machine.
const BUILD_TIME: Duration = Duration::from_secs(30 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_tools_are_named_with_what_installs_them() {
        let text = missing_tools(true, true).to_string();
        assert_eq!(text, "missing: ab and wrk. Install with: apt-get install apache2-utils wrk");
        assert!(missing_tools(false, true).to_string().starts_with("missing: wrk. "));
    }

    #[test]
    fn a_missing_peer_is_named_with_its_package() {
        assert_eq!(Failure::missing("nginx").to_string(), "nginx is missing: apt-get install nginx-light");
        assert_eq!(Failure::missing("haproxy").to_string(), "haproxy is missing: apt-get install haproxy");
    }

    #[test]
    fn a_given_path_must_be_an_executable() {
        assert_eq!(own("balancer", Some("/bin/sh".as_ref())).unwrap(), PathBuf::from("/bin/sh"));
        let text = own("balancer", Some("/etc/passwd".as_ref())).unwrap_err().to_string();
        assert_eq!(text, "--balancer /etc/passwd: no executable file there");
    }

    #[test]
    fn programs_are_found_by_name() {
        assert!(find("sh").is_some_and(|path| path.ends_with("sh")));
        assert_eq!(find("no-such-program-anywhere"), None);
    }
}
