//! One run of one generator against one target.
//!
//! Decides what is read before and after, and whether the run counts. Called by [`crate::compare`], one at a time. Never
//! starts a target, never judges the figures.

use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clocks::Clocks;
use crate::cores::Place;
use crate::cpu::{self, Cpu};
use crate::failure::Failure;
use crate::idle::{BATCH, Idle, settled_rss};
use crate::process::{Process, describe};
use crate::programs;
use crate::scenario::{Column, Condition, Scenario};
use crate::target::{Ground, Origin, Running};
use crate::tool::{CSV, Reading, Tool};
use crate::usage;

/// The raw figures of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    pub(crate) scenario: Scenario,
    pub(crate) column: Column,
    pub(crate) tool: &'static str,
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
    /// Of the proxy, all threads, voluntary or not.
    pub(crate) context_switches: Option<u64>,
    /// Of the proxy, after the run, bytes.
    pub(crate) rss_bytes: Option<u64>,
    /// Idle connections held during the run.
    pub(crate) idle_connections: u32,
    /// What each of them added to the proxy's memory, bytes; measured only in the scenario `idle`.
    pub(crate) bytes_per_idle_connection: Option<f64>,
    /// Resident memory with none, some and all of them; measured only in the scenario `idle`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) memory_steps: Vec<MemoryStep>,
    /// Share of the run (0 to 1) the generator's core worked for the generator and the origin.
    pub(crate) generator_core_busy: f64,
    /// Share of the run (0 to 1) the proxy's core worked for the proxy.
    pub(crate) proxy_core_busy: Option<f64>,
    /// Share of the run (0 to 1) others used on the busier of the cores the run needs; `None` when nothing is pinned.
    pub(crate) core_taken: Option<f64>,
}

/// How much memory so many connections take.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct MemoryStep {
    pub(crate) connections: u32,
    pub(crate) rss_bytes: u64,
}

impl Measurement {
    /// CPU microseconds a request of one party.
    pub(crate) fn per_request(&self, seconds: f64) -> f64 {
        seconds * 1e6 / self.reading.requests.max(1) as f64
    }
}

/// Lets `tool` loose on a target and reads everything; beside idle connections where the column says so.
///
/// # Errors
/// The target, the origin or the generator ended or hung, or the generator's output cannot be read.
pub(crate) fn measure(
    tool: Tool,
    column: Column,
    running: &mut Running,
    origin: &mut Origin,
    round: u32,
    ground: &Ground<'_>,
) -> Result<Measurement, Failure> {
    let setting = ground.setting;
    let idle_connections = if column.condition == Condition::Idle { setting.idle } else { 0 };
    let idle = hold(idle_connections, running, origin, ground)?;
    let arguments = tool.arguments(running.port, setting.path, ground.scratch.path());
    let before = Clocks::read(running, origin, ground)?;
    let started = Instant::now();
    let generator = start(tool, &arguments, ground)?;
    let outcome = ground.events.wait_any(&everyone(&generator, running, origin), tool.time_max())?;
    let wall_seconds = started.elapsed().as_secs_f64();
    if outcome != Some(generator.pid()) {
        dead(running, origin, Duration::ZERO, ground)?;
        let what = format!("did not end within {} s; so it was ended", tool.time_max().as_secs());
        return Err(Failure::Generator { name: tool.name(), what, stderr: generator.stderr_end() });
    }
    // Not collected yet, it still has its entry in /proc.
    let generator_cpu = cpu::of_tree(generator.pid())?;
    let after = Clocks::read(running, origin, ground);
    let mut reading = finish(tool, generator, running, origin, ground)?;
    let after = after?;
    reading.failed += idle.closed();
    let used = after.since(&before);
    let proxy_seconds = used.proxy.unwrap_or_default().seconds();
    let load_seconds = (generator_cpu + used.origin).seconds();
    // Workers that compute use both cores; what is left of either is not known then.
    let apart = ground.cores.are_apart() && setting.work_us == 0;
    let ours = if apart { [proxy_seconds, load_seconds] } else { [proxy_seconds + load_seconds; 2] };
    let cores = used.cores.into_iter().zip(ours);
    let taken = cores.filter_map(|(busy, ours)| Some(((busy? - ours) / wall_seconds).clamp(0.0, 1.0)));
    Ok(Measurement {
        scenario: setting.scenario,
        column,
        tool: tool.name(),
        round,
        command: format!("{} {}", tool.name(), arguments.join(" ")),
        reading,
        wall_seconds,
        proxy_cpu: used.proxy,
        origin_cpu: used.origin,
        generator_cpu,
        context_switches: used.switches,
        rss_bytes: running.process.as_ref().map(|process| usage::rss_bytes(process.pid())).transpose()?,
        idle_connections,
        bytes_per_idle_connection: None,
        memory_steps: Vec::new(),
        generator_core_busy: if apart { load_seconds / wall_seconds } else { 0.0 },
        proxy_core_busy: used.proxy.map(|cpu| cpu.seconds() / wall_seconds),
        core_taken: taken.max_by(f64::total_cmp),
    })
}

/// Opens the scenario's idle connections to a target that was just started, and reads what they cost.
///
/// # Errors
/// The target ended or does not take them; or a signal.
pub(crate) fn measure_idle(
    column: Column,
    running: &mut Running,
    origin: &mut Origin,
    round: u32,
    ground: &Ground<'_>,
) -> Result<Measurement, Failure> {
    // Buffers and upstream connections every process has once, however many clients come.
    for _ in 0..FIRST_BATCHES {
        drop(hold(BATCH as u32, running, origin, ground)?);
    }
    let pid = running.process.as_ref().map_or(0, Process::pid);
    let count = ground.setting.idle;
    let look = |connections| {
        let rss_bytes = settled_rss(pid, ground.events)?;
        Ok::<_, Failure>(MemoryStep { connections, rss_bytes })
    };
    let mut memory_steps = vec![look(0)?];
    let before = Clocks::read(running, origin, ground)?;
    let (mut idle, mut wall_seconds) = (Vec::new(), 0.0);
    for nth in 1..=STEPS {
        let (held, wanted) = (count / STEPS * (nth - 1), if nth == STEPS { count } else { count / STEPS * nth });
        let started = Instant::now();
        idle.push(hold(wanted - held, running, origin, ground)?);
        wall_seconds += started.elapsed().as_secs_f64();
        memory_steps.push(look(wanted)?);
    }
    let used = Clocks::read(running, origin, ground)?.since(&before);
    let [first, .., last] = memory_steps.as_slice() else {
        return Err(running.complaint("was not looked at".to_owned()));
    };
    let (rss_bytes, growth) = (last.rss_bytes, last.rss_bytes as f64 - first.rss_bytes as f64);
    let requests = u64::from(count);
    let reading = Reading {
        requests,
        requests_per_second: f64::from(count) / wall_seconds,
        failed: idle.iter().map(Idle::closed).sum(),
        percentiles: Vec::new(),
        curve: Vec::new(),
    };
    Ok(Measurement {
        scenario: ground.setting.scenario,
        column,
        tool: "bench",
        round,
        command: format!("{count} connections, one request each"),
        reading,
        wall_seconds,
        proxy_cpu: used.proxy,
        origin_cpu: used.origin,
        generator_cpu: Cpu::default(),
        context_switches: used.switches,
        rss_bytes: Some(rss_bytes),
        idle_connections: count,
        bytes_per_idle_connection: Some(growth / f64::from(count.max(1))),
        memory_steps,
        generator_core_busy: 0.0,
        proxy_core_busy: used.proxy.map(|cpu| cpu.seconds() / wall_seconds),
        core_taken: None,
    })
}

/// A run that is not counted.
pub(crate) fn warm_up(
    tool: Tool,
    running: &mut Running,
    origin: &mut Origin,
    ground: &Ground<'_>,
) -> Result<(), Failure> {
    measure(tool.warm_up(), Column::plain(running.target), running, origin, 0, ground).map(drop)
}

fn hold(count: u32, running: &mut Running, origin: &mut Origin, ground: &Ground<'_>) -> Result<Idle, Failure> {
    let body = &origin.answer.body;
    match Idle::open(count, running.port, ground.setting.path, body, ground.events) {
        Err(Failure::System { doing, source }) => {
            dead(running, origin, DEATH_TIME, ground)?;
            Err(running.complaint(format!("did not let us {doing} ({source})")))
        }
        outcome => outcome,
    }
}

fn start(tool: Tool, arguments: &[String], ground: &Ground<'_>) -> Result<Process, Failure> {
    let program = match tool {
        Tool::Ab { .. } => ground.programs.ab.as_deref().ok_or_else(|| Failure::missing("ab"))?.to_owned(),
        Tool::Wrk { .. } => ground.programs.wrk.as_deref().ok_or_else(|| Failure::missing("wrk"))?.to_owned(),
        Tool::Open { .. } => programs::ourselves()?,
    };
    let mut command = ground.cores.command(Place::Generator, &program);
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

/// Batches opened and closed again before the memory is first read: in one alone not all need their buffers at once.
const FIRST_BATCHES: u32 = 5;
/// How often the memory is read on the way to all connections.
const STEPS: u32 = 4;
/// How much later than its clients' errors the end of a process may be seen.
const DEATH_TIME: Duration = Duration::from_millis(500);
