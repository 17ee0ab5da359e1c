//! Direct against proxied, in one run, with the articles' own tools.
//!
//! Decides the exit code: 0 measured, 1 could not measure or requests failed, 2 wrong arguments, 130 interrupted (143
//! for TERM). Called by whoever types `cargo run --release -p bench`. Never measures: the commands do.

mod arguments;
mod articles;
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
use std::{process::ExitCode, sync::Arc};

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

/// Measures, writes and prints; `false` where a script must not take the figures for good ones. The text is whole before its
/// first byte is written: an interrupted run leaves no half table.
fn run(command: &Command) -> Result<bool, Failure> {
    match command {
        Command::List => return print(&list()).map(|()| true),
        Command::OpenLoop(given) => {
            return tool::run(given, &*Events::listen()?).and_then(|text| print(&text)).map(|()| true);
        }
        _ => {}
    }
    // Whether files can be written is better asked before minutes of measuring than after.
    let output = output(command)?;
    let report = measure(command, &Events::listen()?)?;
    if let Some(output) = output {
        output.write(&report)?.iter().for_each(|path| say(&format!("written: {}", path.display())));
    }
    print(&report.text())?;
    Ok(report.sound)
}

/// Where a command's files go; `None` of one that has none.
fn output(command: &Command) -> Result<Option<Output>, Failure> {
    Ok(Some(match command {
        Command::Compare(plan) => {
            Output::paged(&plan.output, ["results", "RESULTS.md", ""], plan.results.as_deref(), plan.json.as_deref())?
        }
        Command::Articles(plan) => {
            Output::paged(&plan.output(), ["articles", "ARTICLES.md", "articles-"], plan.results.as_deref(), None)?
        }
        Command::Supermarket(plan) => Output::named(&plan.asked.output(), "supermarket")?,
        Command::Overload(plan) => Output::named(&plan.asked.output(), "overload")?,
        Command::Attack(plan) => Output::named(&plan.asked.output(), "attack")?,
        Command::Replace(plan) => Output::named(&plan.output(), "replace")?,
        _ => return Ok(None),
    }))
}

/// What a command measures.
pub(crate) fn measure(command: &Command, events: &Arc<Events>) -> Result<Report, Failure> {
    match command {
        Command::Compare(plan) => compare::compare(plan, events),
        Command::Guard(plan) => guard::guard(plan, events),
        Command::Instructions(one) => guard::one(one, events),
        Command::Footprint(plan) => footprint::footprint(plan, events),
        Command::Supermarket(plan) => supermarket::supermarket(plan, events),
        Command::Overload(plan) => overload::overload(plan, events),
        Command::Attack(plan) => attack::attack(plan, events),
        Command::Replace(plan) => replace::replace(plan, events),
        Command::Soak(plan) => soak::soak(plan, events),
        Command::Articles(plan) => articles::articles(plan, events),
        Command::List | Command::OpenLoop(_) => Err(Failure::Missing("nothing to measure".to_owned())),
    }
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
