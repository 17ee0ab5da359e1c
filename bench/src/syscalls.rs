//! System calls per request, counted by strace in a run of its own.
//!
//! Decides how long is counted and reads strace's summary. Called by [`crate::compare`] after a scenario's rounds: a traced
//! process is many times slower, so nothing else is measured meanwhile. Never fails a comparison: where tracing is not
//! allowed, a note says so.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;

use crate::cpu::tree_pids;
use crate::failure::Failure;
use crate::measurement::measure;
use crate::process::Process;
use crate::scenario::Column;
use crate::target::{Ground, Origin, Running};
use crate::tool::Tool;

/// What one target asked of the kernel.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Syscalls {
    pub(crate) column: Column,
    pub(crate) requests: u64,
    /// The most frequent first.
    pub(crate) calls: Vec<Call>,
}

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) count: u64,
    /// How many of them returned an error; `EAGAIN` is one.
    pub(crate) errors: u64,
}

/// Loads `running` once more with strace attached; `None` with a note when strace cannot.
///
/// # Errors
/// What keeps any run from being measured; or a signal.
pub(crate) fn count(
    tool: Tool,
    column: Column,
    running: &mut Running,
    origin: &mut Origin,
    ground: &Ground<'_>,
) -> Result<Result<Syscalls, String>, Failure> {
    let (Some(strace), Some(process)) = (&ground.programs.strace, &running.process) else {
        return Ok(Err("no system calls counted: strace is missing, apt-get install strace".to_owned()));
    };
    let pids = tree_pids(process.pid())?;
    let summary = ground.scratch.path().join("strace.txt");
    let mut command = Command::new(strace);
    command.args(["-c", "-f", "-o"]).arg(&summary);
    command.args(pids.iter().flat_map(|pid| ["-p".to_owned(), pid.to_string()]));
    let mut tracer = Process::spawn("strace", command, ground.scratch.path(), ground.events)?;
    let refused = |tracer: &Process| {
        format!("no system calls counted: strace cannot attach ({})", tracer.stderr_end().trim().replace('\n', "; "))
    };
    let until = Instant::now() + ATTACH_TIME;
    while !pids.iter().all(|pid| is_traced(*pid)) {
        if ground.events.wait_any(&[tracer.pid()], BETWEEN_LOOKS)?.is_some() || Instant::now() >= until {
            return Ok(Err(refused(&tracer)));
        }
    }
    let measured = measure(tool.warm_up(), column, running, origin, 0, ground)?;
    // It detaches and writes its summary.
    let _ = kill(Pid::from_raw(tracer.pid().cast_signed()), Signal::SIGINT);
    if ground.events.wait_any(&[tracer.pid()], ATTACH_TIME)?.is_none() {
        return Ok(Err("no system calls counted: strace did not end".to_owned()));
    }
    tracer.reap();
    let text = fs::read_to_string(&summary).map_err(|e| Failure::file("read", &summary, e))?;
    Ok(Ok(Syscalls { column, requests: measured.reading.requests, calls: parse(&text) }))
}

fn is_traced(pid: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let tracer = text.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

/// `% time  seconds  usecs/call  calls  [errors]  syscall`, between two lines of dashes.
fn parse(summary: &str) -> Vec<Call> {
    let mut lines = summary.lines().skip_while(|line| !line.starts_with("------"));
    lines.next();
    let rows = lines.take_while(|line| !line.starts_with("------"));
    let mut calls: Vec<Call> = rows
        .filter_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let (count, name) = (words.get(3)?.parse().ok()?, (*words.last()?).to_owned());
            let errors = words.get(4).and_then(|word| word.parse().ok()).unwrap_or(0);
            Some(Call { name, count, errors })
        })
        .collect();
    calls.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.name.cmp(&other.name)));
    calls
}

const ATTACH_TIME: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_with_and_without_errors() {
        let text = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           6       100           writev
 40.00    0.000400           1       400       100 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           2       500       100 total
";
        let call = |name: &str, count, errors| Call { name: name.into(), count, errors };
        assert_eq!(parse(text), [call("recvfrom", 400, 100), call("writev", 100, 0)]);
        assert_eq!(parse(""), []);
    }
}
