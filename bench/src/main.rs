//! Direct against proxied, in one run, with the articles' own tools.
//!
//! Decides the exit code: 0 measured, 1 could not measure or requests failed, 2 wrong arguments, 130 interrupted (143
//! for TERM). Called by whoever types `cargo run --release -p bench`. Never measures: that is [`compare`].

mod arguments;
mod attack;
mod bars;
mod clocks;
mod compare;
mod cores;
mod cpu;
mod crowd;
mod descriptors;
mod events;
mod exchange;
mod failure;
mod figure;
mod footprint;
mod guard;
mod idle;
mod machine;
mod manner;
mod measurement;
mod open_loop;
mod output;
mod overload;
mod pictures;
mod plot;
mod process;
mod programs;
mod progress;
mod replace;
mod report;
mod scenario;
mod scratch;
mod service;
mod side;
mod statistics;
mod supermarket;
mod syscalls;
mod table;
mod target;
mod tool;
mod usage;

use std::io::{self, Write as _};
use std::process::ExitCode;

use arguments::{Command, Plan};
use events::Events;
use failure::Failure;
use output::Output;
use replace::soak;
use scenario::Scenario;

fn main() -> ExitCode {
    let outcome = match Command::from_command_line() {
        Command::Compare(plan) => compare(&plan),
        Command::Guard(plan) => guard(&plan),
        Command::Instructions(one) => instructions(&one),
        Command::Footprint(plan) => footprint(&plan),
        Command::Supermarket(plan) => supermarket(&plan),
        Command::Overload(plan) => overload(&plan),
        Command::Attack(plan) => attack(&plan),
        Command::Replace(plan) => replace(&plan),
        Command::Soak(plan) => soak(&plan),
        Command::List => print(&list()).map(|()| true),
        Command::OpenLoop(given) => open_loop::run(&given).and_then(|report| print(&report.to_string())).map(|()| true),
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

/// Measures, writes and prints; `false` when requests failed, so that a script does not take such figures for good ones.
fn compare(plan: &Plan) -> Result<bool, Failure> {
    let output = Output::check(plan)?;
    let events = Events::listen()?;
    let comparison = compare::compare(plan, &events)?;
    let (json, drawings) = (report::json(&comparison)?, pictures::of(&comparison));
    let page = report::page(&comparison, &drawings);
    let written = output.write(&page, &json, &report::csv(&comparison), &drawings)?;
    // The text is whole before its first byte is written: an interrupted run leaves no half table.
    print(&report::render(&comparison))?;
    written.iter().for_each(|path| say(&format!("written: {}", path.display())));
    Ok(comparison.is_sound())
}

/// Prints how the working tree stands against its base; slower is no failure.
fn guard(plan: &guard::Plan) -> Result<bool, Failure> {
    let events = Events::listen()?;
    print(&guard::guard(plan, &events)?)?;
    Ok(true)
}

/// Prints what a request costs one program.
fn instructions(one: &guard::One) -> Result<bool, Failure> {
    let events = Events::listen()?;
    print(&guard::one(one, &events)?).map(|()| true)
}

/// Prints what a balancer spends; the verdict is the reader's.
fn footprint(plan: &footprint::Plan) -> Result<bool, Failure> {
    let events = Events::listen()?;
    print(&footprint::footprint(plan, &events)?).map(|()| true)
}

/// Prints how long a crowd waited; `false` when somebody was not served.
fn supermarket(plan: &supermarket::Plan) -> Result<bool, Failure> {
    let events = Events::listen()?;
    let (text, all_served) = supermarket::supermarket(plan, &events)?;
    print(&text).map(|()| all_served)
}

/// Prints what was still done; that some are refused is what it is about.
fn overload(plan: &overload::Plan) -> Result<bool, Failure> {
    let events = Events::listen()?;
    print(&overload::overload(plan, &events)?).map(|()| true)
}

/// Prints what a good client noticed; `false` when it was not served.
fn attack(plan: &attack::Plan) -> Result<bool, Failure> {
    let events = Events::listen()?;
    let (text, all_served) = attack::attack(plan, &events)?;
    print(&text).map(|()| all_served)
}

/// Prints what was promised and what was seen; `false` when something could not be tried.
fn replace(plan: &replace::Plan) -> Result<bool, Failure> {
    let events = Events::listen()?;
    let (text, all_tried) = replace::replace(plan, &events)?;
    print(&text).map(|()| all_tried)
}

/// Prints what failed and what grew; `false` when something did that nobody can explain.
fn soak(plan: &soak::Plan) -> Result<bool, Failure> {
    let events = Events::listen()?;
    let (text, is_sound) = soak::soak(plan, &events)?;
    print(&text).map(|()| is_sound)
}

fn list() -> String {
    Scenario::ALL.iter().map(|scenario| format!("{:<12} {}\n", scenario.name(), scenario.title())).collect()
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Failure::system("print the result", e))
}

/// One line of progress or complaint on stderr; a closed stderr is no reason to stop measuring.
pub(crate) fn say(line: &str) {
    progress::clear();
    let _ = writeln!(io::stderr().lock(), "{line}");
}
