//! One run of one generator against one target.
//!
//! Decides what is read before and after, and whether the run counts. Called by [`super::compare`], one at a time. Never
//! starts a target, never judges the figures.

use std::fs;
use std::time::{Duration, Instant};

use super::scenario::{Column, Condition};
use super::target::{Origin, Running};
use super::tool::{CSV, Reading, Tool};
use super::{Ground, clocks::Clocks};
use crate::cpu::{self, Cpu};
use crate::held::{BATCH, Held, Wanted, get, settled_rss};
use crate::process::{Process, describe};
use crate::{cores::Place, failure::Failure, lab::ended, programs, report::figure::Unit, service::Service, usage};

/// The figures of one run.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    pub(crate) column: Column,
    /// From 1.
    pub(crate) round: u32,
    pub(crate) command: String,
    /// Which program the latencies are of.
    pub(crate) tool: &'static str,
    pub(crate) reading: Reading,
    /// Of the proxy, all its processes; `None` for direct.
    pub(crate) proxy_cpu: Option<Cpu>,
    /// Resident memory with none, some and all of the idle connections, bytes; only in the scenario `idle`.
    pub(crate) steps: Vec<(u32, u64)>,
    /// What is told of it: name, unit, value.
    pub(crate) values: Vec<(String, Unit, f64)>,
}

/// Names of what is compared and warned of.
pub(crate) const RATE: &str = "requests/s";
pub(crate) const CPU: &str = "proxy, CPU µs/request";
pub(crate) const PROXY_BUSY: &str = "  its core busy";
pub(crate) const GENERATOR_BUSY: &str = "generator's core busy";
pub(crate) const TAKEN: &str = "most of a core others used";
pub(crate) const IDLE_MEMORY: &str = "  KB per idle connection";

impl Measurement {
    /// `None` where the run does not give it.
    pub(crate) fn value(&self, what: &str) -> Option<f64> {
        self.values.iter().find(|(name, ..)| name == what).map(|(.., value)| *value)
    }
}

/// Lets `tool` loose on a target and reads everything; beside idle connections where the column says so.
pub(crate) fn measure(
    tool: Tool,
    column: Column,
    running: &mut Running,
    origin: &mut Origin,
    round: u32,
    ground: &Ground<'_>,
) -> Result<Measurement, Failure> {
    let (setting, events) = (ground.setting, &ground.lab.events);
    let idle = if column.condition == Condition::Idle { setting.idle } else { 0 };
    let idle = hold(idle, running, origin, ground)?;
    let arguments = tool.arguments(running.port, setting.path, ground.lab.scratch.path());
    let before = Clocks::read(running, origin, ground)?;
    let started = Instant::now();
    let generator = start(tool, &arguments, ground)?;
    let everyone: Vec<u32> = services(running, origin).iter().map(|service| service.process.pid()).collect();
    let everyone: Vec<u32> = [generator.pid()].into_iter().chain(everyone).collect();
    let outcome = events.wait_any(&everyone, tool.time_max())?;
    let wall = started.elapsed().as_secs_f64();
    if outcome != Some(generator.pid()) {
        alive(running, origin, Duration::ZERO, ground)?;
        let what = format!("did not end within {} s; so it was ended", tool.time_max().as_secs());
        return Err(Failure::Generator { name: tool.name(), what, stderr: generator.stderr_end() });
    }
    // Not collected yet, it still has its entry in /proc.
    let generator_cpu = cpu::of_tree(generator.pid())?;
    let after = Clocks::read(running, origin, ground);
    let mut reading = finish(tool, generator, running, origin, ground)?;
    reading.failed += idle.closed();
    let used = after?.since(&before);
    let proxy_seconds = used.proxy.unwrap_or_default().seconds();
    let load_seconds = (generator_cpu + used.origin).seconds();
    // Workers that compute use both cores; what is left of either is not known then.
    let apart = ground.lab.cores.are_apart() && setting.work_us == 0;
    let ours = if apart { [proxy_seconds, load_seconds] } else { [proxy_seconds + load_seconds; 2] };
    let cores = used.cores.into_iter().zip(ours);
    let taken = cores.filter_map(|(busy, ours)| Some(((busy? - ours) / wall).clamp(0.0, 1.0))).max_by(f64::total_cmp);
    let command = format!("{} {}", tool.name(), arguments.join(" "));
    let rss = running.service.as_ref().map(|service| usage::rss_bytes(service.process.pid())).transpose()?;
    let mut run = Measurement { tool: tool.name(), ..told(column, round, command, reading, &used, rss, wall) };
    let requests = run.reading.requests.max(1) as f64;
    run.values.push((
        "generator, CPU µs/request".to_owned(),
        Unit::Microseconds,
        generator_cpu.seconds() * 1e6 / requests,
    ));
    if apart {
        run.values.push((GENERATOR_BUSY.to_owned(), Unit::Share, load_seconds / wall));
    }
    run.values.extend(taken.map(|taken| (TAKEN.to_owned(), Unit::Share, taken)));
    Ok(run)
}

/// Opens the scenario's idle connections to a target that was just started, and reads what they cost.
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
    let pid = running.service.as_ref().map_or(0, |service| service.process.pid());
    let count = ground.setting.idle;
    let look = |connections| Ok::<_, Failure>((connections, settled_rss(pid, &ground.lab.events)?));
    let mut steps = vec![look(0)?];
    let before = Clocks::read(running, origin, ground)?;
    let (mut idle, mut wall) = (Vec::new(), 0.0);
    for nth in 1..=STEPS {
        let (held, wanted) = (count / STEPS * (nth - 1), if nth == STEPS { count } else { count / STEPS * nth });
        let started = Instant::now();
        idle.push(hold(wanted - held, running, origin, ground)?);
        wall += started.elapsed().as_secs_f64();
        steps.push(look(wanted)?);
    }
    let used = Clocks::read(running, origin, ground)?.since(&before);
    let [(_, first), .., (_, last)] = steps[..] else { return Err(running.complaint("was not looked at".to_owned())) };
    let reading = Reading {
        requests: u64::from(count),
        requests_per_second: f64::from(count) / wall,
        failed: idle.iter().map(Held::closed).sum(),
        ..Reading::default()
    };
    let command = format!("{count} connections, one request each");
    let mut run = Measurement { steps, ..told(column, round, command, reading, &used, Some(last), wall) };
    let each = (last as f64 - first as f64) / f64::from(count.max(1)) / 1024.0;
    run.values.push((IDLE_MEMORY.to_owned(), Unit::Ratio, each));
    Ok(run)
}

/// What every run tells.
fn told(
    column: Column,
    round: u32,
    command: String,
    reading: Reading,
    used: &Clocks,
    rss: Option<u64>,
    wall: f64,
) -> Measurement {
    let requests = reading.requests.max(1) as f64;
    let mut values: Vec<(String, Unit, f64)> = Vec::new();
    for (percent, milliseconds) in &reading.percentiles {
        let name = if *percent == 100.0 { "max".to_owned() } else { format!("{percent:>3} %") };
        values.push((name.trim().to_owned(), Unit::Milliseconds, *milliseconds));
    }
    let mut tell =
        |name: &str, unit, value: Option<f64>| values.extend(value.map(|value| (name.to_owned(), unit, value)));
    let each = |of: fn(Cpu) -> f64| used.proxy.map(|cpu| of(cpu) * 1e6 / requests);
    tell(RATE, Unit::Count, Some(reading.requests_per_second));
    tell(CPU, Unit::Microseconds, each(Cpu::seconds));
    tell("  user", Unit::Microseconds, each(|cpu| cpu.user_seconds));
    tell("  kernel", Unit::Microseconds, each(|cpu| cpu.system_seconds));
    tell("  context switches/request", Unit::Number, used.switches.map(|count| count as f64 / requests));
    tell("  memory (RSS), MB", Unit::Megabytes, rss.map(|bytes| bytes as f64 / 1e6));
    tell(PROXY_BUSY, Unit::Share, used.proxy.map(|cpu| cpu.seconds() / wall));
    tell("origin, CPU µs/request", Unit::Microseconds, Some(used.origin.seconds() * 1e6 / requests));
    tell("failed requests", Unit::Count, Some(reading.failed as f64));
    Measurement { column, round, command, tool: "bench", reading, proxy_cpu: used.proxy, steps: Vec::new(), values }
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

fn hold(count: u32, running: &mut Running, origin: &mut Origin, ground: &Ground<'_>) -> Result<Held, Failure> {
    let wanted = Wanted::Body(&origin.answer.body);
    match Held::open(count, running.port, &get(ground.setting.path, ""), wanted, &ground.lab.events) {
        Err(Failure::System { doing, source }) => {
            alive(running, origin, DEATH_TIME, ground)?;
            Err(running.complaint(format!("did not let us {doing} ({source})")))
        }
        outcome => outcome,
    }
}

fn start(tool: Tool, arguments: &[String], ground: &Ground<'_>) -> Result<Process, Failure> {
    let program = match tool {
        Tool::Ab { .. } | Tool::Wrk { .. } => ground.lab.program(tool.name())?,
        Tool::Open { .. } => programs::ourselves()?,
    };
    let mut command = ground.lab.cores.command(Place::Generator, &program);
    command.args(arguments);
    Process::spawn(tool.name(), command, ground.lab.scratch.path(), &ground.lab.events)
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
        alive(running, origin, DEATH_TIME, ground)?;
        return Err(failed(format!("failed ({})", status.map_or_else(|| "not collected".to_owned(), describe))));
    }
    alive(running, origin, Duration::ZERO, ground)?;
    let csv = fs::read_to_string(ground.lab.scratch.path().join(CSV)).unwrap_or_default();
    tool.read(&stdout, &csv, origin.answer.body.len()).map_err(|what| failed(format!("cannot be understood: {what}")))
}

/// Fails when the target or its origin has ended, or does within `time`.
fn alive(running: &mut Running, origin: &mut Origin, time: Duration, ground: &Ground<'_>) -> Result<(), Failure> {
    let mut services = services(running, origin);
    let pids: Vec<u32> = services.iter().map(|service| service.process.pid()).collect();
    ground.lab.events.wait_any(&pids, time)?.map_or(Ok(()), |pid| Err(ended(&mut services, pid)))
}

fn services<'a>(running: &'a mut Running, origin: &'a mut Origin) -> Vec<&'a mut Service> {
    running.service.iter_mut().chain(&mut origin.services).collect()
}

/// Batches opened and closed again before the memory is first read: in one alone not all need their buffers at once.
const FIRST_BATCHES: u32 = 5;
/// How often the memory is read on the way to all connections.
const STEPS: u32 = 4;
/// How much later than its clients' errors the end of a process may be seen.
const DEATH_TIME: Duration = Duration::from_millis(500);
