//! Which programs a run needs and where they are.
//!
//! Decides what is missing, what to do about it, and builds our own. Called by [`crate::compare`] before anything starts.
//! Never measures.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::arguments::{OriginKind, Plan};
use crate::events::Events;
use crate::failure::Failure;
use crate::process::{Process, describe};
use crate::say;
use crate::scenario::Scenario;
use crate::target::Target;
use crate::tool::Tool;

/// Where everything is, and what the run consists of now that this is known.
pub(crate) struct Programs {
    pub(crate) ab: Option<PathBuf>,
    pub(crate) wrk: Option<PathBuf>,
    pub(crate) nginx: Option<PathBuf>,
    pub(crate) haproxy: Option<PathBuf>,
    pub(crate) strace: Option<PathBuf>,
    pub(crate) balancer: Option<PathBuf>,
    pub(crate) backend: Option<PathBuf>,
    pub(crate) origin: OriginKind,
    /// Those of the plan that have columns.
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) targets: Vec<Target>,
    /// Lines for the user: what was left out and how to get it.
    pub(crate) notes: Vec<String>,
}

impl Programs {
    /// # Errors
    /// A program is missing that the run cannot do without, or our own do not build.
    pub(crate) fn find(plan: &Plan, events: &Arc<Events>) -> Result<Programs, Failure> {
        let [ab, wrk, nginx, haproxy, strace] = ["ab", "wrk", "nginx", "haproxy", "strace"].map(find);
        let needs = |tool: fn(Tool) -> bool| plan.scenarios.iter().filter_map(|one| one.tool(plan)).any(tool);
        let no_ab = ab.is_none() && needs(|tool| matches!(tool, Tool::Ab { .. }));
        let no_wrk = wrk.is_none() && needs(|tool| matches!(tool, Tool::Wrk { .. }));
        if no_ab || no_wrk {
            return Err(missing_tools(no_ab, no_wrk));
        }
        let origin = plan.origin.unwrap_or(if nginx.is_some() { OriginKind::Nginx } else { OriginKind::Backend });
        if nginx.is_none() && origin == OriginKind::Nginx {
            return Err(Failure::missing("nginx"));
        }
        let (mut targets, mut notes) = (plan.targets.clone(), Vec::new());
        let nginxes = [Target::Nginx, Target::NginxBare];
        let haproxies = [Target::Haproxy, Target::HaproxySplice];
        for (name, found, columns) in [("nginx", &nginx, nginxes), ("haproxy", &haproxy, haproxies)] {
            if found.is_some() || !targets.iter().any(|target| columns.contains(target)) {
                continue;
            }
            if plan.targets_named {
                return Err(Failure::missing(name));
            }
            targets.retain(|target| !columns.contains(target));
            notes.push(format!("no {name} column: {}", how_to_install(name)));
        }
        let has_columns = |one: &Scenario| !one.columns(&targets).is_empty();
        let (scenarios, empty): (Vec<Scenario>, Vec<Scenario>) = plan.scenarios.iter().copied().partition(has_columns);
        for scenario in &empty {
            notes.push(format!("no table of {}: it has none of the columns asked for", scenario.name()));
        }
        if scenarios.is_empty() {
            return Err(Failure::Missing(notes.join("\n")));
        }
        let uses_balancer = targets.contains(&Target::Balancer);
        let uses_backend = scenarios.iter().any(|one| one.setting(plan, origin).origin == OriginKind::Backend);
        let mut wanted = Vec::new();
        let ours = [("balancer", uses_balancer, &plan.balancer), ("backend", uses_backend, &plan.backend)];
        for (name, used, given) in &ours {
            if *used && given.is_none() {
                wanted.push(*name);
            }
        }
        build(&wanted, events)?;
        let [balancer, backend] = ours.map(|(name, used, given)| used.then(|| own(name, given.as_deref())).transpose());
        let (balancer, backend) = (balancer?, backend?);
        Ok(Programs { ab, wrk, nginx, haproxy, strace, balancer, backend, origin, scenarios, targets, notes })
    }
}

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

/// Our own programs, in the order asked for: where their path says, else this workspace's, built when needed.
///
/// # Errors
/// One is not where it should be, or does not build.
pub(crate) fn ours<const N: usize>(
    wanted: [(&str, Option<&Path>); N],
    events: &Arc<Events>,
) -> Result<[PathBuf; N], Failure> {
    let to_build: Vec<&str> = wanted.iter().filter(|(_, given)| given.is_none()).map(|(name, _)| *name).collect();
    build(&to_build, events)?;
    let mut paths = [const { PathBuf::new() }; N];
    for (path, (name, given)) in paths.iter_mut().zip(wanted) {
        *path = own(name, given)?;
    }
    Ok(paths)
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
    let cargo = std::env::var_os("CARGO").filter(|_| std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    if names.is_empty() || (cargo.is_none() && names.iter().all(|name| own(name, None).is_ok())) {
        return Ok(());
    }
    let mut command = Command::new(cargo.unwrap_or_else(|| OsString::from("cargo")));
    command.args(["build", "--release"]).args(names.iter().flat_map(|name| ["-p", name]));
    if let Some(folder) = std::env::var_os("CARGO_MANIFEST_DIR") {
        command.current_dir(folder);
    }
    say(&format!("building {}", names.join(" and ")));
    let mut process = Process::spawn_in_view("cargo build", command, events)?;
    let ended = events.wait_any(&[process.pid()], BUILD_TIME)?;
    match (ended, process.reap()) {
        (Some(_), Some(status)) if status.success() => Ok(()),
        (Some(_), Some(status)) => {
            Err(Failure::Missing(format!("cargo build of {} failed ({})", names.join(" and "), describe(status))))
        }
        _ => Err(Failure::Missing(format!("cargo build took more than {} minutes", BUILD_TIME.as_secs() / 60))),
    }
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
