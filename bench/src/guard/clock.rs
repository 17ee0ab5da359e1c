//! CPU time per request, in pairs.
//!
//! Decides the order of the runs: base and tree alternate, and who begins does too. Called by [`super::guard`]. Never
//! compares a run with one of another round.

use std::path::PathBuf;

use super::Plan;
use crate::cores::Place;
use crate::cpu::{self, Cpu};
use crate::failure::Failure;
use crate::process::{Process, describe};
use crate::programs;
use crate::say;
use crate::service::Service;
use crate::side::{Ground, Origin, PATH, Settings, Side};
use crate::statistics::three_digits;
use crate::tool::{CSV, Tool, scripts};

/// The load generators.
pub(super) struct Generators {
    ab: PathBuf,
    wrk: PathBuf,
}

impl Generators {
    pub(super) fn find() -> Result<Generators, Failure> {
        match (programs::find("ab"), programs::find("wrk")) {
            (Some(ab), Some(wrk)) => Ok(Generators { ab, wrk }),
            (ab, wrk) => Err(programs::missing_tools(ab.is_none(), wrk.is_none())),
        }
    }
}

/// One load, all its rounds.
pub(super) struct Clock {
    pub(super) load: String,
    /// Base and tree, microseconds a request, a pair a round.
    pub(super) rounds: Vec<[Cpu; 2]>,
}

/// Measures both sides under both loads.
pub(super) fn measure(
    plan: &Plan,
    generators: &Generators,
    sides: &[Side<'_>; 2],
    origin: &Origin,
    ground: &Ground<'_>,
) -> Result<Vec<Clock>, Failure> {
    for (name, script) in scripts() {
        ground.scratch.write(name, &script)?;
    }
    let start = |side: &Side<'_>| side.start(&[], Settings::default(), origin, ground);
    let mut services = [start(&sides[0])?, start(&sides[1])?];
    let seconds = u32::try_from(plan.duration.as_secs()).unwrap_or(u32::MAX);
    let tools =
        [Tool::Wrk { connections: 64, seconds, upload: false }, Tool::Ab { requests: plan.requests, concurrency: 100 }];
    for (tool, service) in tools.iter().flat_map(|tool| [(tool, 0), (tool, 1)]) {
        run(tool.warm_up(), generators, &mut services[service], ground)?;
    }
    let mut clocks = Vec::new();
    for tool in tools {
        let mut rounds = Vec::new();
        for round in 1..=plan.rounds {
            let mut pair = [Cpu::default(); 2];
            let order = if round % 2 == 1 { [0, 1] } else { [1, 0] };
            for side in order {
                pair[side] = run(tool, generators, &mut services[side], ground)?;
            }
            let [base, tree] = pair.map(|cpu| three_digits(cpu.seconds()));
            say(&format!("round {round}/{}: {}: base {base}, tree {tree} µs/request", plan.rounds, tool.name()));
            rounds.push(pair);
        }
        clocks.push(Clock { load: format!("{} {}", tool.name(), tool.load().join(" ")), rounds });
    }
    Ok(clocks)
}

/// One run: CPU microseconds a request of the balancer (not seconds, as elsewhere in [`Cpu`]).
fn run(tool: Tool, generators: &Generators, service: &mut Service, ground: &Ground<'_>) -> Result<Cpu, Failure> {
    let program = if matches!(tool, Tool::Ab { .. }) { &generators.ab } else { &generators.wrk };
    let mut command = ground.cores.command(Place::Generator, program);
    command.args(tool.arguments(service.port, PATH, ground.scratch.path()));
    let before = cpu::of_tree(service.process.pid())?;
    let mut generator = Process::spawn(tool.name(), command, ground.scratch.path(), ground.events)?;
    let ended = ground.events.wait_any(&[generator.pid(), service.process.pid()], tool.time_max())?;
    if ended == Some(service.process.pid()) {
        return Err(service.process.ended("while it was measured"));
    }
    let status = generator.reap().filter(|_| ended.is_some());
    let used = cpu::of_tree(service.process.pid())? - before;
    let failed = |what: String| Failure::Generator { name: tool.name(), what, stderr: generator.stderr_end() };
    match status {
        Some(status) if status.success() => {}
        Some(status) => return Err(failed(format!("failed ({})", describe(status)))),
        None => return Err(failed(format!("did not end within {} s", tool.time_max().as_secs()))),
    }
    let csv = std::fs::read_to_string(ground.scratch.path().join(CSV)).unwrap_or_default();
    let reading = tool.read(&generator.stdout()?, &csv, BODY_BYTES);
    let reading = reading.map_err(|what| failed(format!("cannot be understood: {what}")))?;
    if reading.failed > 0 || reading.requests == 0 {
        return Err(service.complaint(format!("failed {} of {} requests", reading.failed, reading.requests)));
    }
    let each = 1e6 / reading.requests as f64;
    Ok(Cpu { user_seconds: used.user_seconds * each, system_seconds: used.system_seconds * each })
}

/// `hello world`.
const BODY_BYTES: usize = 11;
