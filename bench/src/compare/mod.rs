//! A comparison from beginning to end.
//!
//! Decides the order: find, then for each scenario start, check, warm up, measure in alternating rounds. Called by `main`.
//! Never ends a process itself: guards do, on every way out.

mod bars;
mod clocks;
mod figures;
mod found;
mod measurement;
mod pictures;
pub(crate) mod scenario;
mod syscalls;
pub(crate) mod target;
pub(crate) mod tool;
mod warnings;

use std::sync::Arc;

use crate::arguments::{OriginKind, Plan};
use crate::report::{Configuration, Layout, Report, Section, without_folders};
use crate::{
    descriptors, events::Events, failure::Failure, lab::Lab, machine::Machine, progress::Progress,
    report::figure::Figure, report::page::BARS, say, statistics::whole,
};
use figures::Runs;
use found::Found;
use measurement::{IDLE_MEMORY, Measurement, measure, measure_idle, warm_up};
use scenario::{Column, Condition, Scenario, Setting};
use target::{Origin, Running, Target};
use tool::Tool;

/// What starting anything takes; borrowed by all who start.
pub(crate) struct Ground<'a> {
    plan: &'a Plan,
    lab: &'a Lab,
    setting: &'a Setting,
}

/// One scenario: what stood side by side, how it was loaded and what came of it.
struct Measured {
    scenario: Scenario,
    columns: Vec<Column>,
    /// The generator's command line.
    load: String,
    notes: Vec<String>,
    configurations: Vec<Configuration>,
    syscalls: Vec<Figure>,
    runs: Vec<Measurement>,
}

/// Runs the whole comparison; sound where every run got answers, and none but good ones.
pub(crate) fn compare(plan: &Plan, events: &Arc<Events>) -> Result<Report, Failure> {
    let found = Found::find(plan)?;
    found.notes.iter().for_each(|note| say(note));
    let lab = Lab::with(&found.ours, &plan.builds, events)?;
    let mut head = Machine::look(&lab, &found.ours)?.lines();
    let rounds = usize::try_from(plan.rounds).unwrap_or(usize::MAX);
    let columns = found.scenarios.iter().map(|scenario| scenario.columns(&found.targets).len());
    let mut stage = Stage { plan, lab: &lab, progress: Progress::of(columns.sum::<usize>() * rounds) };
    let mut all: Vec<Measured> = Vec::new();
    for scenario in &found.scenarios {
        all.extend(stage.run(*scenario, &found)?);
    }
    drop(stage);
    head.push(format!("cores: {}", lab.cores.describe()));
    head.push(match plan.rounds {
        1 => "one round: no spread".to_owned(),
        rounds => format!("{rounds} alternating rounds: median (min–max); a ratio is taken within its round"),
    });
    let typed = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    head.push(format!("`cargo run --release -p bench -- {}`", without_folders(&typed)));
    head.extend(found.notes);
    let bars: Vec<Figure> = all.iter().flat_map(|measured| bars::judge(measured.view())).collect();
    let mut sections: Vec<Section> = all.iter().map(Measured::section).collect();
    if !bars.is_empty() {
        sections.push(Section { name: BARS.to_owned(), ..Section::of_lines(bars) });
    }
    let views: Vec<(Runs<'_>, &str)> = all.iter().map(|measured| (measured.view(), measured.load.as_str())).collect();
    let runs = || all.iter().flat_map(|measured| &measured.runs);
    Ok(Report {
        head,
        sections,
        foot: Vec::new(),
        page: None,
        drawings: pictures::of(&views)?,
        sound: runs().all(|run| run.reading.failed == 0 && run.reading.requests > 0),
        configurations: all.iter().flat_map(|measured| measured.configurations.clone()).collect(),
    })
}

impl Measured {
    fn view(&self) -> Runs<'_> {
        Runs { scenario: self.scenario, columns: &self.columns, runs: &self.runs }
    }

    fn section(&self) -> Section {
        let tool = self.runs.first().filter(|run| !run.reading.percentiles.is_empty()).map(|run| run.tool);
        let corner = tool.map_or_else(String::new, |tool| format!("{tool} latency, ms"));
        let mut groups = self.view().groups();
        groups.push(self.syscalls.clone());
        let notes = self.notes.iter().cloned().chain(warnings::of(self.view())).collect();
        let (name, title, about) = (self.scenario.name(), self.scenario.title(), self.load.clone());
        Section { name, title, about, notes, ..Section::new(Layout::Columns, corner, groups) }
    }
}

/// What all scenarios share.
struct Stage<'a> {
    plan: &'a Plan,
    lab: &'a Lab,
    progress: Progress,
}

impl Stage<'_> {
    /// Measures one scenario; `None` when this machine cannot.
    fn run(&mut self, scenario: Scenario, found: &Found) -> Result<Option<Measured>, Failure> {
        for (name, text) in tool::scripts() {
            self.lab.scratch.write(name, &text)?;
        }
        let mut setting = scenario.setting(self.plan, found.origin);
        let mut notes = Vec::new();
        if !descriptors::suffice(&mut setting, &mut notes) {
            say(&notes.join("\n"));
            return Ok(None);
        }
        let ground = Ground { plan: self.plan, lab: self.lab, setting: &setting };
        let mut origin = Origin::start(&ground)?;
        notes.push(describe(&setting, &origin));
        let mut measured = Measured {
            scenario,
            columns: scenario.columns(&found.targets),
            load: format!("{} connections with one request each, then silent", setting.idle),
            notes,
            configurations: origin.services.iter().map(|service| service.configuration()).collect(),
            syscalls: Vec::new(),
            runs: Vec::new(),
        };
        match scenario.tool(self.plan) {
            Some(tool) => self.rounds(tool, &mut origin, &mut measured, &ground)?,
            None => self.fresh_rounds(&mut origin, &mut measured, &ground)?,
        }
        Ok(Some(measured))
    }

    /// All targets run all the time; they alternate under load, so that a noisy minute hits all of them.
    fn rounds(
        &mut self,
        tool: Tool,
        origin: &mut Origin,
        measured: &mut Measured,
        ground: &Ground<'_>,
    ) -> Result<(), Failure> {
        let processes = measured.columns.iter().filter(|column| column.condition != Condition::Idle);
        let started = processes.map(|column| Running::start(*column, origin, ground));
        let mut targets = started.collect::<Result<Vec<_>, _>>()?;
        measured.configurations.extend(targets.iter().filter_map(Running::configuration));
        let name = measured.scenario.name();
        for running in &mut targets {
            self.progress.begin(&format!("{name}: warming up {}", running.target.name()));
            warm_up(tool, running, origin, ground)?;
        }
        let tool = self.rated(tool, &mut targets, origin, measured, ground)?;
        let load = format!("{} {}", tool.name(), tool.arguments(0, ground.setting.path, "".as_ref()).join(" "));
        measured.load = load.replace("127.0.0.1:0/", "127.0.0.1:PORT/").replace("--port 0", "--port PORT");
        for round in 1..=self.plan.rounds {
            for column in measured.columns.clone() {
                let condition = if column.condition == Condition::Idle { Condition::Plain } else { column.condition };
                let process = Column { condition, ..column };
                let Some(running) = targets.iter_mut().find(|running| running.is_for(process)) else { continue };
                let run = self.timed(measured.scenario, column, round, |_| {
                    measure(tool, column, running, origin, round, ground)
                })?;
                measured.runs.push(run);
            }
        }
        if matches!(measured.scenario, Scenario::Keepalive | Scenario::Connection) {
            self.count_syscalls(tool, &mut targets, origin, measured, ground)?;
        }
        Ok(())
    }

    /// A process of its own for each run: memory once used is seldom given back.
    fn fresh_rounds(
        &mut self,
        origin: &mut Origin,
        measured: &mut Measured,
        ground: &Ground<'_>,
    ) -> Result<(), Failure> {
        // From here on this thread is the generator.
        self.lab.cores.stay_beside_the_generator();
        for round in 1..=self.plan.rounds {
            for column in measured.columns.clone() {
                let mut running = Running::start(column, origin, ground)?;
                if round == 1 {
                    measured.configurations.extend(running.configuration());
                }
                let run = self.timed(measured.scenario, column, round, |_| {
                    measure_idle(column, &mut running, origin, round, ground)
                })?;
                measured.runs.push(run);
            }
        }
        Ok(())
    }

    /// Says what is measured, and what came of it.
    fn timed(
        &mut self,
        scenario: Scenario,
        column: Column,
        round: u32,
        work: impl FnOnce(&Stage<'_>) -> Result<Measurement, Failure>,
    ) -> Result<Measurement, Failure> {
        let line = format!("{} {round}/{}: {}", scenario.name(), self.plan.rounds, column.name());
        self.progress.begin(&line);
        let run = work(self)?;
        let failed = if run.reading.failed == 0 { String::new() } else { format!(", {} FAILED", run.reading.failed) };
        let figure = match run.value(IDLE_MEMORY) {
            Some(each) => format!("{each:.2} KB a connection"),
            None => format!("{} requests/s", whole(run.reading.requests_per_second)),
        };
        self.progress.end(&format!("{line}, {figure}{failed}"));
        Ok(run)
    }

    /// An open loop asks for a share of what the slowest proxy can do; everything else stays as it is.
    fn rated(
        &mut self,
        tool: Tool,
        targets: &mut [Running],
        origin: &mut Origin,
        measured: &mut Measured,
        ground: &Ground<'_>,
    ) -> Result<Tool, Failure> {
        let (Some(share), Tool::Open { connections, seconds, .. }) = (measured.scenario.open_share(), tool) else {
            return Ok(tool);
        };
        let mut slowest: Option<(f64, Target)> = None;
        for running in targets.iter_mut().filter(|running| running.service.is_some()) {
            self.progress.begin(&format!("{}: capacity of {}", measured.scenario.name(), running.target.name()));
            let closed = Tool::Open { connections: CAPACITY_CONNECTIONS, rate: 0, seconds: CAPACITY_SECONDS };
            let run = measure(closed, Column::plain(running.target), running, origin, 0, ground)?;
            let rate = run.reading.requests_per_second;
            if slowest.is_none_or(|(least, _)| rate < least) {
                slowest = Some((rate, running.target));
            }
        }
        let Some((capacity, target)) = slowest else {
            return Err(Failure::Missing(format!("{}: no proxy whose capacity to measure", measured.scenario.name())));
        };
        let rate = (capacity * share).max(1.0) as u32;
        measured.notes.push(format!(
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
        measured: &mut Measured,
        ground: &Ground<'_>,
    ) -> Result<(), Failure> {
        for running in targets.iter_mut().filter(|one| matches!(one.target, Target::Balancer | Target::Nginx)) {
            self.progress.begin(&format!("{}: system calls of {}", measured.scenario.name(), running.target.name()));
            match syscalls::count(tool, Column::plain(running.target), running, origin, ground)? {
                Ok(counted) => measured.syscalls.extend(counted),
                Err(note) => {
                    measured.notes.push(note);
                    break;
                }
            }
        }
        Ok(())
    }
}

fn describe(setting: &Setting, origin: &Origin) -> String {
    let work = if setting.work_us > 0 { ", on any core" } else { "" };
    let kind = match setting.origin {
        OriginKind::Nginx => "nginx, one worker process, two endpoints".to_owned(),
        OriginKind::Backend => format!("two processes of `backend`{work}"),
    };
    format!("Origin: {kind}; answers {} bytes.", whole(origin.answer.body.len() as f64))
}

const CAPACITY_CONNECTIONS: u32 = 64;
const CAPACITY_SECONDS: u32 = 2;
