//! Which instance a command is for. Decides where it is looked for, and that nobody is taken for another; called by every command
//! that asks one; never asks it to do anything.

use std::cell::LazyCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::unistd::{Uid, geteuid};

use super::file::{config_path, whole};
use super::say::{WRONG_ARGUMENTS, WRONG_CONFIGURATION, say};
use crate::admin::client::introduced;
use crate::admin::{Account, Introduction, all_sockets, candidates, name_of};
use crate::config;

/// Which instance.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// The instance's admin socket [default: the one its configuration names, else the usual place]
    #[arg(long, value_name = "PATH", env = "BALANCER_SOCKET")]
    pub(super) socket: Option<PathBuf>,

    /// The instance's configuration [default: as without a command]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The instance's name, as `balancer list` shows it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["config", "socket"])]
    name: Option<String>,

    #[arg(skip)]
    quiet: bool,
}

/// Where an instance is.
#[derive(Debug)]
pub(super) struct InstancePlace {
    /// The first where it answers.
    pub(super) sockets: Vec<PathBuf>,
    /// What it must serve.
    pub(super) file: Option<PathBuf>,
    /// Whom it may belong to besides us and root.
    pub(super) account: Option<Uid>,
}

/// An instance that runs, and its socket.
#[derive(Debug)]
pub(super) struct RunningInstance {
    pub(super) socket: PathBuf,
    pub(super) is: Introduction,
}

impl Target {
    /// With what was given in front of the command.
    pub(super) fn or(self, config: Option<PathBuf>) -> Self {
        let config = self.config.or(config).filter(|_| self.name.is_none());
        Self { config, ..self }
    }

    /// Says nothing of why it cannot be asked, where `quiet`.
    pub(super) fn quiet(self, quiet: bool) -> Self {
        Self { quiet, ..self }
    }

    /// The configuration that was named.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.config.clone()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Where it is. An order wants to be sure; who only looks is content with the only one that runs.
    ///
    /// # Errors
    /// The exit code, once it is said why there is none, or that there are several.
    pub(super) fn place(&self, is_order: bool) -> Result<InstancePlace, ExitCode> {
        if let Some(socket) = &self.socket {
            return Ok(InstancePlace { sockets: vec![socket.clone()], file: None, account: None });
        }
        // Each is asked once, and only where that decides.
        let all = LazyCell::new(running);
        if let Some(name) = &self.name {
            let named: Vec<_> = all.iter().filter(|one| one.is.name == *name).collect();
            return only(&named, &format!("no instance is called {name}"));
        }
        let path = config_path(self.config.clone());
        let is_given = self.config.is_some();
        if !is_given && !path.exists() {
            let every: Vec<_> = all.iter().collect();
            return match every.iter().any(|one| is_order && !one.is_of_here()) {
                true => Err(ask_for_one(&every)),
                false => only(&every, "no instance runs"),
            };
        }
        let file = whole(&path);
        // The installed one was not named, and somebody has started another here.
        if !is_given && is_order && path.is_absolute() {
            let here: Vec<_> = all.iter().filter(|one| one.is_of_here() && !one.serves(&file)).collect();
            if !here.is_empty() {
                let installed = all.iter().filter(|one| one.serves(&file));
                return Err(ask_for_one(&here.into_iter().chain(installed).collect::<Vec<_>>()));
            }
        }
        let (socket, identity) = config::admin_place(&path);
        let account = Account::uid_of(&identity);
        if let Some(socket) = socket {
            return Ok(InstancePlace { sockets: vec![socket], file: None, account });
        }
        let name = name_of(&file);
        let mut sockets = candidates(&name, geteuid());
        if let Some(uid) = account {
            // It may have been started by root.
            let others = candidates(&name, uid).into_iter().filter(|path| !sockets.contains(path));
            sockets.extend(others.collect::<Vec<_>>());
        }
        // In the usual places there may be one that serves the same file by another name.
        sockets.extend(all.iter().filter(|one| one.serves(&file)).map(|one| one.socket.clone()));
        Ok(InstancePlace { sockets, file: Some(file), account })
    }

    /// Says that nobody is there; the exit code.
    pub(super) fn not_running(&self, place: &InstancePlace) -> ExitCode {
        if self.quiet {
            return ExitCode::from(NOT_RUNNING);
        }
        match (&place.file, place.sockets.as_slice()) {
            (Some(file), _) => say(&format!("balancer: no running instance serves {}", file.display())),
            (None, [socket, ..]) => say(&format!("balancer: no running instance at {}", socket.display())),
            (None, []) => say("balancer: no running instance"),
        }
        // It may be there, at a socket that a file with mistakes does not tell.
        if self.socket.is_none() && self.tell_mistakes() {
            return ExitCode::from(WRONG_CONFIGURATION);
        }
        match running().as_slice() {
            [] => say("Start it with `balancer --config FILE`; `balancer list` shows the running instances."),
            [other] => say(&format!("There is {}; type: balancer {} --name {}", other.is, command(), other.is.name)),
            others => {
                let shown: Vec<String> = others.iter().take(SHOWN_MAX).map(|one| one.is.to_string()).collect();
                say(&format!("Running instances: {}. See `balancer list`.", shown.join(", ")));
            }
        }
        ExitCode::from(NOT_RUNNING)
    }

    fn tell_mistakes(&self) -> bool {
        let path = config_path(self.config.clone());
        match config::load(&path) {
            Err(error) if path.exists() => {
                say(&error.to_string());
                true
            }
            _ => false,
        }
    }
}

impl RunningInstance {
    /// Whether it was started in the directory we are in, or serves a file of it.
    fn is_of_here(&self) -> bool {
        let Ok(here) = std::env::current_dir() else { return false };
        let is_here = |path: &Path| path == here || path.canonicalize().is_ok_and(|path| path == here);
        match &self.is.file {
            Some(file) => file.parent().is_some_and(is_here),
            None => is_here(&self.is.directory),
        }
    }

    fn serves(&self, file: &Path) -> bool {
        self.is.file.as_ref().is_some_and(|own| is_same(own, file))
    }
}

/// All of this account, in the usual places and where the file that serving would take has its own.
pub(super) fn running() -> Vec<RunningInstance> {
    let mut sockets = all_sockets();
    let own = config::admin_place(&config_path(None)).0;
    sockets.extend(own.filter(|own| !sockets.contains(own)).into_iter().collect::<Vec<_>>());
    let found = sockets.into_iter().filter_map(|socket| introduced(&socket).map(|is| RunningInstance { socket, is }));
    let mut found: Vec<RunningInstance> = found.collect();
    found.sort_by(|a, b| (&a.is.name, a.is.pid).cmp(&(&b.is.name, b.is.pid)));
    found.dedup_by_key(|one| one.is.pid);
    found
}

/// The place of the only one.
fn only(found: &[&RunningInstance], none: &str) -> Result<InstancePlace, ExitCode> {
    match found {
        [] => {
            say(&format!("balancer: no running instance: {none}"));
            say("Start one with `balancer --config FILE`, `balancer run` or `balancer demo`; `balancer list` shows \
                 the running instances.");
            Err(ExitCode::from(NOT_RUNNING))
        }
        [one] => Ok(InstancePlace { sockets: vec![one.socket.clone()], file: None, account: None }),
        _ => Err(ask_for_one(found)),
    }
}

/// The command that was typed.
fn command() -> String {
    let typed = std::env::args().skip(1).find(|argument| COMMANDS.contains(&argument.as_str()));
    typed.unwrap_or_else(|| COMMANDS[0].to_owned())
}

/// Says which there are, and how to say which is meant.
fn ask_for_one(found: &[&RunningInstance]) -> ExitCode {
    say("balancer: several instances run, and no file here says which one is meant. Name it with --config FILE, \
         --name NAME or --socket PATH:");
    found.iter().for_each(|one| {
        // By their paths: two may be called the same.
        let origin = one.is.file.as_ref().map_or_else(|| one.is.origin.clone(), |file| file.display().to_string());
        say(&format!("  {}: {origin}, --socket {}", one.is, one.socket.display()));
    });
    ExitCode::from(WRONG_ARGUMENTS)
}

/// Whether two paths are one file, by their text or by what they lead to now.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// Nobody is there to ask, or nothing there takes requests.
pub(super) const NOT_RUNNING: u8 = 3;
const SHOWN_MAX: usize = 3;
/// Those for one instance.
const COMMANDS: [&str; 13] = [
    "status", "reload", "restart", "roll", "scale", "drain", "undrain", "stop", "logs", "events", "explain", "advise",
    "top",
];
