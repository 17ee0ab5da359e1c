//! What a worker's whole process group uses, from `/proc`.
//!
//! Decides nothing. Called by `reconcile` once a second, on the control thread. Never looks at all processes, or at what processes
//! share, more often than every few seconds.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::{self, Read};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::supervise::status::Usage;

/// Reads what one worker uses, again and again.
#[derive(Debug, Default)]
pub(in crate::supervise) struct Meter {
    read: Option<Instant>,
    /// What its processes have, shared pages counted once, as a share of the sum that counts these for each; and when that was seen.
    shared: Option<(Instant, f64)>,
    /// CPU time of the last seconds.
    ticks: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// Of process group `group`, whose leader is the worker.
    pub(in crate::supervise) fn read(&mut self, group: Pid, now: Instant) -> Usage {
        let members = Census::members(group.as_raw(), now);
        let stats: Vec<(i32, Stat)> = members.iter().filter_map(|pid| Some((*pid, stat(*pid)?))).collect();
        let of_group = || stats.iter().filter(|(_, stat)| stat.group == group.as_raw());
        let ticks: u64 = of_group().map(|(_, stat)| stat.ticks).sum();
        let resident = of_group().map(|(_, stat)| stat.pages).sum::<u64>() * *PAGE_BYTES;
        // One process shares with others only what every process shares, the code of libraries.
        let is_old = |(seen, _): (Instant, f64)| now.saturating_duration_since(seen) >= CENSUS_EVERY;
        if of_group().nth(1).is_none() {
            self.shared = None;
        } else if self.shared.is_none_or(is_old) {
            let bytes: Option<u64> = of_group().map(|(pid, _)| proportional(*pid)).sum();
            self.shared = bytes.filter(|_| resident > 0).map(|bytes| (now, bytes as f64 / resident as f64));
        }
        self.read = Some(now);
        let share = self.shared.map_or(1.0, |(_, share)| share);
        let (cpu_seconds, cpu) = (ticks as f64 / *TICKS_PER_SECOND, self.cpu(ticks, now));
        Usage { rss_bytes: (resident as f64 * share) as u64, cpu_seconds, cpu_seconds_before: 0.0, cpu }
    }

    /// Processors in use since the oldest look that is remembered. A process that has left the group takes its time along.
    fn cpu(&mut self, ticks: u64, now: Instant) -> f64 {
        self.ticks.push_back((now, ticks));
        while self.ticks.len() > LOOKS {
            self.ticks.pop_front();
        }
        let Some((since, before)) = self.ticks.front() else { return 0.0 };
        let seconds = now.saturating_duration_since(*since).as_secs_f64();
        if seconds > 0.0 { ticks.saturating_sub(*before) as f64 / *TICKS_PER_SECOND / seconds } else { 0.0 }
    }

    /// How long ago it was read the last time.
    pub(in crate::supervise) fn age(&self, now: Instant) -> Duration {
        self.read.map_or(Duration::ZERO, |read| now.saturating_duration_since(read))
    }
}

/// Resident memory of a process in bytes, a page that several have counted as a share of it (`Pss`, proc_pid_smaps(5)); nothing
/// where we may not see it. The kernel looks at every page for it: milliseconds for each GB.
fn proportional(pid: i32) -> Option<u64> {
    let text = match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
        // It has ended meanwhile.
        text => text.unwrap_or_default(),
    };
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB"));
    Some(line.map_or(0, |kilobytes| kilobytes.trim().parse().unwrap_or(0)) * 1_024)
}

/// Which processes are in which group.
#[derive(Default)]
struct Census {
    taken: Option<Instant>,
    groups: HashMap<i32, Vec<i32>>,
}

impl Census {
    fn members(group: i32, now: Instant) -> Vec<i32> {
        // One for all pools.
        static CENSUS: LazyLock<Mutex<Census>> = LazyLock::new(Mutex::default);
        let mut census = CENSUS.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |taken: Instant| now.saturating_duration_since(taken) >= CENSUS_EVERY;
        // Of a group that is younger than the census only the leader is known.
        if census.taken.is_none_or(is_old) {
            census.groups.clear();
            let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
            for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
                if let Some(stat) = stat(pid) {
                    census.groups.entry(stat.group).or_default().push(pid);
                }
            }
            census.taken = Some(now);
        }
        census.groups.get(&group).cloned().unwrap_or_else(|| vec![group])
    }
}

/// The fields of `/proc/PID/stat` that are used (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    group: i32,
    /// Of CPU, used by it and by its children that have been waited for.
    ticks: u64,
    /// Resident.
    pages: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let mut text = String::with_capacity(512);
    fs::File::open(format!("/proc/{pid}/stat")).ok()?.read_to_string(&mut text).ok()?;
    parse(&text)
}

fn parse(text: &str) -> Option<Stat> {
    // The second field is a name in parentheses that may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Numbered from 1 with the pid; the state, behind the name, is 3.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        group: fields.get(2)?.parse().ok()?,
        ticks: number(14)? + number(15)? + number(16)? + number(17)?,
        pages: number(24)?,
    })
}

static PAGE_BYTES: LazyLock<u64> = LazyLock::new(|| {
    sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| size.try_into().ok()).unwrap_or(4_096)
});
static TICKS_PER_SECOND: LazyLock<f64> =
    LazyLock::new(|| sysconf(SysconfVar::CLK_TCK).ok().flatten().map_or(100.0, |ticks| ticks as f64));
const CENSUS_EVERY: Duration = Duration::from_secs(5);
/// Of these, a second apart, the share of CPU is made: less would jump, for the kernel counts hundredths.
const LOOKS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name_whatever_that_is() {
        let text = "7 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 30 12 5 3 20 0 1 0 900 12345678 222 184467 1 1 0";
        assert_eq!(parse(text), Some(Stat { group: 42, ticks: 50, pages: 222 }));
        for broken in ["", "7 (a", "7 (a) S 1", "7 (a) S 1 x 42 0 -1 0 0 0 0 0 1 1 1 1 1 1 1 1 1 1 1 1"] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn processors_in_use_are_those_of_the_last_seconds() {
        let (mut meter, begun) = (Meter::default(), Instant::now());
        let per_second = *TICKS_PER_SECOND as u64;
        let shares: Vec<f64> =
            (0..20).map(|at| meter.cpu(per_second * 2 * at.min(10), begun + Duration::from_secs(at))).collect();
        assert_eq!((shares[0], shares[1], shares[10], shares[19]), (0.0, 2.0, 2.0, 0.0));
        assert_eq!(meter.cpu(0, begun + Duration::from_secs(20)), 0.0, "never below nought");
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let group = nix::unistd::getpgrp();
        let usage = Meter::default().read(group, Instant::now());
        assert!(usage.rss_bytes > 1 << 20 || nix::unistd::getpid() != group, "{usage:?}");
        assert!(proportional(std::process::id() as i32).is_some_and(|bytes| bytes > 1 << 20));
        let own = stat(std::process::id() as i32).unwrap();
        assert_eq!(own.group, group.as_raw());
        assert!(own.pages * *PAGE_BYTES > 1 << 20);
    }
}
