//! `balancer run -n 4 -- CMD {port}`: your own program, no file needed.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::ValueEnum;

use super::say;
use super::serve::{WRONG_ARGUMENTS, serve};
use crate::app::Origin;
use crate::config::{Config, ListenAddress, Policy, Pool, Workers};

/// What to run, how often and where.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How many workers
    #[arg(short = 'n', long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,

    /// Where clients connect
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// How a worker is picked
    #[arg(long, value_enum, default_value = "round_robin")]
    policy: PolicyName,

    /// Port of the first worker, the others follow [default: free ports]
    #[arg(long, value_name = "PORT")]
    first_port: Option<u16>,

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

pub(super) fn run(options: &Options, log_level: &str) -> ExitCode {
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
    let workers = Workers {
        count: options.count.into(),
        first_port: options.first_port,
        socket,
        ..Workers::new(options.command.clone())
    };
    let pool = Pool { policy, workers: Some(workers), ..Pool::new("app") };
    serve(
        &Config::new(ListenAddress::Tcp(options.listen), pool),
        &Origin { name: "run".into(), shown: "the command line".into(), path: None },
        log_level,
    )
}
