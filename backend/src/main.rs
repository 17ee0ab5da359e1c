//! The program `backend`: arguments → [`backend::run`] → exit code (0 drained, 1 run-time failure, 2 wrong arguments).

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Before anything else is opened.
    let passed =
        sd_listen_fds::get().unwrap_or_default().into_iter().next().map(|(_, descriptor)| descriptor.into_std());
    let options = Arguments::parse().options;
    if let Err(why) = options.check() {
        let _ = writeln!(std::io::stderr(), "backend: {why}");
        return ExitCode::from(WRONG_ARGUMENTS);
    }
    match backend::run(&options, passed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With stderr closed there is nobody left to tell; the exit code still says it.
            let _ = writeln!(std::io::stderr(), "backend: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A worker: a small HTTP/1.1 server that names itself, echoes, streams, and fails on request
#[derive(Parser)]
#[command(name = "backend", version)]
struct Arguments {
    #[command(flatten)]
    options: backend::Options,
}

const WRONG_ARGUMENTS: u8 = 2;
