//! `balancer demo`: the articles' set-up with the built-in worker.

use std::process::ExitCode;

use super::arguments::{count, instance_name, listen, without_file};
use super::serve::serve;
use crate::app::Origin;
use crate::config::{ListenAddress, Pool, Workers};
use crate::listen::Passed;
use crate::supervise::own_program;

/// Where and how many.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Where clients connect: 8080 for this machine alone, :8080 for every address, ADDRESS:PORT, unix:/path
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = listen)]
    listen: ListenAddress,

    /// Name of this instance, for other commands
    #[arg(long, value_name = "NAME", default_value = "demo", value_parser = instance_name)]
    name: String,

    /// How many workers: a number, or cpus
    #[arg(short = 'n', long, value_name = "N", default_value = "2", value_parser = count)]
    count: usize,

    /// Write a line for each request to stdout
    #[arg(long)]
    access_log: bool,
}

pub(super) fn run(options: &Options, passed: Passed, log_level: &str) -> ExitCode {
    // By its name, which people see; by what it is where the name is gone.
    let program = std::env::current_exe().unwrap_or_else(|_| own_program()).display().to_string();
    let workers = Workers { count: options.count, ..Workers::new(vec![program, "backend".into(), "{port}".into()]) };
    let pool = Pool { workers: Some(workers), ..Pool::new("demo") };
    serve(
        &without_file(options.listen.clone(), pool, options.access_log),
        &Origin { name: options.name.clone(), shown: "the demo's own configuration".into(), path: None },
        passed,
        log_level,
    )
}
