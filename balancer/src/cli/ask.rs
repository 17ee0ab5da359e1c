//! Asking a running instance: where it is, and what it answers.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use nix::unistd::geteuid;

use super::{WRONG_CONFIGURATION, config_path, fail, instance_name, say, show, whole};
use crate::admin::client::{Answer, AskError, ask};
use crate::admin::{Account, Line, Outcome, candidates};
use crate::config;
use crate::observe::printable;

/// Which instance.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// The instance's admin socket [default: the one its configuration names, else the usual place]
    #[arg(long, value_name = "PATH", env = "BALANCER_SOCKET")]
    socket: Option<PathBuf>,

    /// The instance's configuration [default: as without a command]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    #[arg(skip)]
    quiet: bool,
}

impl Target {
    /// With what was given in front of the command.
    pub(super) fn or(self, config: Option<PathBuf>) -> Self {
        Self { config: self.config.or(config), ..self }
    }

    /// Says nothing of why it cannot be asked, where `quiet`.
    pub(super) fn quiet(self, quiet: bool) -> Self {
        Self { quiet, ..self }
    }

    /// Asks for something; what cannot be asked ends the command.
    pub(super) fn ask(&self, method: &str, target: &str) -> Result<Answer, ExitCode> {
        let (sockets, configuration) = self.sockets();
        ask(&sockets, configuration.as_deref(), method, target).map_err(|error| {
            let not_running = matches!(error, AskError::NotRunning(_));
            if !self.quiet {
                say(&format!("balancer: {error}"));
            }
            // It may be there, at a socket that a file with mistakes does not tell.
            if not_running && self.socket.is_none() && !self.quiet && self.tell_mistakes() {
                return ExitCode::from(WRONG_CONFIGURATION);
            }
            if not_running { ExitCode::from(NOT_RUNNING) } else { ExitCode::FAILURE }
        })
    }

    /// Has something done, tells how it goes, and waits for the end.
    pub(super) fn order(&self, target: &str) -> ExitCode {
        let mut answer = match self.ask("POST", target) {
            Ok(answer) => answer,
            Err(code) => return code,
        };
        match self.follow(&mut answer) {
            Ok(Some(outcome)) => {
                say(&outcome.text);
                ExitCode::from(outcome.code)
            }
            Ok(None) => fail("balancer: it ended before it had answered; what was begun may or may not be done"),
            Err(error) => fail(&format!("balancer: no further answer: {error}")),
        }
    }

    /// Tells what an action tells, until its end; `None` when that did not come.
    pub(super) fn follow(&self, answer: &mut Answer) -> io::Result<Option<Outcome>> {
        let mut progress = Progress::new();
        while let Some(text) = answer.line()? {
            match Line::parse(&text) {
                Some(Line::Progress(text)) => progress.show(&printable::lines(&text)),
                Some(Line::Text(text)) => {
                    progress.clear();
                    show(&format!("{text}\n"));
                }
                Some(Line::Done(outcome)) => return Ok(Some(outcome)),
                // A refusal in plain words.
                None => {
                    let code = if answer.status == 400 { 2 } else { 1 };
                    return Ok(Some(Outcome { code, text: format!("balancer: {text}") }));
                }
            }
        }
        Ok(None)
    }

    /// Where it may be, and in the usual places, whose it must be.
    fn sockets(&self) -> (Vec<PathBuf>, Option<PathBuf>) {
        if let Some(socket) = &self.socket {
            return (vec![socket.clone()], None);
        }
        let path = config_path(self.config.clone());
        let (socket, identity) = config::admin_place(&path);
        if let Some(socket) = socket {
            return (vec![socket], None);
        }
        let name = instance_name(&path);
        let mut sockets = candidates(&name, geteuid());
        if let Some(uid) = Account::uid_of(&identity) {
            // It may have been started by root.
            let others = candidates(&name, uid).into_iter().filter(|path| !sockets.contains(path));
            sockets.extend(others.collect::<Vec<_>>());
        }
        if self.config.is_none() && !path.exists() {
            // Without a file it is one that needs none.
            sockets.extend(["demo", "run"].iter().flat_map(|name| candidates(name, geteuid())));
            return (sockets, None);
        }
        (sockets, Some(whole(&path)))
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

/// One line on a terminal that is written over; nothing elsewhere.
struct Progress {
    terminal: bool,
    shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), shown: false }
    }

    fn show(&mut self, text: &str) {
        if self.terminal {
            self.shown = true;
            let _ = write!(io::stderr(), "\r\x1b[K{}", text.lines().next().unwrap_or_default());
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Nobody is there to ask, or nothing there takes requests.
pub(super) const NOT_RUNNING: u8 = 3;
