//! What the figures were measured on and with.
//!
//! Decides what is told about machine and programs. Called by [`crate::compare`]. What cannot be learned is
//! called unknown, never guessed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::events::Events;
use crate::failure::Failure;
use crate::process::Process;
use crate::programs::Programs;

/// Machine and versions, as printed at the head of the result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// When the run began, UTC: "2026-07-02 18:30".
    pub(crate) date: String,
    /// Of every program that takes part, in a line each.
    pub(crate) versions: Vec<String>,
}

impl Machine {
    /// # Errors
    /// Only a signal, or a full disk under `folder`, where programs' answers go.
    pub(crate) fn look(programs: &Programs, folder: &Path, events: &Arc<Events>) -> Result<Machine, Failure> {
        let asked = [
            (programs.ab.as_ref(), "-V"),
            (programs.wrk.as_ref(), "-v"),
            (programs.nginx.as_ref(), "-v"),
            (programs.haproxy.as_ref(), "-v"),
            (programs.strace.as_ref(), "-V"),
            (programs.balancer.as_ref(), "--version"),
            (programs.backend.as_ref(), "--version"),
        ];
        let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| cpu_model(&text));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
        let asked = asked.into_iter().filter_map(|(path, option)| Some((path?, option)));
        let versions = asked.map(|(path, option)| version(path, option, folder, events));
        Ok(Machine {
            cpu: cpu.unwrap_or_else(|| "unknown CPU".to_owned()),
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: kernel.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned()),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M").to_string(),
            versions: versions.collect::<Result<_, _>>()?,
        })
    }
}

/// The first line a program says about itself, on whichever stream. Bounded: a program that does not know the option may
/// start to serve instead.
fn version(program: &Path, option: &str, folder: &Path, events: &Arc<Events>) -> Result<String, Failure> {
    let name = program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut command = Command::new(program);
    command.arg(option);
    let unknown = format!("{name}: unknown version");
    let Ok(process) = Process::spawn(&format!("{name} version"), command, folder, events) else { return Ok(unknown) };
    if events.wait_any(&[process.pid()], ANSWER_TIME)?.is_none() {
        return Ok(unknown);
    }
    let text = process.stdout()? + &process.stderr_end();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    Ok(line.map_or(unknown, |line| format!("{name}: {line}")))
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

const ANSWER_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_cpu_is_named() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: AMD EPYC\n"), Some("AMD EPYC".to_owned()));
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert_eq!(cpu_model(arm), Some("CPU implementer 0x41 part 0xd0c".to_owned()));
        assert_eq!(cpu_model(""), None);
    }

    #[test]
    fn a_version_is_one_line_or_unknown() {
        let (scratch, events) = (Scratch::create().unwrap(), Arc::new(Events::default()));
        let version = |path: &str, option| version(path.as_ref(), option, scratch.path(), &events).unwrap();
        assert!(version("/bin/sh", "--no-such-option").starts_with("sh: /bin/sh: "));
        assert_eq!(version("/no/such/program", "-v"), "program: unknown version");
        assert_eq!(version("/bin/true", "-v"), "true: unknown version");
    }

    #[test]
    fn a_program_that_runs_on_instead_of_telling_its_version_is_ended() {
        let (scratch, events) = (Scratch::create().unwrap(), Arc::new(Events::default()));
        let text = version("/bin/sleep".as_ref(), "600", scratch.path(), &events).unwrap();
        assert_eq!(text, "sleep: unknown version");
    }
}
