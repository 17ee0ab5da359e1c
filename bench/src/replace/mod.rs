//! Replace anything without losing a request: what is promised, with real workers, under load.
//!
//! Decides the order: scenario by scenario, kind of worker by kind. Called by `main`. Never calls a missed bar a failure of its own: it
//! is what the table is for.

mod ask;
mod death;
mod kind;
mod memory;
mod schedule;
mod site;
pub(crate) mod soak;
mod tally;
mod traffic;
mod tunnels;
mod warm_up;

use std::time::{Duration, Instant};
use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};

use crate::arguments::{default_output, name_of, whole_seconds};
use crate::report::{Layout, Report, Section};
use crate::{descriptors, events::Events, failure::Failure, lab::Builds, progress::Progress, report::figure::Figure};
use kind::{Kind, Program};
use site::{Ground, Site};

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
    #[command(flatten)]
    builds: Builds,
    /// Where replace.json and replace.csv go [default: bench/results]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// What is done to the workers, or to the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
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

/// What was seen of one scenario with one kind of worker.
#[derive(Debug, Default)]
struct Row {
    figures: Vec<Figure>,
    /// What a figure does not say.
    notes: Vec<String>,
}

impl Plan {
    /// Where the files go.
    pub(crate) fn output(&self) -> PathBuf {
        self.output.clone().unwrap_or_else(default_output)
    }
}

/// Tries all; sound where all could be tried, whether or not a bar is missed.
pub(crate) fn replace(plan: &Plan, events: &Arc<Events>) -> Result<Report, Failure> {
    let ground = Ground::find(&plan.builds, &plan.workers, plan.connections, events)?;
    descriptors::raise(DESCRIPTORS);
    let wanted = |one: &Scenario| plan.scenario.is_empty() || plan.scenario.contains(one);
    let scenarios: Vec<Scenario> = Scenario::value_variants().iter().copied().filter(wanted).collect();
    let mut progress = Progress::of(scenarios.len() * ground.programs.len());
    let (mut groups, mut notes, mut sound) = (Vec::new(), Vec::new(), true);
    for scenario in scenarios {
        for program in &ground.programs {
            let name = format!("{} × {}", name_of(&scenario), program.kind.name());
            progress.begin(&name);
            let begun = Instant::now();
            match scenario.run(&ground, program, plan.duration) {
                Ok(row) => {
                    let figures: Vec<Figure> = row.figures.into_iter().map(|figure| figure.of(&name)).collect();
                    progress.end(&format!("{name}, {} s: {}", begun.elapsed().as_secs(), verdict(&figures)));
                    groups.push(figures);
                    notes.extend(row.notes.into_iter().map(|note| format!("{name}: {note}")));
                }
                Err(interrupted @ Failure::Interrupted(_)) => return Err(interrupted),
                Err(failure) => {
                    progress.end(&format!("{name}: could not be tried: {failure}"));
                    notes.push(format!("!!! {name} could not be tried: {failure}"));
                    sound = false;
                }
            }
        }
    }
    drop(progress);
    let head = format!(
        "{} s each, {} clients, GETs and POSTs in turn at 80 % of what was measured first",
        plan.duration.as_secs(),
        plan.connections
    );
    let section = Section { notes, ..Section::new(Layout::Lines, "", groups) };
    let mut report = Report { sound, ..Report::of(vec![head], section) };
    report.foot.push(report.bars());
    Ok(report)
}

fn verdict(figures: &[Figure]) -> String {
    let missed = figures.iter().filter(|figure| figure.is_missed());
    let missed: Vec<String> = missed.map(|figure| format!("{}: {}", figure.what, figure.text_with_unit())).collect();
    if missed.is_empty() { "all bars held".to_owned() } else { format!("MISSED {}", missed.join(", ")) }
}

impl Scenario {
    fn run(self, ground: &Ground, program: &Program, time: Duration) -> Result<Row, Failure> {
        let site = |setup| Site::start(ground, program, setup, "");
        match self {
            Scenario::Roll => traffic::roll(&site(traffic::ROLL)?, time),
            Scenario::Reload => traffic::reload(&site(traffic::RELOAD)?, time),
            Scenario::Kill => traffic::kill_workers(&site(traffic::KILL)?, time),
            Scenario::Scale => traffic::scale(&site(traffic::SCALE)?, time),
            Scenario::Tunnels => tunnels::tunnels(ground, program, time),
            Scenario::WarmUp => warm_up::warm_up(ground, program, time),
            Scenario::Memory => memory::memory(ground, program, time),
            Scenario::Death => death::death(ground, program, time),
        }
    }
}

/// Tunnels at both ends, and connections of the load.
const DESCRIPTORS: u64 = 8_192;
