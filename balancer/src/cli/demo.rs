//! `balancer demo`: the articles' set-up with the built-in worker.

use std::net::SocketAddr;
use std::process::ExitCode;

use super::serve::serve;
use crate::app::Origin;
use crate::config::{Config, ListenAddress, Pool, Workers};
use crate::supervise::own_program;

/// Where and how many.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Where clients connect
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// How many workers
    #[arg(short = 'n', long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
}

pub(super) fn run(options: &Options, log_level: &str) -> ExitCode {
    // By its name, which people see; by what it is where the name is gone.
    let program = std::env::current_exe().unwrap_or_else(|_| own_program()).display().to_string();
    let workers =
        Workers { count: options.count.into(), ..Workers::new(vec![program, "backend".into(), "{port}".into()]) };
    let pool = Pool { workers: Some(workers), ..Pool::new("demo") };
    serve(
        &Config::new(ListenAddress::Tcp(options.listen), pool),
        &Origin { name: "demo".into(), shown: "the demo's own configuration".into(), path: None },
        log_level,
    )
}
