//! What tests need of this machine and it may lack: a test that cannot run here is ignored by name, `#[cfg_attr(not(has = "curl"), ignore = "needs curl")]`.
//! Where `CI` is set everything has to be there: then none is ignored, and what lacks something fails.

#![allow(clippy::print_stdout, reason = "it is how a build script talks to cargo")]

use std::env;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has, values(any()))");
    println!("cargo::rerun-if-changed=build.rs");
    for variable in ["CI", "PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let needs_all = env::var_os("CI").is_some();
    let tools = TOOLS.iter().map(|tool| (*tool, is_installed(tool)));
    let others = [
        ("root", std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)),
        ("grpc", ends_well(&["/usr/bin/python3", "-c", "import grpc"])),
        ("ipv6", TcpListener::bind("[::1]:0").is_ok()),
        ("mounts of its own", ends_well(&["unshare", "--mount", "true"])),
        ("users of its own", ends_well(&["unshare", "--user", "--map-root-user", "--mount", "true"])),
        ("processes of its own", ends_well(&["unshare", "-pf", "--mount-proc", "true"])),
    ];
    for (name, is_there) in tools.chain(others) {
        if is_there || needs_all {
            println!("cargo::rustc-cfg=has=\"{name}\"");
        }
    }
}

fn is_installed(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

fn ends_well(command: &[&str]) -> bool {
    let status = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Programs that tests run.
const TOOLS: &[&str] = &[
    "ab",
    "apache2",
    "chromedriver",
    "curl",
    "gunicorn",
    "h2load",
    "ip",
    "iptables",
    "javac",
    "logrotate",
    "man",
    "nginx",
    "node",
    "pebble",
    "php",
    "prometheus",
    "promtool",
    "puma",
    "python3",
    "script",
    "setpriv",
    "systemd-analyze",
    "systemd-socket-activate",
    "systemd-sysusers",
    "uvicorn",
    "wrk",
];
