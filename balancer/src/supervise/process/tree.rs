//! Processes as the kernel shows them in `/proc`. Decides nothing; called by `kin`, `reap` and `whose`; never signals anybody.

use std::fs;

use nix::unistd::{Pid, Uid};

/// Fields of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// It has ended and waits to be collected.
    pub(super) is_dead: bool,
    /// Its process group.
    pub(super) group: i32,
    /// In ticks since the machine's start.
    pub(super) started: u64,
}

/// Of a process, unless it has been collected.
pub(super) fn stat(pid: Pid) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(text: &str) -> Option<Stat> {
    // The second field is a name in parentheses that may hold anything; the state, behind it, is the third.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    let is_dead = matches!(*fields.first()?, "Z" | "X");
    Some(Stat { is_dead, group: fields.get(2)?.parse().ok()?, started: fields.get(19)?.parse().ok()? })
}

/// The accounts that a process has and could be (proc_pid_status(5)), if that is shown.
pub(in crate::supervise) fn accounts(pid: Pid) -> Option<Vec<Uid>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().map(|uid| Some(Uid::from_raw(uid.parse().ok()?))).collect()
}

/// The children of a process, dead ones too, as the kernel lists them for each of its threads (proc_pid_children(5)).
pub(super) fn children_of(pid: u32) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let parse = |list: String| -> Vec<Pid> {
        list.split_whitespace().filter_map(|pid| Some(Pid::from_raw(pid.parse().ok()?))).collect()
    };
    lists.flat_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name_whatever_that_is() {
        let text = "7 (a) b (c) Z 1 42 43 0 -1 4194304 100 0 0 0 30 12 5 3 20 0 1 0 900 12345678 222";
        assert_eq!(parse(text), Some(Stat { is_dead: true, group: 42, started: 900 }));
        assert_eq!(parse("7 (a) S 1"), None);
    }
}
