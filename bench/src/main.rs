//! Direct against proxied, in one run, with the articles' own tools.
//!
//! Decides the exit code: 0 measured, 1 could not measure or requests failed, 2 wrong arguments, 130 interrupted (143
//! for TERM). Called by whoever types `cargo run --release -p bench`. Never measures: the commands do.

mod arguments;
mod compare;
mod cores;
mod cpu;
mod crowd;
mod descriptors;
mod events;
mod exchange;
mod failure;
mod footprint;
mod guard;
mod held;
mod lab;
mod load;
mod machine;
mod manner;
mod plot;
mod process;
mod programs;
mod progress;
mod proxies;
mod replace;
mod report;
mod scratch;
mod service;
mod statistics;
mod usage;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use arguments::Command;
use compare::scenario::Scenario;
use compare::tool;
use crowd::{attack, overload, supermarket};
use events::Events;
use failure::Failure;
use replace::soak;
use report::Report;
use report::files::Output;

fn main() -> ExitCode {
    let command = Command::from_command_line();
    match run(&command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            say(&format!("bench: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// `false` where a script must not take the figures for good ones.
fn run(command: &Command) -> Result<bool, Failure> {
    let named = |folder, name| Output::named(folder, name).map(Some);
    match command {
        Command::List => print(&list()).map(|()| true),
        Command::OpenLoop(given) => tool::run(given, &*Events::listen()?).and_then(|text| print(&text)).map(|()| true),
        Command::Compare(plan) => {
            let output = Output::paged(&plan.output, plan.results.as_deref(), plan.json.as_deref())?;
            measured(Some(output), |events| compare::compare(plan, events))
        }
        Command::Guard(plan) => measured(None, |events| guard::guard(plan, events)),
        Command::Instructions(one) => measured(None, |events| guard::one(one, events)),
        Command::Footprint(plan) => measured(None, |events| footprint::footprint(plan, events)),
        Command::Supermarket(plan) => {
            measured(named(&plan.asked.output(), "supermarket")?, |events| supermarket::supermarket(plan, events))
        }
        Command::Overload(plan) => {
            measured(named(&plan.asked.output(), "overload")?, |events| overload::overload(plan, events))
        }
        Command::Attack(plan) => {
            measured(named(&plan.asked.output(), "attack")?, |events| attack::attack(plan, events))
        }
        Command::Replace(plan) => measured(named(&plan.output(), "replace")?, |events| replace::replace(plan, events)),
        Command::Soak(plan) => measured(None, |events| soak::soak(plan, events)),
    }
}

/// Measures, writes and prints. The text is whole before its first byte is written: an interrupted run leaves no half table.
fn measured(
    output: Option<Output>,
    measure: impl FnOnce(&Arc<Events>) -> Result<Report, Failure>,
) -> Result<bool, Failure> {
    let report = measure(&Events::listen()?)?;
    if let Some(output) = output {
        output.write(&report)?.iter().for_each(|path| say(&format!("written: {}", path.display())));
    }
    print(&report.text())?;
    Ok(report.sound)
}

fn list() -> String {
    Scenario::all().map(|scenario| format!("{:<12} {}\n", scenario.name(), scenario.title())).collect()
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Failure::system("print the result", e))
}

/// One line of progress or complaint on stderr; a closed stderr is no reason to stop measuring.
pub(crate) fn say(line: &str) {
    if !progress::above(line) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}
