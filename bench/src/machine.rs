//! What the figures were measured on and with.
//!
//! Decides what is told about machine and programs. Called by [`crate::compare`]. Never fails: what cannot be learned is
//! called unknown.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde::Serialize;

use crate::programs::Programs;

/// Machine and versions, as printed at the head of the result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// Of every program that takes part, in a line each.
    pub(crate) versions: Vec<String>,
}

impl Machine {
    pub(crate) fn look(programs: &Programs) -> Machine {
        let asked = [
            (Some(&programs.ab), "-V"),
            (Some(&programs.wrk), "-v"),
            (programs.nginx.as_ref(), "-v"),
            (programs.balancer.as_ref(), "--version"),
            (programs.backend.as_ref(), "--version"),
        ];
        let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| cpu_model(&text));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
        Machine {
            cpu: cpu.unwrap_or_else(|| "unknown CPU".to_owned()),
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: kernel.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned()),
            versions: asked.into_iter().filter_map(|(path, option)| Some(version(path?, option))).collect(),
        }
    }
}

/// The first line a program says about itself, on whichever stream.
fn version(program: &Path, option: &str) -> String {
    let name = program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let Ok(output) = Command::new(program).arg(option).output() else { return format!("{name}: unknown version") };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    match text.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!("{name}: {line}"),
        None => format!("{name}: unknown version"),
    }
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    // x86 has "model name"; ARM names no model, only its implementer and part.
    let value = |label: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(label))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    value("model name")
        .or_else(|| Some(format!("CPU implementer {} part {}", value("CPU implementer")?, value("CPU part")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_named() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: AMD EPYC\n"), Some("AMD EPYC".to_owned()));
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert_eq!(cpu_model(arm), Some("CPU implementer 0x41 part 0xd0c".to_owned()));
        assert_eq!(cpu_model(""), None);
    }

    #[test]
    fn a_version_is_one_line_or_unknown() {
        assert!(version("/bin/sh".as_ref(), "--no-such-option").starts_with("sh: "));
        assert_eq!(version("/no/such/program".as_ref(), "-v"), "program: unknown version");
    }
}
