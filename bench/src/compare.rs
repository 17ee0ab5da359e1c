//! A comparison from beginning to end.
//!
//! Decides the order: find, then for each scenario start, check, warm up, measure in alternating rounds. Called by `main`.
//! Never prints the result and never ends a process itself: guards do, on every way out.

use std::sync::Arc;

use serde::Serialize;

use crate::arguments::{OriginKind, Plan};
use crate::bars::{self, Judged};
use crate::cores::Cores;
use crate::descriptors;
use crate::events::Events;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::measurement::{Measurement, measure, measure_idle, warm_up};
use crate::programs::Programs;
use crate::progress::Progress;
use crate::say;
use crate::scenario::{Column, Condition, Scenario, Setting};
use crate::scratch::Scratch;
use crate::statistics::whole;
use crate::syscalls::{self, Syscalls};
use crate::target::{Configuration, Ground, Origin, Running, Target};
use crate::tool::{self, Tool};

/// Everything that is printed or written.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) machine: Machine,
    pub(crate) placement: String,
    pub(crate) notes: Vec<String>,
    pub(crate) rounds: u32,
    /// The arguments as they were typed.
    pub(crate) command: String,
    pub(crate) bars: Vec<Judged>,
    pub(crate) sections: Vec<Section>,
    /// Of all sections, in the order they were measured.
    pub(crate) measurements: Vec<Measurement>,
}

/// One scenario: what stood side by side and how it was loaded.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) scenario: Scenario,
    pub(crate) title: String,
    /// The generator's command line.
    pub(crate) load: String,
    pub(crate) origin: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) notes: Vec<String>,
    pub(crate) configurations: Vec<Configuration>,
    pub(crate) syscalls: Vec<Syscalls>,
}

impl Comparison {
    /// Did every run get answers, and none but good ones? If not, the figures are worthless.
    pub(crate) fn is_sound(&self) -> bool {
        self.measurements.iter().all(|run| run.reading.failed == 0 && run.reading.requests > 0)
    }
}

/// Runs the whole comparison.
///
/// # Errors
/// Whatever keeps a figure from being measured, or a signal; everything started has ended when this returns.
pub(crate) fn compare(plan: &Plan, events: &Arc<Events>) -> Result<Comparison, Failure> {
    let programs = Programs::find(plan, events)?;
    programs.notes.iter().for_each(|note| say(note));
    let cores = Cores::find();
    let machine = Machine::look(&programs, Scratch::create()?.path(), events)?;
    let rounds = usize::try_from(plan.rounds).unwrap_or(usize::MAX);
    let columns = programs.scenarios.iter().map(|scenario| scenario.columns(&programs.targets).len());
    let progress = Progress::of(columns.sum::<usize>() * rounds);
    let mut stage = Stage { plan, programs: &programs, cores: &cores, events, progress, measurements: Vec::new() };
    let mut sections = Vec::new();
    for scenario in &programs.scenarios {
        sections.extend(stage.run(*scenario)?);
    }
    let measurements = stage.measurements;
    Ok(Comparison {
        machine,
        placement: cores.describe(),
        notes: programs.notes.clone(),
        rounds: plan.rounds,
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        bars: bars::judge(&programs.scenarios, &measurements),
        sections,
        measurements,
    })
}

/// What all scenarios share.
struct Stage<'a> {
    plan: &'a Plan,
    programs: &'a Programs,
    cores: &'a Cores,
    events: &'a Arc<Events>,
    progress: Progress,
    measurements: Vec<Measurement>,
}

impl Stage<'_> {
    /// Measures one scenario; `None` when this machine cannot.
    fn run(&mut self, scenario: Scenario) -> Result<Option<Section>, Failure> {
        let scratch = Scratch::create()?;
        for (name, text) in tool::scripts() {
            scratch.write(name, &text)?;
        }
        let mut setting = scenario.setting(self.plan, self.programs.origin);
        let mut notes = Vec::new();
        if !descriptors::suffice(&mut setting, &mut notes) {
            say(&notes.join("\n"));
            return Ok(None);
        }
        let (plan, programs, cores, events) = (self.plan, self.programs, self.cores, self.events);
        let ground = Ground { plan, programs, cores, scratch: &scratch, events, setting: &setting };
        let columns = scenario.columns(&programs.targets);
        let mut origin = Origin::start(&ground)?;
        let mut section = Section {
            scenario,
            title: scenario.title(),
            load: format!("{} connections with one request each, then silent", setting.idle),
            origin: describe(&setting, &origin),
            columns: columns.clone(),
            notes,
            configurations: origin.configurations.clone(),
            syscalls: Vec::new(),
        };
        match scenario.tool(plan) {
            Some(tool) => self.rounds(tool, &columns, &mut origin, &mut section, &ground)?,
            None => self.fresh_rounds(&columns, &mut origin, &mut section, &ground)?,
        }
        Ok(Some(section))
    }

    /// All targets run all the time; they alternate under load, so that a noisy minute hits all of them.
    fn rounds(
        &mut self,
        tool: Tool,
        columns: &[Column],
        origin: &mut Origin,
        section: &mut Section,
        ground: &Ground<'_>,
    ) -> Result<(), Failure> {
        let processes = columns.iter().filter(|column| column.condition != Condition::Idle);
        let started = processes.map(|column| Running::start(*column, origin, ground));
        let mut targets = started.collect::<Result<Vec<_>, _>>()?;
        targets.iter().try_for_each(|running| running.check(&origin.answer))?;
        section.configurations.extend(targets.iter().filter_map(|running| running.configuration.clone()));
        for running in &mut targets {
            self.progress.begin(&format!("{}: warming up {}", section.scenario.name(), running.target.name()));
            warm_up(tool, running, origin, ground)?;
        }
        let tool = self.rated(tool, &mut targets, origin, section, ground)?;
        section.load = format!("{} {}", tool.name(), tool.arguments(0, ground.setting.path, "".as_ref()).join(" "))
            .replace("127.0.0.1:0/", "127.0.0.1:PORT/")
            .replace("--port 0", "--port PORT");
        for round in 1..=ground.plan.rounds {
            for column in columns {
                let Some(running) = targets.iter_mut().find(|running| runs(running, *column)) else { continue };
                self.progress.begin(&self.line(section.scenario, *column, round));
                let measurement = measure(tool, *column, running, origin, round, ground)?;
                self.note(measurement);
            }
        }
        if matches!(section.scenario, Scenario::Keepalive | Scenario::Connection) {
            self.count_syscalls(tool, &mut targets, origin, section, ground)?;
        }
        Ok(())
    }

    /// A process of its own for each run: memory once used is seldom given back.
    fn fresh_rounds(
        &mut self,
        columns: &[Column],
        origin: &mut Origin,
        section: &mut Section,
        ground: &Ground<'_>,
    ) -> Result<(), Failure> {
        // From here on this thread is the generator.
        ground.cores.stay_beside_the_generator();
        for round in 1..=ground.plan.rounds {
            for column in columns {
                self.progress.begin(&self.line(section.scenario, *column, round));
                let mut running = Running::start(*column, origin, ground)?;
                running.check(&origin.answer)?;
                if round == 1 {
                    section.configurations.extend(running.configuration.clone());
                }
                let measurement = measure_idle(*column, &mut running, origin, round, ground)?;
                self.note(measurement);
            }
        }
        Ok(())
    }

    /// An open loop asks for a share of what the slowest proxy can do; everything else stays as it is.
    fn rated(
        &mut self,
        tool: Tool,
        targets: &mut [Running],
        origin: &mut Origin,
        section: &mut Section,
        ground: &Ground<'_>,
    ) -> Result<Tool, Failure> {
        let (Some(share), Tool::Open { connections, seconds, .. }) = (section.scenario.open_share(), tool) else {
            return Ok(tool);
        };
        let mut slowest: Option<(f64, Target)> = None;
        for running in targets.iter_mut().filter(|running| running.process.is_some()) {
            self.progress.begin(&format!("{}: capacity of {}", section.scenario.name(), running.target.name()));
            let closed = Tool::Open { connections: CAPACITY_CONNECTIONS, rate: 0, seconds: CAPACITY_SECONDS };
            let measured = measure(closed, Column::plain(running.target), running, origin, 0, ground)?;
            let rate = measured.reading.requests_per_second;
            if slowest.is_none_or(|(least, _)| rate < least) {
                slowest = Some((rate, running.target));
            }
        }
        let Some((capacity, target)) = slowest else {
            return Err(Failure::Missing(format!("{}: no proxy whose capacity to measure", section.scenario.name())));
        };
        let rate = (capacity * share).max(1.0) as u32;
        section.notes.push(format!(
            "Capacity, {CAPACITY_CONNECTIONS} connections that wait for nothing: {} requests/s ({}, the slowest proxy). \
             All are sent {} a second.",
            whole(capacity),
            target.name(),
            whole(rate.into()),
        ));
        Ok(Tool::Open { connections, rate, seconds })
    }

    fn count_syscalls(
        &mut self,
        tool: Tool,
        targets: &mut [Running],
        origin: &mut Origin,
        section: &mut Section,
        ground: &Ground<'_>,
    ) -> Result<(), Failure> {
        for running in targets {
            if !matches!(running.target, Target::Balancer | Target::Nginx) {
                continue;
            }
            self.progress.begin(&format!("{}: system calls of {}", section.scenario.name(), running.target.name()));
            match syscalls::count(tool, Column::plain(running.target), running, origin, ground)? {
                Ok(counted) => section.syscalls.push(counted),
                Err(note) => {
                    section.notes.push(note);
                    break;
                }
            }
        }
        Ok(())
    }

    fn line(&self, scenario: Scenario, column: Column, round: u32) -> String {
        format!("{} {round}/{}: {}", scenario.name(), self.plan.rounds, column.name())
    }

    fn note(&mut self, measurement: Measurement) {
        let Measurement { scenario, column, round, reading, .. } = &measurement;
        let failed = if reading.failed == 0 { String::new() } else { format!(", {} FAILED", reading.failed) };
        let figure = match measurement.bytes_per_idle_connection {
            Some(bytes) => format!("{:.2} KB a connection", bytes / 1024.0),
            None => format!("{} requests/s", whole(reading.requests_per_second)),
        };
        let line = format!("{}, {figure}{failed}", self.line(*scenario, *column, *round));
        self.progress.end(&line);
        self.measurements.push(measurement);
    }
}

/// Idle connections are to the process that is measured without them too.
fn runs(running: &Running, column: Column) -> bool {
    let condition = if column.condition == Condition::Idle { Condition::Plain } else { column.condition };
    running.is_for(Column { condition, ..column })
}

fn describe(setting: &Setting, origin: &Origin) -> String {
    let work = if setting.work_us > 0 { ", on any core" } else { "" };
    let kind = match setting.origin {
        OriginKind::Nginx => "nginx, one worker process, two endpoints".to_owned(),
        OriginKind::Backend => format!("two processes of `backend`{work}"),
    };
    format!("{kind}; answers {} bytes", whole(origin.answer.body.len() as f64))
}

const CAPACITY_CONNECTIONS: u32 = 64;
const CAPACITY_SECONDS: u32 = 2;
