//! `balancer doctor`: what this machine would trip over, each with the number that says so and what to type.
//!
//! Decides what is looked at, and the exit code. Called by [`super`]. Changes nothing, and asks nobody but DNS and the instance, if one runs.

mod finding;
mod machine;
mod memory;
mod names;
mod network;
mod reach;

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::file::{config_path, load};
use super::say::show;
use super::target::Target;
use super::text::wrapped_after;
use crate::config::Config;
use finding::{Finding, Severity};
use machine::Machine;

/// Of which instance.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

/// What is known of what runs, or would.
struct Patient<'a> {
    machine: &'a Machine,
    config: Option<&'a Config>,
    /// What `status --json` says, where an instance runs.
    status: Option<&'a Value>,
}

pub(super) fn run(options: Options, given: Option<PathBuf>) -> ExitCode {
    let target = options.target.or(given).quiet(true);
    let file = target.file();
    let config = match file.is_some() || config_path(None).exists() {
        true => match load(file) {
            Ok((config, _)) => Some(config),
            Err(code) => return code,
        },
        false => None,
    };
    let status = target.ask("GET", "/api/status").ok().and_then(|answer| answer.text().ok());
    let status: Option<Value> = status.and_then(|text| serde_json::from_str(&text).ok());
    let machine = Machine::look(status.as_ref().and_then(|status| status["pid"].as_u64()));
    let patient = Patient { machine: &machine, config: config.as_ref(), status: status.as_ref() };
    let findings = findings(&patient);
    let text = if options.json { in_json(&findings) } else { told(&patient, &findings) };
    match show(&text) {
        code if code != ExitCode::SUCCESS => code,
        _ if findings.iter().any(|one| one.level == Severity::Warning) => ExitCode::FAILURE,
        code => code,
    }
}

fn findings(patient: &Patient<'_>) -> Vec<Finding> {
    let Patient { machine, config, status } = *patient;
    let mut all = vec![machine::descriptors(machine, config), machine::cpus(machine, config), machine::clock(machine)];
    all.extend(memory::findings(machine, config, status));
    all.extend(network::findings(machine, config));
    all.extend(config.map(names::findings).unwrap_or_default());
    all.extend(reach::findings(config, status));
    // What to do comes first.
    all.sort_by_key(|one| one.level);
    all
}

fn told(patient: &Patient<'_>, findings: &[Finding]) -> String {
    let mut out = String::new();
    for one in findings {
        let first = format!("{} ", one.level.mark());
        out.push_str(&wrapped_after(&first, "     ", &format!("{}: {}", one.what, one.why)));
        // Writing to memory does not fail, here and below.
        one.type_this.iter().for_each(|text| _ = writeln!(out, "     type: {text}"));
    }
    let count = |level| findings.iter().filter(|one| one.level == level).count();
    let _ = writeln!(
        out,
        "\n{} to change, {} to know, {} fine",
        count(Severity::Warning),
        count(Severity::Note),
        count(Severity::Fine)
    );
    if patient.config.is_none() {
        out.push_str("there is no configuration here: name one with --config FILE, and its workers and addresses are looked at too\n");
    } else if patient.status.is_none() {
        out.push_str("no instance runs: what workers take, and where they listen, is known once one does\n");
    }
    out
}

fn in_json(findings: &[Finding]) -> String {
    let one =
        |one: &Finding| json!({ "level": one.level.word(), "what": one.what, "why": one.why, "type": one.type_this });
    format!("{}\n", json!({ "version": 1, "findings": findings.iter().map(one).collect::<Vec<_>>() }))
}
