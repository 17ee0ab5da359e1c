//! System calls per request, counted by strace in a run of its own.
//!
//! Decides how long is counted and reads strace's summary. Called by [`super::compare`] after a scenario's rounds: a traced
//! process is many times slower, so nothing else is measured meanwhile. Never fails a comparison: where tracing is not
//! allowed, a note says so.

use std::time::{Duration, Instant};
use std::{fs, process::Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::target::{Origin, Running};
use super::{Ground, measurement::measure, scenario::Column, tool::Tool};
use crate::report::figure::{Figure, Unit};
use crate::{cpu::tree_pids, failure::Failure, process::Process};

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    name: String,
    count: u64,
    /// How many of them returned an error; `EAGAIN` is one.
    errors: u64,
}

/// Loads `running` once more with strace attached: calls per request, or why strace cannot.
pub(crate) fn count(
    tool: Tool,
    column: Column,
    running: &mut Running,
    origin: &mut Origin,
    ground: &Ground<'_>,
) -> Result<Result<Vec<Figure>, String>, Failure> {
    let lab = ground.lab;
    let (Ok(strace), Some(service)) = (lab.program("strace"), &running.service) else {
        return Ok(Err("no system calls counted: strace is missing, apt-get install strace".to_owned()));
    };
    let pids = tree_pids(service.process.pid())?;
    let summary = lab.scratch.path().join("strace.txt");
    let mut command = Command::new(strace);
    command.args(["-c", "-f", "-o"]).arg(&summary);
    command.args(pids.iter().flat_map(|pid| ["-p".to_owned(), pid.to_string()]));
    let mut tracer = Process::spawn("strace", command, lab.scratch.path(), &lab.events)?;
    let refused = |tracer: &Process| {
        format!("no system calls counted: strace cannot attach ({})", tracer.stderr_end().trim().replace('\n', "; "))
    };
    let until = Instant::now() + ATTACH_TIME;
    while !pids.iter().all(|pid| is_traced(*pid)) {
        if lab.events.wait_any(&[tracer.pid()], BETWEEN_LOOKS)?.is_some() || Instant::now() >= until {
            return Ok(Err(refused(&tracer)));
        }
    }
    let measured = measure(tool.warm_up(), column, running, origin, 0, ground)?;
    // It detaches and writes its summary.
    let _ = kill(Pid::from_raw(tracer.pid().cast_signed()), Signal::SIGINT);
    if lab.events.wait_any(&[tracer.pid()], ATTACH_TIME)?.is_none() {
        return Ok(Err("no system calls counted: strace did not end".to_owned()));
    }
    tracer.reap();
    let text = fs::read_to_string(&summary).map_err(|e| Failure::file("read", &summary, e))?;
    Ok(Ok(each(&column.name(), measured.reading.requests, &parse(&text))))
}

/// Calls per request, the most frequent first; seldom ones are left out but in the sum.
fn each(of: &str, requests: u64, calls: &[Call]) -> Vec<Figure> {
    let share = |count: u64| count as f64 / requests.max(1) as f64;
    let figure = |what: String, count| Figure::seen(what, share(count), Unit::Ratio).of(of);
    let often = calls.iter().filter(|call| share(call.count) >= SELDOM);
    let mut figures: Vec<Figure> = often
        .flat_map(|call| {
            let failed = figure(format!("  {} failed", call.name), call.errors);
            [Some(figure(call.name.clone(), call.count)), Some(failed).filter(|_| share(call.errors) >= SELDOM)]
        })
        .flatten()
        .collect();
    figures.push(figure("all system calls/request".to_owned(), calls.iter().map(|call| call.count).sum()));
    figures
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

/// Calls a request below which a row says nothing.
const SELDOM: f64 = 0.005;
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
        let figures = each("nginx", 100, &[call("recvfrom", 400, 100), call("writev", 100, 0), call("brk", 0, 0)]);
        let told: Vec<String> =
            figures.iter().map(|figure| format!("{} {}", figure.what.trim(), figure.text())).collect();
        assert_eq!(told, ["recvfrom 4.00", "recvfrom failed 1.00", "writev 1.00", "all system calls/request 5.00"]);
    }
}
