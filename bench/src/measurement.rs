//! One run of one generator against one target.
//!
//! Decides what is read before and after, and whether the run counts. Called by [`crate::compare`], one at a time. Never
//! starts a target, never judges the figures.

use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cores::Place;
use crate::cpu::{self, Cpu};
use crate::failure::Failure;
use crate::process::{Process, describe};
use crate::target::{Ground, Origin, Running, Target};
use crate::tool::{Reading, Tool};

/// The raw figures of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    pub(crate) tool: &'static str,
    pub(crate) target: Target,
    /// From 1.
    pub(crate) round: u32,
    pub(crate) command: String,
    #[serde(flatten)]
    pub(crate) reading: Reading,
    pub(crate) wall_seconds: f64,
    /// `None` for direct.
    pub(crate) proxy_cpu: Option<Cpu>,
    pub(crate) origin_cpu: Cpu,
    pub(crate) generator_cpu: Cpu,
    /// Share of the run (0 to 1) the generator's core worked for the generator and the origin.
    pub(crate) generator_core_busy: f64,
    /// Share of the run (0 to 1) others used on the busier of the cores the run needs; `None` when nothing is pinned.
    pub(crate) core_taken: Option<f64>,
}

impl Measurement {
    /// CPU microseconds a request of one party.
    pub(crate) fn per_request(&self, seconds: f64) -> f64 {
        seconds * 1e6 / self.reading.requests.max(1) as f64
    }
}

/// Lets `tool` loose on a target and reads everything.
///
/// # Errors
/// The target, the origin or the generator ended or hung, or the generator's output cannot be read.
pub(crate) fn measure(
    tool: Tool,
    running: &mut Running,
    origin: &mut Origin,
    round: u32,
    ground: &Ground<'_>,
) -> Result<Measurement, Failure> {
    let arguments = tool.arguments(&running.url(), &ground.scratch.path().join(CSV));
    let before = Clocks::read(running, origin, ground)?;
    let started = Instant::now();
    let generator = start(tool, &arguments, ground)?;
    let outcome = ground.events.wait_any(&everyone(&generator, running, origin), tool.time_max())?;
    let wall_seconds = started.elapsed().as_secs_f64();
    if outcome == Some(generator.pid()) {
        // Not collected yet, it still has its entry in /proc.
        let generator_cpu = cpu::of_tree(generator.pid())?;
        let after = Clocks::read(running, origin, ground);
        let reading = finish(tool, generator, running, origin, ground)?;
        let after = after?;
        let proxy_cpu = after.proxy.zip(before.proxy).map(|(after, before)| after - before);
        let origin_cpu = after.origin - before.origin;
        let proxy_seconds = proxy_cpu.unwrap_or_default().seconds();
        let load_seconds = (generator_cpu + origin_cpu).seconds();
        let ours =
            if ground.cores.are_apart() { [proxy_seconds, load_seconds] } else { [proxy_seconds + load_seconds; 2] };
        let taken = after
            .cores
            .into_iter()
            .zip(before.cores)
            .zip(ours)
            .filter_map(|((after, before), ours)| Some(((after? - before? - ours) / wall_seconds).clamp(0.0, 1.0)));
        return Ok(Measurement {
            tool: tool.name(),
            target: running.target,
            round,
            command: format!("{} {}", tool.name(), arguments.join(" ")),
            reading,
            wall_seconds,
            proxy_cpu,
            origin_cpu,
            generator_cpu,
            generator_core_busy: load_seconds / wall_seconds,
            core_taken: taken.max_by(f64::total_cmp),
        });
    }
    dead(running, origin, Duration::ZERO, ground)?;
    let what = format!("did not end within {} s; so it was ended", tool.time_max().as_secs());
    Err(Failure::Generator { name: tool.name(), what, stderr: generator.stderr_end() })
}

/// A run that is not counted.
pub(crate) fn warm_up(
    tool: Tool,
    running: &mut Running,
    origin: &mut Origin,
    ground: &Ground<'_>,
) -> Result<(), Failure> {
    measure(tool.warm_up(), running, origin, 0, ground).map(drop)
}

/// The clocks that are read before and after.
struct Clocks {
    proxy: Option<Cpu>,
    origin: Cpu,
    /// Seconds the proxy's and the generator's core were busy for anybody; `None` for a core the run does not need.
    cores: [Option<f64>; 2],
}

impl Clocks {
    fn read(running: &Running, origin: &Origin, ground: &Ground<'_>) -> Result<Clocks, Failure> {
        let proxy = running.process.as_ref().map(|process| cpu::of_tree(process.pid())).transpose()?;
        let mut sum = Cpu::default();
        for process in &origin.processes {
            sum = sum + cpu::of_tree(process.pid())?;
        }
        let cores = ground.cores;
        let busy = |core, needed: bool| (needed && cores.are_pinned()).then(|| cpu::core_busy_seconds(core)).flatten();
        let cores = [busy(cores.proxy, proxy.is_some()), busy(cores.generator, true)];
        Ok(Clocks { proxy, origin: sum, cores })
    }
}

fn start(tool: Tool, arguments: &[String], ground: &Ground<'_>) -> Result<Process, Failure> {
    let program = match tool {
        Tool::Ab { .. } => &ground.programs.ab,
        Tool::Wrk { .. } => &ground.programs.wrk,
    };
    let mut command = ground.cores.command(Place::Generator, program);
    command.args(arguments);
    Process::spawn(tool.name(), command, ground.scratch.path(), ground.events)
}

/// Collects a generator that has ended and reads what it said.
fn finish(
    tool: Tool,
    mut generator: Process,
    running: &mut Running,
    origin: &mut Origin,
    ground: &Ground<'_>,
) -> Result<Reading, Failure> {
    let stdout = generator.stdout()?;
    let status = generator.reap();
    let failed = |what: String| Failure::Generator { name: tool.name(), what, stderr: generator.stderr_end() };
    if status.is_none_or(|status| !status.success()) {
        // Most likely its target died under it, which is then the thing to say.
        dead(running, origin, DEATH_TIME, ground)?;
        return Err(failed(format!("failed ({})", status.map_or_else(|| "not collected".to_owned(), describe))));
    }
    dead(running, origin, Duration::ZERO, ground)?;
    let csv = fs::read_to_string(ground.scratch.path().join(CSV)).unwrap_or_default();
    tool.read(&stdout, &csv, origin.answer.body.len()).map_err(|what| failed(format!("cannot be understood: {what}")))
}

/// Fails when the target or its origin has ended, or does within `time`.
fn dead(running: &mut Running, origin: &mut Origin, time: Duration, ground: &Ground<'_>) -> Result<(), Failure> {
    let target = running.process.as_mut();
    let mut processes: Vec<&mut Process> = target.into_iter().chain(&mut origin.processes).collect();
    let pids: Vec<u32> = processes.iter().map(|process| process.pid()).collect();
    let Some(pid) = ground.events.wait_any(&pids, time)? else { return Ok(()) };
    let process = processes.iter_mut().find(|process| process.pid() == pid);
    process.map_or(Ok(()), |process| Err(process.ended("while it was measured")))
}

fn everyone(generator: &Process, running: &Running, origin: &Origin) -> Vec<u32> {
    let processes = running.process.iter().chain(&origin.processes).chain([generator]);
    processes.map(Process::pid).collect()
}

/// Where ab writes its percentiles; overwritten by each run.
const CSV: &str = "percentiles.csv";
/// How much later than its clients' errors the end of a process may be seen.
const DEATH_TIME: Duration = Duration::from_millis(500);
