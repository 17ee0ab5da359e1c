//! What the figures were measured on and with.
//!
//! Decides what is told about machine and programs. Called by the commands that compare programs. What cannot be learned is
//! called unknown, never guessed.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use crate::{failure::Failure, lab::Lab, process::Process};

/// Machine and versions, as told at the head of the result.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    /// UTC: "2026-07-02 18:30".
    date: String,
    /// Of every program that takes part, in a line each.
    versions: Vec<String>,
}

impl Machine {
    /// `ours`: those of our programs that take part.
    pub(crate) fn look(lab: &Lab, ours: &[&'static str]) -> Result<Machine, Failure> {
        let others = [("ab", "-V"), ("wrk", "-v"), ("nginx", "-v"), ("haproxy", "-v"), ("strace", "-V")];
        let asked = others.into_iter().chain(ours.iter().map(|name| (*name, "--version")));
        let asked = asked.filter_map(|(name, option)| Some((lab.program(name).ok()?, option)));
        let versions = asked.map(|(path, option)| version(&path, option, lab)).collect::<Result<_, _>>()?;
        let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| cpu_model(&text));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
        Ok(Machine {
            cpu: cpu.unwrap_or_else(|| "unknown CPU".to_owned()),
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: kernel.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned()),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M").to_string(),
            versions,
        })
    }

    /// For the head of a result.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Machine { cpu, cores, kernel, date, versions } = self;
        let first = format!("{cpu}, {cores} usable cores, Linux {kernel}, {date} UTC");
        std::iter::once(first).chain(versions.iter().cloned()).collect()
    }
}

/// The first line a program says about itself, on whichever stream. Bounded: a program that does not know the option may
/// start to serve instead.
fn version(program: &Path, option: &str, lab: &Lab) -> Result<String, Failure> {
    let name = program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut command = Command::new(program);
    command.arg(option);
    let unknown = format!("{name}: unknown version");
    let spawned = Process::spawn(&format!("{name} version"), command, lab.scratch.path(), &lab.events);
    let Ok(process) = spawned else { return Ok(unknown) };
    if lab.events.wait_any(&[process.pid()], ANSWER_TIME)?.is_none() {
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
    use std::sync::Arc;

    use super::*;
    use crate::events::Events;
    use crate::lab::Builds;

    #[test]
    fn the_cpu_is_named() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: AMD EPYC\n"), Some("AMD EPYC".to_owned()));
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert_eq!(cpu_model(arm), Some("CPU implementer 0x41 part 0xd0c".to_owned()));
        assert_eq!(cpu_model(""), None);
    }

    #[test]
    fn a_version_is_one_line_or_unknown_and_a_program_that_runs_on_is_ended() {
        let lab = Lab::with(&[], &Builds::default(), &Arc::new(Events::default())).unwrap();
        let version = |path: &str, option| version(path.as_ref(), option, &lab).unwrap();
        assert!(version("/bin/sh", "--no-such-option").starts_with("sh: /bin/sh: "));
        assert_eq!(version("/no/such/program", "-v"), "program: unknown version");
        assert_eq!(version("/bin/true", "-v"), "true: unknown version");
        assert_eq!(version("/bin/sleep", "600"), "sleep: unknown version");
    }
}
