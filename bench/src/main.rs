//! Direct against proxied, in one run, with the articles' own tools.
//!
//! Decides the exit code: 0 measured, 1 could not measure or requests failed, 2 wrong arguments, 130 interrupted (143
//! for TERM). Called by whoever types `cargo run --release -p bench`. Never measures: that is [`compare`].

mod arguments;
mod compare;
mod cores;
mod cpu;
mod events;
mod exchange;
mod failure;
mod guard;
mod json;
mod machine;
mod measurement;
mod plot;
mod process;
mod programs;
mod report;
mod scratch;
mod service;
mod statistics;
mod table;
mod target;
mod tool;

use std::io::{self, Write as _};
use std::process::ExitCode;

use arguments::{Command, Plan};
use events::Events;
use failure::Failure;

fn main() -> ExitCode {
    let outcome = match Command::from_command_line() {
        Command::Compare(plan) => compare(&plan),
        Command::Guard(plan) => guard(&plan),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            say(&format!("bench: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Measures and prints; `false` when requests failed, so that a script does not take such figures for good ones.
fn compare(plan: &Plan) -> Result<bool, Failure> {
    plan.json.as_deref().map_or(Ok(()), json::check)?;
    let events = Events::listen()?;
    let comparison = compare::compare(plan, &events)?;
    if let Some(path) = &plan.json {
        json::write(path, &comparison)?;
    }
    // The text is whole before its first byte is written: an interrupted run leaves no half table.
    let text = report::render(&comparison);
    print(&text)?;
    Ok(comparison.requests_failed() == 0)
}

/// Prints how the working tree stands against its base; slower is no failure.
fn guard(plan: &guard::Plan) -> Result<bool, Failure> {
    let events = Events::listen()?;
    print(&guard::guard(plan, &events)?)?;
    Ok(true)
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Failure::system("print the result", e))
}

/// One line of progress or complaint on stderr; a closed stderr is no reason to stop measuring.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
