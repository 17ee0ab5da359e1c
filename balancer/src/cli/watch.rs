//! `balancer logs` and `balancer events`: what workers printed, what happened.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;

use super::ask::cut_off;
use super::say::{fail, say};
use super::target::Target;
use crate::admin::client::escaped;
use crate::config::duration;
use crate::observe::printable;

/// Whose log.
#[derive(Debug, clap::Args)]
pub(super) struct Logs {
    /// A pool, or one of its workers as in app.2 [default: the only pool with workers]
    #[arg(value_name = "POOL[.INDEX]")]
    of: Option<String>,

    #[command(flatten)]
    lines: Lines,

    #[command(flatten)]
    target: Target,
}

/// Which lines.
#[derive(Debug, clap::Args)]
struct Lines {
    /// Follow: print new lines as they come
    #[arg(short, long)]
    follow: bool,

    /// Begin with the last N lines
    #[arg(short = 'n', long = "lines", value_name = "N")]
    last: Option<usize>,

    /// Leave out older lines: a duration, as in 10m, or a time, as in 2026-11-28T00:30:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
}

/// Which events.
#[derive(Debug, clap::Args)]
pub(super) struct Events {
    #[command(flatten)]
    lines: Lines,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn logs(options: Logs, config: Option<PathBuf>) -> ExitCode {
    let target =
        format!("/api/logs?pool={}&times=1&{}", escaped(&options.of.unwrap_or_default()), options.lines.query());
    copy(&options.target.or(config), (&target, NO_LINE), |line| line.to_owned())
}

pub(super) fn events(options: Events, config: Option<PathBuf>) -> ExitCode {
    let target = format!("/api/events?{}", options.lines.query());
    let told = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(format!("{} {}", event.get("time")?.as_str()?, event.get("text")?.as_str()?))
    };
    let json = options.json;
    copy(&options.target.or(config), (&target, NO_EVENT), |line| {
        told(line).filter(|_| !json).unwrap_or_else(|| line.to_owned())
    })
}

impl Lines {
    fn query(&self) -> String {
        let mut query = format!("follow={}", u8::from(self.follow));
        query.extend(self.last.map(|last| format!("&n={last}")));
        query.extend(self.since.map(|since| format!("&since={}", since.as_second())));
        query
    }
}

/// So long ago, or at that time.
fn since(text: &str) -> Result<Timestamp, String> {
    let ago = |duration| Timestamp::now().checked_sub(duration).ok();
    let parsed = duration(text).ok().and_then(ago).or_else(|| text.parse().ok());
    parsed.ok_or_else(|| "write a duration as in 90s, 10m or 2h, or a time as in 2026-11-28T00:30:00Z".to_owned())
}

/// Line by line, so that somebody at a terminal sees each at once; says `none` where there is none.
fn copy(target: &Target, (path, none): (&str, &str), told: impl Fn(&str) -> String) -> ExitCode {
    let mut answer = match target.ask("GET", path) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    if answer.status != 200 {
        let text = answer.text().unwrap_or_default();
        fail(&format!("balancer: {}", text.trim_end()));
        return ExitCode::from(2);
    }
    let (mut stdout, mut is_empty) = (io::stdout(), true);
    loop {
        let line = match answer.line() {
            Ok(Some(line)) => line,
            Ok(None) => {
                if is_empty {
                    say(none);
                }
                return ExitCode::SUCCESS;
            }
            Err(error) => return cut_off(&error),
        };
        is_empty = false;
        if let Err(error) = writeln!(stdout, "{}", printable::lines(&told(&line))).and_then(|()| stdout.flush()) {
            // A reader that has had enough.
            let enough = error.kind() == io::ErrorKind::BrokenPipe;
            return if enough { ExitCode::SUCCESS } else { fail(&format!("balancer: cannot write: {error}")) };
        }
    }
}

const NO_LINE: &str = "balancer: no line: the workers have printed nothing (since then), or `output` sends their lines to files or \
    nowhere. `balancer status` shows how they are, `balancer events` what happened to them";
const NO_EVENT: &str = "balancer: no event: nothing has happened to a worker (since then)";
