//! `balancer run -n 4 -- CMD {port}`: your own program, no file needed.

use std::process::ExitCode;

use clap::ValueEnum;

use super::arguments::{count, instance_name, listen, without_file};
use super::say::{WRONG_ARGUMENTS, say};
use super::serve::serve;
use crate::app::Origin;
use crate::config::{Buffers, ListenAddress, Policy, Pool, Slots, Workers, nearest};
use crate::listen::Passed;
use crate::supervise::{ProgramError, find_program};

/// What to run, how often and where.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How many workers: a number, or cpus
    #[arg(short = 'n', long, value_name = "N", default_value = "2", value_parser = count)]
    count: usize,

    /// Where clients connect: 8080 for this machine alone, :8080 for every address, ADDRESS:PORT, unix:/path
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = listen)]
    listen: ListenAddress,

    /// Name of this instance, for other commands
    #[arg(long, value_name = "NAME", default_value = "run", value_parser = instance_name)]
    name: String,

    /// Requests at once for each worker, the others wait: 1 for a program that does one thing at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    slots: Option<u16>,

    /// How a worker is picked
    #[arg(long, value_enum, default_value = "round_robin")]
    policy: PolicyName,

    /// Port of the first worker, the others follow [default: free ports]
    #[arg(long, value_name = "PORT")]
    first_port: Option<u16>,

    /// Write a line for each request to stdout
    #[arg(long)]
    access_log: bool,

    /// The program and its arguments; {port} and {index} are filled in, PORT and INSTANCE_ID are set too. With {socket},
    /// workers listen on Unix sockets instead, and SOCKET is set
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<String>,
}

/// A policy that needs nothing else said.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum PolicyName {
    RoundRobin,
    LeastConnections,
    TwoChoices,
    Random,
}

pub(super) fn run(options: &Options, passed: Passed, log_level: &str) -> ExitCode {
    let policy = match options.policy {
        PolicyName::RoundRobin => Policy::RoundRobin,
        PolicyName::LeastConnections => Policy::LeastConnections,
        PolicyName::TwoChoices => Policy::TwoChoices,
        PolicyName::Random => Policy::Random,
    };
    let has = |mark: &str| options.command.iter().any(|argument| argument.contains(mark));
    let socket = has("{socket}");
    if socket && (has("{port}") || options.first_port.is_some()) {
        say("balancer run: workers listen on a {socket} or on a {port}, not on both");
        return ExitCode::from(WRONG_ARGUMENTS);
    }
    if let Err(code) = there_is_a_program(&options.command) {
        return code;
    }
    let workers = Workers {
        count: options.count,
        first_port: options.first_port,
        socket,
        ..Workers::new(options.command.clone())
    };
    let slots = options.slots.map(|count| Slots::new(count.into()));
    let buffers = Buffers::with_slots(slots.is_some());
    let pool = Pool { policy, slots, buffers, workers: Some(workers), ..Pool::new("app") };
    serve(
        &without_file(options.listen.clone(), pool, options.access_log),
        &Origin { name: options.name.clone(), shown: "the command line".into(), path: None },
        passed,
        log_level,
    )
}

/// Whether there is something to run; told as a shell tells it, with its exit codes.
fn there_is_a_program(command: &[String]) -> Result<(), ExitCode> {
    let Some(program) = command.first() else { return Ok(()) };
    let is_separated = std::env::args_os().any(|argument| argument == "--");
    let options = options();
    let is_option =
        |argument: &str| options.iter().any(|known| known == argument.split('=').next().unwrap_or_default());
    if !is_separated && program.starts_with('-') {
        let name = program.split('=').next().unwrap_or_default();
        let hint = match nearest(name, options.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", options.join(", ")),
        };
        say(&format!("error: unexpected argument '{name}'; {hint}"));
        return Err(ExitCode::from(WRONG_ARGUMENTS));
    }
    // Some programs have options of the same name, so it is theirs; but it is rarely meant so.
    let behind = command.iter().skip(1).filter(|_| !is_separated);
    for option in behind.filter(|argument| is_option(argument)) {
        say(&format!(
            "warning: {option} stands behind the command, so {program} gets it; did you mean balancer run {option} … \
             {program}? With -- in front of the command it is {program}'s"
        ));
    }
    if program.contains('{') {
        return Ok(());
    }
    find_program(program, None, std::env::var_os("PATH").as_deref()).map(drop).map_err(|error| {
        let is_there = !matches!(error, ProgramError::NotFound { .. });
        say(&match is_there || program.contains('/') {
            true => format!("error: {error}"),
            false => format!("error: {program}: command not found"),
        });
        ExitCode::from(if is_there { CANNOT_EXECUTE } else { NOT_FOUND })
    })
}

/// What stands in front of the command: `--count`, ….
fn options() -> Vec<String> {
    let command = <Options as clap::Args>::augment_args(clap::Command::new("run"));
    command.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect()
}

/// Of a shell that finds a program and may not execute it, and of one that finds none.
const CANNOT_EXECUTE: u8 = 126;
const NOT_FOUND: u8 = 127;
