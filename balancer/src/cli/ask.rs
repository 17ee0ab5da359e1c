//! Asking a running instance, and telling what it answers.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use super::say::{fail, say, show};
use super::target::Target;
use crate::admin::client::{AdminAnswer, AskError, ask};
use crate::admin::{Outcome, Report};
use crate::observe::printable;

impl Target {
    /// Asks for something; what cannot be asked ends the command.
    pub(super) fn ask(&self, method: &str, target: &str) -> Result<AdminAnswer, ExitCode> {
        let place = self.place(method != "GET")?;
        ask((&place.sockets, place.account), place.file.as_deref(), method, target).map_err(|error| match error {
            AskError::NotRunning => self.not_running(&place),
            AskError::Failed(..) if self.is_quiet() => ExitCode::FAILURE,
            AskError::Failed(..) => fail(&format!("balancer: {error}")),
        })
    }

    /// Asks for a text: its status, and the whole of it.
    pub(super) fn read(&self, target: &str) -> Result<(u16, String), ExitCode> {
        let answer = self.ask("GET", target)?;
        let status = answer.status;
        answer.text().map(|text| (status, text)).map_err(|error| cut_off(&error))
    }

    /// Has something done, which is called `what`, says who does it, tells how it goes, and waits for the end.
    pub(super) fn order(&self, target: &str, what: &'static str) -> ExitCode {
        let mut answer = match self.ask("POST", target) {
            Ok(answer) => answer,
            Err(code) => return code,
        };
        if let Some(instance) = &answer.instance {
            say(&format!("asked {instance}"));
        }
        tell_interrupted(what);
        match self.follow(&mut answer) {
            Ok(Some(outcome)) => {
                say(&outcome.text);
                ExitCode::from(outcome.code)
            }
            Ok(None) => fail("balancer: it ended before it had answered; what was begun may or may not be done"),
            Err(error) => cut_off(&error),
        }
    }

    /// Tells what an action tells, until its end; `None` when that did not come.
    pub(super) fn follow(&self, answer: &mut AdminAnswer) -> io::Result<Option<Outcome>> {
        let mut progress = Progress::new();
        while let Some(text) = answer.line()? {
            match Report::parse(&text) {
                Some(Report::Progress(text)) => progress.show(&printable::lines(&text)),
                Some(Report::Text(text)) => {
                    progress.clear();
                    show(&format!("{text}\n"));
                }
                Some(Report::Done(outcome)) => return Ok(Some(outcome)),
                // A refusal in plain words.
                None => {
                    let code = if answer.status == 400 { 2 } else { 1 };
                    return Ok(Some(Outcome { code, text: format!("balancer: {text}") }));
                }
            }
        }
        Ok(None)
    }
}

/// The end of a command whose answer has broken off.
pub(super) fn cut_off(error: &io::Error) -> ExitCode {
    fail(&format!("balancer: no further answer: {error}"))
}

/// Says, when Ctrl-C comes, that what was begun goes on. In a thread, for the answer is read without a runtime.
fn tell_interrupted(what: &'static str) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        // Without it, Ctrl-C ends the command without a word.
        let Ok(runtime) = runtime else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            say(&format!("{what} goes on; see balancer status"));
            std::process::exit(INTERRUPTED);
        }
    });
}

/// Of a command that was ended by INT, as shells have it.
const INTERRUPTED: i32 = 130;

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
