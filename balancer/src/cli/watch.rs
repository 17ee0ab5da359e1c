//! `balancer logs` and `balancer events`: what workers printed, what happened.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::ask::Target;
use super::fail;
use crate::admin::client::escaped;
use crate::observe::printable;

/// Whose log.
#[derive(Debug, clap::Args)]
pub(super) struct Logs {
    /// A pool, or one of its workers as in app.2 [default: the only pool with workers]
    #[arg(value_name = "POOL[.INDEX]")]
    of: Option<String>,

    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,

    #[command(flatten)]
    target: Target,
}

/// Which events.
#[derive(Debug, clap::Args)]
pub(super) struct Events {
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,

    /// One JSON object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn logs(options: Logs, config: Option<PathBuf>) -> ExitCode {
    let (of, follow) = (escaped(&options.of.unwrap_or_default()), u8::from(options.follow));
    copy(&options.target.or(config), &format!("/api/logs?pool={of}&follow={follow}"), |line| line.to_owned())
}

pub(super) fn events(options: Events, config: Option<PathBuf>) -> ExitCode {
    let target = format!("/api/events?follow={}", u8::from(options.follow));
    let told = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(format!("{} {}", event.get("time")?.as_str()?, event.get("text")?.as_str()?))
    };
    let json = options.json;
    copy(&options.target.or(config), &target, |line| told(line).filter(|_| !json).unwrap_or_else(|| line.to_owned()))
}

/// Line by line, so that somebody at a terminal sees each at once.
fn copy(target: &Target, path: &str, told: impl Fn(&str) -> String) -> ExitCode {
    let mut answer = match target.ask("GET", path) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    if answer.status != 200 {
        let text = answer.text().unwrap_or_default();
        fail(&format!("balancer: {}", text.trim_end()));
        return ExitCode::from(2);
    }
    let mut stdout = io::stdout();
    loop {
        let line = match answer.line() {
            Ok(Some(line)) => line,
            Ok(None) => return ExitCode::SUCCESS,
            Err(error) => return fail(&format!("balancer: no further answer: {error}")),
        };
        if let Err(error) = writeln!(stdout, "{}", printable::lines(&told(&line))).and_then(|()| stdout.flush()) {
            // A reader that has had enough.
            let enough = error.kind() == io::ErrorKind::BrokenPipe;
            return if enough { ExitCode::SUCCESS } else { fail(&format!("balancer: cannot write: {error}")) };
        }
    }
}
