//! A comparison from beginning to end.
//!
//! Decides the order: find, start, check, warm up, measure in alternating rounds. Called by `main`. Never prints the result
//! and never ends a process itself: guards do, on every way out.

use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use crate::arguments::{OriginKind, Plan};
use crate::cores::Cores;
use crate::events::Events;
use crate::exchange::PATH;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::measurement::{Measurement, measure, warm_up};
use crate::programs::Programs;
use crate::say;
use crate::scratch::Scratch;
use crate::target::{Configuration, Ground, Origin, Running, Target};
use crate::tool::Tool;

/// Everything that is printed or written.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) machine: Machine,
    pub(crate) placement: String,
    pub(crate) origin: String,
    pub(crate) notes: Vec<String>,
    pub(crate) rounds: u32,
    pub(crate) targets: Vec<Target>,
    pub(crate) tools: Vec<Load>,
    pub(crate) configurations: Vec<Configuration>,
    pub(crate) measurements: Vec<Measurement>,
}

/// One generator's load, in words.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Load {
    pub(crate) tool: &'static str,
    pub(crate) manner: &'static str,
    pub(crate) command: String,
}

impl Comparison {
    /// Over all runs; anything but 0 makes the figures worthless.
    pub(crate) fn requests_failed(&self) -> u64 {
        self.measurements.iter().map(|measurement| measurement.reading.failed).sum()
    }
}

/// Runs the whole comparison.
///
/// # Errors
/// Whatever keeps a figure from being measured, or a signal; everything started has ended when this returns.
pub(crate) fn compare(plan: &Plan, events: &Arc<Events>) -> Result<Comparison, Failure> {
    let programs = Programs::find(plan, events)?;
    programs.notes.iter().for_each(|note| say(note));
    let (cores, scratch) = (Cores::find(), Scratch::create()?);
    let machine = Machine::look(&programs, scratch.path(), events)?;
    raise_descriptor_limit();
    let ground = Ground { plan, programs: &programs, cores: &cores, scratch: &scratch, events };

    let mut origin = Origin::start(&ground)?;
    let started = programs.targets.iter().map(|target| Running::start(*target, &origin, &ground));
    let mut targets = started.collect::<Result<Vec<_>, _>>()?;
    targets.iter().try_for_each(|running| running.check(&origin.answer))?;

    let tools = Tool::planned(plan);
    for running in &mut targets {
        say(&format!("warming up {}", running.target.name()));
        tools.iter().try_for_each(|tool| warm_up(*tool, running, &mut origin, &ground))?;
    }
    let mut measurements = Vec::new();
    for round in 1..=plan.rounds {
        for tool in tools {
            // Targets alternate, so that a noisy minute hits all of them.
            for running in &mut targets {
                let measurement = measure(tool, running, &mut origin, round, &ground)?;
                say(&progress(&measurement, plan.rounds));
                measurements.push(measurement);
            }
        }
    }
    let configurations = targets.iter().filter_map(|running| running.configuration.clone());
    Ok(Comparison {
        machine,
        placement: cores.describe(),
        origin: describe(programs.origin, &origin),
        notes: programs.notes.clone(),
        rounds: plan.rounds,
        targets: programs.targets.clone(),
        tools: tools.map(load).to_vec(),
        configurations: origin.configurations.iter().cloned().chain(configurations).collect(),
        measurements,
    })
}

fn describe(kind: OriginKind, origin: &Origin) -> String {
    let kind = match kind {
        OriginKind::Nginx => "nginx, one worker process, two ports",
        OriginKind::Backend => "two processes of `backend`",
    };
    format!("{kind}; answers {} ({} bytes)", origin.answer, origin.answer.body.len())
}

fn load(tool: Tool) -> Load {
    let command = format!("{} {} http://127.0.0.1:PORT{PATH}", tool.name(), tool.load().join(" "));
    Load { tool: tool.name(), manner: tool.manner(), command }
}

fn progress(measurement: &Measurement, rounds: u32) -> String {
    let Measurement { tool, target, round, reading, .. } = measurement;
    let rate = crate::statistics::whole(reading.requests_per_second);
    let failed = if reading.failed == 0 { String::new() } else { format!(", {} FAILED", reading.failed) };
    format!("round {round}/{rounds}: {tool} {}: {rate} requests/s{failed}", target.name())
}

/// Children inherit it; a refusal shows later, in a generator's own words, if the limit matters at all.
fn raise_descriptor_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
