//! `balancer man`.

use std::process::ExitCode;

use clap::Command;

use super::{fail, print};

pub(super) fn run(command: Command) -> ExitCode {
    let mut page = Vec::new();
    match clap_mangen::Man::new(command).render(&mut page) {
        Ok(()) => print(&page),
        Err(error) => fail(&format!("balancer: {error}")),
    }
}
