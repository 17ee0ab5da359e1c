//! The command line: arguments → one call → a printed answer.
//!
//! Decides which command runs and with which exit code it ends. Called by `main`. Never does a command's work itself.

mod advise;
mod arguments;
mod ask;
mod certificates;
mod check;
mod check_tls;
mod completions;
mod control;
mod demo;
mod doctor;
mod explain;
mod file;
mod import;
mod list;
mod log;
mod man;
mod notes;
mod rows;
mod run;
mod say;
mod serve;
mod status;
mod target;
mod text;
#[cfg(feature = "top")]
mod top;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::listen::Passed;
use crate::supervise;
use say::fail;

/// A load balancer that starts, watches and replaces the workers it balances over.
#[derive(Debug, Parser)]
#[command(name = "balancer", version, args_conflicts_with_subcommands = false, subcommand_negates_reqs = true)]
#[command(after_help = "Without a command: serve what the configuration says, in the foreground.\n\
    Try it: balancer demo, then curl http://127.0.0.1:8080 a few times.")]
struct Arguments {
    /// The configuration [default: ./lb.toml, else /etc/balancer/lb.toml]
    #[arg(long, short, value_name = "FILE", env = "BALANCER_CONFIG")]
    config: Option<PathBuf>,

    /// What to log on stderr: error, warn, info, debug, trace, or a filter as in RUST_LOG
    #[arg(long, value_name = "LEVEL", env = "RUST_LOG", default_value = "info", global = true)]
    log_level: String,

    /// Check the configuration and exit, like `check`
    #[arg(short = 't', long)]
    test: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a demonstration, no file needed: two built-in workers behind 127.0.0.1:8080
    Demo(demo::Options),
    /// Run your own program N times behind one address, no file needed
    Run(run::Options),
    /// Check the configuration: report every mistake, and warn of problems of this machine
    Check(check::Options),
    /// Show the pools, endpoints and workers of a running instance
    Status(status::Options),
    /// Show for which names there are certificates, until when, and what went wrong
    Certificates(certificates::Options),
    /// Read the configuration again: check it, show what changes, do it, wait
    Reload(control::ReloadOptions),
    /// Replace every worker of a pool, without losing a request
    #[command(visible_alias = "roll")]
    Restart(control::RestartOptions),
    /// Have N workers in a pool
    Scale(control::ScaleOptions),
    /// Send an endpoint no new requests, and wait until it has finished those it has
    Drain(control::DrainOptions),
    /// Send a drained endpoint requests again
    Undrain(control::UndrainOptions),
    /// List the running instances
    List,
    /// Stop: requests in flight finish, then the workers end
    Stop(control::StopOptions),
    /// Print the output of workers
    Logs(watch::Logs),
    /// Print events: workers, reloads, commands
    Events(watch::Events),
    /// Why a request went as it did: its route, attempts and times, by its id; without one, the last that failed
    Explain(explain::Options),
    /// What this machine would trip over: limits, ports, memory, CPUs, clock, DNS; each with what to type
    Doctor(doctor::Options),
    /// What the next seconds of a running instance advise: workers or slots for a wished wait, the slow endpoint
    Advise(advise::Options),
    /// A running instance, live: endpoints, queues and events, with keys to sort, filter, drain and restart
    #[cfg(feature = "top")]
    Top(top::Options),
    /// Write another program's file as an lb.toml to stdout, with a comment for each thing that has no counterpart
    Import(import::Options),
    /// The built-in worker: the small HTTP server the demo starts
    Backend(backend::Options),
    /// Print completions for a shell
    Completions(completions::Options),
    /// Print a page of the manual, or write all of them
    Man(man::Options),
}

/// Runs the program for the process's arguments; the result is its exit code.
pub fn main() -> ExitCode {
    supervise::unblock_signals();
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == supervise::SHIM_COMMAND) {
        return supervise::exec_shim(arguments);
    }
    // Before anything else is opened.
    let passed = Passed::to_this_process();
    let arguments = Arguments::parse();
    let log_level = arguments.log_level.as_str();
    match arguments.command {
        None if arguments.test => check::run(arguments.config, passed),
        None => serve::run(arguments.config, passed, log_level),
        Some(Command::Demo(options)) => demo::run(&options, passed, log_level),
        Some(Command::Run(options)) => run::run(&options, passed, log_level),
        Some(Command::Check(options)) => check::run(options.config.or(arguments.config), passed),
        Some(Command::Status(options)) => status::run(options, arguments.config),
        Some(Command::Certificates(options)) => certificates::run(options, arguments.config),
        Some(Command::Reload(options)) => control::reload(options, arguments.config),
        Some(Command::Restart(options)) => control::restart(options, arguments.config),
        Some(Command::Scale(options)) => control::scale(options, arguments.config),
        Some(Command::Drain(options)) => control::drain(options, arguments.config),
        Some(Command::Undrain(options)) => control::undrain(options, arguments.config),
        Some(Command::List) => list::run(),
        Some(Command::Stop(options)) => control::stop(options, arguments.config),
        Some(Command::Logs(options)) => watch::logs(options, arguments.config),
        Some(Command::Events(options)) => watch::events(options, arguments.config),
        Some(Command::Explain(options)) => explain::run(options, arguments.config),
        Some(Command::Doctor(options)) => doctor::run(options, arguments.config),
        Some(Command::Advise(options)) => advise::run(options, arguments.config),
        #[cfg(feature = "top")]
        Some(Command::Top(options)) => top::run(options, arguments.config),
        Some(Command::Import(options)) => import::run(&options),
        Some(Command::Backend(options)) if options.check().is_err() => {
            say::say(&format!("balancer backend: {}", options.check().err().unwrap_or_default()));
            ExitCode::from(say::WRONG_ARGUMENTS)
        }
        Some(Command::Backend(options)) => match backend::run(&options, passed.into_first()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("balancer backend: {error}")),
        },
        Some(Command::Completions(options)) => completions::run(&options, &mut Arguments::command()),
        Some(Command::Man(options)) => man::run(&options, Arguments::command()),
    }
}
