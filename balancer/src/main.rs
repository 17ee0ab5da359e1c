//! The program.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(first) if first == balancer::supervise::SHIM_COMMAND => balancer::supervise::exec_shim(args),
        _ => ExitCode::from(2),
    }
}
