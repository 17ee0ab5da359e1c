//! `balancer completions SHELL`.

use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use super::say::print;

/// For which shell.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// bash, elvish, fish, powershell or zsh
    shell: Shell,
}

pub(super) fn run(options: &Options, command: &mut Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, command, "balancer", &mut script);
    print(&script)
}
