//! The command line: arguments → one call → a printed answer.
//!
//! Decides which command runs and with which exit code it ends. Called by `main`. Never does a command's work itself.

mod arguments;
mod ask;
mod check;
mod completions;
mod control;
mod demo;
mod list;
mod log;
mod man;
mod run;
mod serve;
mod status;
mod target;
mod text;
mod watch;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{self, Config, LoadError};
use crate::listen::Passed;
use crate::observe::printable;
use crate::supervise;

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
    /// Read the configuration again: check it, show what changes, do it, wait
    Reload(control::Reload),
    /// Replace every worker of a pool, without losing a request
    #[command(visible_alias = "roll")]
    Restart(control::Restart),
    /// Have N workers in a pool
    Scale(control::Scale),
    /// Send an endpoint no new requests, and wait until it has finished those it has
    Drain(control::Drain),
    /// Send a drained endpoint requests again
    Undrain(control::Undrain),
    /// List the running instances
    List,
    /// Stop: requests in flight finish, then the workers end
    Stop(control::Stop),
    /// Print the output of workers
    Logs(watch::Logs),
    /// Print events: workers, reloads, commands
    Events(watch::Events),
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
        Some(Command::Reload(options)) => control::reload(options, arguments.config),
        Some(Command::Restart(options)) => control::restart(options, arguments.config),
        Some(Command::Scale(options)) => control::scale(options, arguments.config),
        Some(Command::Drain(options)) => control::drain(options, arguments.config),
        Some(Command::Undrain(options)) => control::undrain(options, arguments.config),
        Some(Command::List) => list::run(),
        Some(Command::Stop(options)) => control::stop(options, arguments.config),
        Some(Command::Logs(options)) => watch::logs(options, arguments.config),
        Some(Command::Events(options)) => watch::events(options, arguments.config),
        Some(Command::Backend(options)) => match backend::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("balancer backend: {error}")),
        },
        Some(Command::Completions(options)) => completions::run(&options, &mut Arguments::command()),
        Some(Command::Man(options)) => man::run(&options, Arguments::command()),
    }
}

/// The path from the root. Links are left as they are written: where they lead is looked up at each reload and by each command, for a
/// file may be changed by changing its link (a ConfigMap of Kubernetes, `current` of a deploy).
fn whole(path: &Path) -> PathBuf {
    // What the shell calls the directory we are in, if it is that one.
    let here = std::env::var_os("PWD").map(PathBuf::from).filter(|here| here.is_absolute());
    let is_here = |here: &Path| here.canonicalize().ok().zip(std::env::current_dir().ok()).is_some_and(|(a, b)| a == b);
    match here.filter(|here| path.is_relative() && is_here(here)) {
        Some(here) => here.join(path.strip_prefix("./").unwrap_or(path)),
        None => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    }
}

/// What an instance is called that serves the file at `path`.
fn instance_name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "lb".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// The configuration a command is about, and what to call it.
fn load(given: Option<PathBuf>) -> Result<(Config, PathBuf), ExitCode> {
    let path = config_path(given);
    match config::load(&path) {
        Ok(config) => Ok((config, path)),
        Err(error) => {
            let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            say(&error.render(color));
            if let LoadError::Unreadable { cause, .. } = &error
                && cause.kind() == io::ErrorKind::NotFound
            {
                say("Name a file with --config FILE, or try `balancer demo`, which needs none.");
            }
            Err(ExitCode::from(WRONG_CONFIGURATION))
        }
    }
}

/// The file a command is about: the one that was given, else the usual one.
fn config_path(given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| {
        let here = PathBuf::from("lb.toml");
        let installed = PathBuf::from("/etc/balancer/lb.toml");
        // Where there is neither, the message names the one that is easier to write.
        if !here.exists() && installed.exists() { installed } else { here }
    })
}

/// One line on stderr, or several.
fn say(text: &str) {
    // There is nowhere left to complain to.
    let _ = writeln!(io::stderr(), "{}", printable::lines(text));
}

/// One line on stderr, and the exit code of a failure at run time.
fn fail(text: &str) -> ExitCode {
    say(text);
    ExitCode::FAILURE
}

/// Writes a command's answer to stdout. A reader that has had enough (`| head`) is no failure.
fn print(bytes: &[u8]) -> ExitCode {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(&format!("balancer: cannot write: {error}")),
        _ => ExitCode::SUCCESS,
    }
}

/// The same with what an instance has said, which may repeat others.
fn show(text: &str) -> ExitCode {
    print(printable::lines(text).as_bytes())
}

/// EX_CONFIG of sysexits.h.
const WRONG_CONFIGURATION: u8 = 78;
