//! Which other readers this machine has: a comparison with one that is missing is ignored by name, and fails where `CI` is set.

#![allow(clippy::print_stdout, reason = "it is how a build script talks to cargo")]

use std::env;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has, values(any()))");
    println!("cargo::rerun-if-changed=build.rs");
    for variable in ["CI", "PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let has_h11 = ["/usr/bin/python3", "python3"].iter().any(|python| ends_well(python, &["-c", "import h11"]));
    for (name, is_there) in [("llhttp", ends_well("node", &["--version"])), ("h11", has_h11)] {
        if is_there || env::var_os("CI").is_some() {
            println!("cargo::rustc-cfg=has=\"{name}\"");
        }
    }
}

fn ends_well(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
