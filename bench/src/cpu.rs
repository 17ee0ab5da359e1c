//! CPU time, read from `/proc`.
//!
//! Decides what counts as a program's time: its process and all it started, user and system apart. Called by
//! [`crate::measurement`] before and after a tool runs. Never divides by requests.

use std::ops::{Add, Sub};
use std::{collections::BTreeMap, fs};

use nix::unistd::{SysconfVar, sysconf};
use serde::Serialize;

use crate::failure::Failure;

/// CPU time in seconds. The kernel counts it exactly and reports it in clock ticks, 10 ms on common systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cpu {
    pub(crate) user_seconds: f64,
    pub(crate) system_seconds: f64,
}

impl Cpu {
    /// User and system together, seconds.
    pub(crate) fn seconds(self) -> f64 {
        self.user_seconds + self.system_seconds
    }
}

impl Add for Cpu {
    type Output = Cpu;
    fn add(self, other: Cpu) -> Cpu {
        let [user_seconds, system_seconds] =
            [self.user_seconds + other.user_seconds, self.system_seconds + other.system_seconds];
        Cpu { user_seconds, system_seconds }
    }
}

impl Sub for Cpu {
    type Output = Cpu;
    fn sub(self, other: Cpu) -> Cpu {
        let [user_seconds, system_seconds] =
            [self.user_seconds - other.user_seconds, self.system_seconds - other.system_seconds];
        Cpu { user_seconds, system_seconds }
    }
}

/// Time a process and its descendants have used so far, those already collected by their parent included.
pub(crate) fn of_tree(pid: u32) -> Result<Cpu, Failure> {
    let stats = stats(pid)?;
    let of_tree = tree(&stats, pid).filter_map(|pid| stats.get(&pid));
    let ticks = of_tree.fold((0, 0), |(user, system), stat| (user + stat.user, system + stat.system));
    let per_second = ticks_per_second();
    Ok(Cpu { user_seconds: ticks.0 as f64 / per_second, system_seconds: ticks.1 as f64 / per_second })
}

/// A process and its descendants, by number.
pub(crate) fn tree_pids(pid: u32) -> Result<Vec<u32>, Failure> {
    let stats = stats(pid)?;
    Ok(tree(&stats, pid).collect())
}

fn stats(pid: u32) -> Result<BTreeMap<u32, Stat>, Failure> {
    let reading = |e| Failure::system(format!("read the CPU time of process {pid}"), e);
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(reading)?;
    let broken = || reading(std::io::ErrorKind::InvalidData.into());
    let root = Stat::parse(&text).ok_or_else(broken)?;
    let mut stats = BTreeMap::from([(pid, root)]);
    for entry in fs::read_dir("/proc").map_err(reading)?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process may end between the listing and the reading.
        let Some(stat) = fs::read_to_string(entry.path().join("stat")).ok().and_then(|text| Stat::parse(&text)) else {
            continue;
        };
        stats.entry(pid).or_insert(stat);
    }
    Ok(stats)
}

/// Seconds one core was busy for anybody, and stolen by the hypervisor; `None` where `/proc/stat` has no such core.
pub(crate) fn core_busy_seconds(core: usize) -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    Some(parse_core_busy(&text, core)? as f64 / ticks_per_second())
}

/// The fields of `/proc/PID/stat` we use; times in ticks (proc(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    user: u64,
    system: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Stat> {
        // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
        let (_, rest) = text.rsplit_once(')')?;
        let field: Vec<&str> = rest.split_ascii_whitespace().collect();
        // `rest` starts with field 3 of proc(5): ppid is 4, utime stime cutime cstime are 14 to 17.
        let number = |nth: usize| field.get(nth - 3)?.parse::<u64>().ok();
        let parent = u32::try_from(number(4)?).ok()?;
        Some(Stat { parent, user: number(14)? + number(16)?, system: number(15)? + number(17)? })
    }
}

fn tree(stats: &BTreeMap<u32, Stat>, root: u32) -> impl Iterator<Item = u32> + '_ {
    let belongs = move |mut pid: u32| {
        // Bounded: a listing that changed while it was read could in principle hold a circle.
        for _ in 0..stats.len() {
            if pid == root {
                return true;
            }
            let Some(stat) = stats.get(&pid) else { return false };
            pid = stat.parent;
        }
        false
    };
    stats.keys().copied().filter(move |pid| belongs(*pid))
}

fn parse_core_busy(text: &str, core: usize) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("cpu{core} ")))?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
    // user nice system (idle iowait) irq softirq steal (guest times are inside user)
    Some([0, 1, 2, 5, 6, 7].iter().filter_map(|&nth| ticks.get(nth)).sum())
}

fn ticks_per_second() -> f64 {
    // 100 on every Linux architecture in use; only the call can say so.
    sysconf(SysconfVar::CLK_TCK).ok().flatten().map_or(100.0, |ticks| ticks as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_the_last_parenthesis() {
        let line = "4242 (a (b) c) S 17 4242 4242 0 -1 4194560 1 2 3 4 250 1030 5 6 20 0 3 0 99 0 0";
        assert_eq!(Stat::parse(line), Some(Stat { parent: 17, user: 255, system: 1036 }));
        assert_eq!(Stat::parse("4242 (cut"), None);
        assert_eq!(Stat::parse("4242 (cut) S 17 1"), None);
    }

    #[test]
    fn a_tree_is_its_root_and_all_descendants() {
        let stat = |parent, user, system| Stat { parent, user, system };
        let stats = BTreeMap::from([
            (1, stat(0, 1000, 1000)),
            (10, stat(1, 1, 2)),
            (11, stat(10, 4, 8)),
            (12, stat(11, 16, 32)),
            (20, stat(1, 500, 500)),
            (31, stat(30, 7, 7)), // its parent is not listed
        ]);
        assert_eq!(tree(&stats, 10).collect::<Vec<_>>(), [10, 11, 12]);
    }

    #[test]
    fn a_cores_busy_time_leaves_idling_and_waiting_out() {
        let text = "cpu  9 9 9 9\ncpu0 1 2 4 100 200 8 16 32 0 0\ncpu10 7 0 0 0 0 0 0 0\n";
        assert_eq!(parse_core_busy(text, 0), Some(63));
        assert_eq!(parse_core_busy(text, 10), Some(7));
        assert_eq!(parse_core_busy(text, 1), None);
    }

    #[test]
    fn our_own_time_grows_with_work() {
        let pid = std::process::id();
        let before = of_tree(pid).unwrap();
        while (of_tree(pid).unwrap() - before).seconds() <= 0.0 {}
        assert!(core_busy_seconds(0).is_some());
    }
}
