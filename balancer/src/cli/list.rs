//! `balancer list`: the instances that run.

use std::process::ExitCode;

use super::say::{say, show};
use super::target::{NOT_RUNNING, running};
use super::text::aligned;
use crate::shown::age;

pub(super) fn run() -> ExitCode {
    let running = running();
    if running.is_empty() {
        say("balancer: no running instance in the usual places of this account");
        return ExitCode::from(NOT_RUNNING);
    }
    let mut rows = vec![["name", "pid", "for", "listens on", "configuration"].map(str::to_owned).to_vec()];
    for one in running {
        let configuration = match one.is.file {
            Some(file) => file.display().to_string(),
            None => format!("{}, in {}", one.is.origin, one.is.directory.display()),
        };
        let cells = [one.is.name, one.is.pid.to_string(), age(one.is.uptime_seconds), one.is.listen.join(", ")];
        rows.push(cells.into_iter().chain([configuration]).collect());
    }
    let mut out = String::new();
    aligned(&mut out, &rows);
    show(&out)
}
