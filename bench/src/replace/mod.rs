//! Replace anything without losing a request: what is promised, with real workers, under load.
//!
//! Decides the order: scenario by scenario, kind of worker by kind. Called by `main`. Never calls a missed bar a failure of its own: it
//! is what the table is for.

mod death;
mod finding;
mod kind;
mod load;
mod memory;
mod report;
mod schedule;
mod site;
pub(crate) mod soak;
mod status;
mod tally;
mod traffic;
mod tunnels;
mod warm_up;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::arguments::{default_output, whole_seconds};
use crate::crowd::output::Output;
use crate::descriptors;
use crate::events::Events;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::say;
use finding::Finding;
use kind::{Kind, Program};
use site::{Ground, Site};
use tally::Tally;

/// The arguments of `replace`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// What to try [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// What the workers are written in [default: all that are installed]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    workers: Vec<Kind>,
    /// How long each scenario goes on for each kind of worker, whole seconds or minutes
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = whole_seconds)]
    duration: Duration,
    /// Clients, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// The balancer to try [default: this workspace's, built when needed]
    #[arg(long, value_name = "PATH")]
    balancer: Option<PathBuf>,
    /// The built-in worker [default: this workspace's, built when needed]
    #[arg(long, value_name = "PATH")]
    backend: Option<PathBuf>,
    /// Where replace.json and replace.csv go [default: bench/results]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// What is done to the workers, or to the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Scenario {
    /// `balancer restart` again and again, under load
    Roll,
    /// The file changes every 2 s and is read again: policy, weights, numbers, pools, routes; under load
    Reload,
    /// A worker is killed every 5 s, under load
    Kill,
    /// 4, 1, 8, 2 workers again and again, under load
    Scale,
    /// 500 tunnels through 100 reloads that do not concern them
    Tunnels,
    /// Workers whose first 20 requests take 2 s more are rolled, with a warm-up
    WarmUp,
    /// Processes and memory while 4 workers are rolled
    Memory,
    /// The balancer is killed; a request kills whoever gets it
    Death,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Replace {
    seconds: u64,
    connections: u32,
    rows: Vec<Outcome>,
}

/// One scenario with one kind of worker.
#[derive(Debug, Serialize)]
struct Outcome {
    scenario: Scenario,
    workers: Kind,
    #[serde(flatten)]
    row: Row,
    /// Why it could not be tried to its end.
    failure: Option<String>,
}

/// What was seen.
#[derive(Debug, Default, Serialize)]
struct Row {
    findings: Vec<Finding>,
    tally: Option<Tally>,
    /// Latency that 99 % of the requests that ended in each second did not exceed, ms: where in time the slow ones are.
    p99_by_second: Vec<f64>,
    /// What a figure does not say.
    notes: Vec<String>,
}

/// Tries all, writes the files and returns the text, and whether all could be tried.
///
/// # Errors
/// Whatever keeps it from beginning, or a signal; everything started has ended when this returns.
pub(crate) fn replace(plan: &Plan, events: &Arc<Events>) -> Result<(String, bool), Failure> {
    let output = Output::check(&plan.output.clone().unwrap_or_else(default_output), "replace")?;
    let given = [plan.balancer.as_deref(), plan.backend.as_deref()];
    let ground = Ground::find(given, &plan.workers, plan.connections, events)?;
    descriptors::raise(DESCRIPTORS);
    let scenarios: Vec<Scenario> = Scenario::value_variants().iter().copied().filter(|one| plan.wants(*one)).collect();
    let mut progress = Progress::of(scenarios.len() * ground.programs.len());
    let mut rows = Vec::new();
    for scenario in scenarios {
        for program in &ground.programs {
            progress.begin(&format!("{} × {}", scenario.name(), program.kind.name()));
            let begun = Instant::now();
            let (row, failure) = match scenario.run(&ground, program, plan.duration) {
                Ok(row) => (row, None),
                Err(interrupted @ Failure::Interrupted(_)) => return Err(interrupted),
                Err(failure) => (Row::default(), Some(failure.to_string())),
            };
            let outcome = Outcome { scenario, workers: program.kind, row, failure };
            progress.end(&report::progress(&outcome, begun.elapsed()));
            rows.push(outcome);
        }
    }
    drop(progress);
    let all = Replace { seconds: plan.duration.as_secs(), connections: plan.connections, rows };
    let written = output.write(&all, &report::csv(&all), &[])?;
    written.iter().for_each(|path| say(&format!("written: {}", path.display())));
    Ok((report::render(&all), all.rows.iter().all(|outcome| outcome.failure.is_none())))
}

impl Plan {
    fn wants(&self, scenario: Scenario) -> bool {
        self.scenario.is_empty() || self.scenario.contains(&scenario)
    }
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Scenario::Roll => "roll",
            Scenario::Reload => "reload",
            Scenario::Kill => "kill",
            Scenario::Scale => "scale",
            Scenario::Tunnels => "tunnels",
            Scenario::WarmUp => "warm-up",
            Scenario::Memory => "memory",
            Scenario::Death => "death",
        }
    }

    fn run(self, ground: &Ground, program: &Program, time: Duration) -> Result<Row, Failure> {
        match self {
            Scenario::Roll => traffic::roll(&Site::start(ground, program, traffic::ROLL, "")?, time),
            Scenario::Reload => traffic::reload(&Site::start(ground, program, traffic::RELOAD, "")?, time),
            Scenario::Kill => traffic::kill_workers(&Site::start(ground, program, traffic::KILL, "")?, time),
            Scenario::Scale => traffic::scale(&Site::start(ground, program, traffic::SCALE, "")?, time),
            Scenario::Tunnels => tunnels::tunnels(ground, program, time),
            Scenario::WarmUp => warm_up::warm_up(ground, program, time),
            Scenario::Memory => memory::memory(ground, program, time),
            Scenario::Death => death::death(ground, program, time),
        }
    }
}

/// Tunnels at both ends, and connections of the load.
const DESCRIPTORS: u64 = 8_192;
