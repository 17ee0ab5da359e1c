//! The processes of one run of a worker: its process group, and whoever has left that.
//!
//! Decides which processes belong to a run: those below its first process, its group, and orphans that carry the run's mark in
//! their environment, which come to us as their subreaper; and which orphans without a mark can be of no other run. Called by `spawn`, and by `guard` when we are gone. Never looks at more
//! than our own children and what is below them, so it costs what the worker has processes.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, Uid};

use super::reap::is_registered;
use super::tree::{accounts, children_of, stat};

/// What every process of one run finds in its environment, in [`VARIABLE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervise) struct RunMark(String);

/// All processes of one run.
#[derive(Debug, Clone)]
pub(in crate::supervise) struct Kin {
    leader: Pid,
    mark: RunMark,
    owner: Owner,
}

/// Whose run it is. Workers of one pool are the same program; those of two may not trust each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::supervise) struct Owner {
    pub(in crate::supervise) pool: Arc<str>,
    /// The account that its first process becomes.
    pub(in crate::supervise) account: Uid,
}

/// A process, so that its number cannot be taken for another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    pid: Pid,
    /// In ticks since the machine's start (proc_pid_stat(5)).
    started: u64,
}

impl RunMark {
    /// One that no other run has, of a worker called `name`, and that another account cannot guess: whoever bears it is of the run.
    pub(in crate::supervise) fn new(name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (number, secret) = (NEXT.fetch_add(1, Ordering::Relaxed), rand::random::<u128>());
        Self(format!("{}{name}/{number}-{secret:032x}", *OURS))
    }

    /// The value of [`VARIABLE`].
    pub(in crate::supervise) fn value(&self) -> &str {
        &self.0
    }
}

impl Kin {
    /// Of the run that began with `leader`, which leads a process group.
    pub(in crate::supervise) fn new(leader: Pid, mark: RunMark, owner: Owner) -> Self {
        owners().insert(owner.clone());
        Self { leader, mark, owner }
    }

    /// The account that its first process becomes.
    pub(in crate::supervise) fn account(&self) -> Uid {
        self.owner.account
    }

    /// Sends a signal to all of them.
    pub(in crate::supervise) fn signal(&self, signal: Signal) {
        // Found before the signal: afterwards nobody may be left who leads to them.
        let outside = self.outside();
        // It fails when nothing of the group is left, which is then what was wanted.
        let _ = killpg(self.leader, signal);
        for member in outside.into_iter().filter(|member| member.is_still_there()) {
            let _ = kill(member.pid, signal);
        }
    }

    /// Whether any of them lives.
    pub(in crate::supervise) fn is_alive(&self) -> bool {
        // Others than "no such process" mean that there is one which we may not signal.
        killpg(self.leader, None) != Err(Errno::ESRCH) || !self.outside().is_empty()
    }

    /// How many there are besides the first process.
    pub(in crate::supervise) fn others(&self) -> usize {
        self.all().iter().filter(|member| member.pid != self.leader).count()
    }

    /// Those that a signal to the group does not reach.
    fn outside(&self) -> Vec<Member> {
        let mut all = self.all();
        all.retain(|member| stat(member.pid).is_some_and(|stat| stat.group != self.leader.as_raw()));
        all
    }

    /// All that may be of this run: also orphans that carry no mark any more, for some programs write their title over it, where no
    /// other pool can have left them; and its first process if that is hidden from us.
    pub(in crate::supervise) fn candidates(&self) -> Vec<Pid> {
        let is_only = is_only_one(&self.owner, &owners());
        let started = stat(self.leader).map(|stat| stat.started);
        let may_be_ours = |pid: Pid| {
            is_only
                && stat(pid).zip(started).is_some_and(|(stat, started)| stat.started >= started)
                && accounts(pid).is_some_and(|all| all.iter().all(|account| *account == self.owner.account))
                && !is_marked_from(pid, our_marks())
        };
        let mut pids: Vec<Pid> = self.find(may_be_ours).iter().map(|found| found.pid).collect();
        if started.is_none() {
            pids.push(self.leader);
        }
        pids
    }

    fn all(&self) -> Vec<Member> {
        self.find(|_| false)
    }

    /// Those that lead, those of its group or with its mark, or whom `also` takes, and all below them.
    fn find(&self, also: impl Fn(Pid) -> bool) -> Vec<Member> {
        let strangers = children_of(std::process::id()).into_iter().filter(|pid| !is_registered(*pid));
        let is_ours = |pid: &Pid| {
            stat(*pid).is_some_and(|stat| stat.group == self.leader.as_raw())
                || is_marked(*pid, self.mark.value())
                || also(*pid)
        };
        let mut found = BTreeSet::from([self.leader]);
        let mut next: Vec<Pid> = strangers.filter(is_ours).chain([self.leader]).collect();
        let mut members = Vec::new();
        while let Some(pid) = next.pop() {
            if let Some(stat) = stat(pid).filter(|stat| !stat.is_dead) {
                members.push(Member { pid, started: stat.started });
            }
            next.extend(children_of(pid.as_raw().unsigned_abs()).into_iter().filter(|child| found.insert(*child)));
        }
        members
    }
}

impl Member {
    fn is_still_there(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started == self.started)
    }
}

/// Whether no worker of another pool was ever of this account, or of root, which can become it.
fn is_only_one(owner: &Owner, all: &HashSet<Owner>) -> bool {
    let could_be = |account: Uid| account == owner.account || account.is_root();
    !all.iter().any(|other| other.pool != owner.pool && could_be(other.account))
}

/// Of all runs there were: what a run has left behind may outlive it.
fn owners() -> std::sync::MutexGuard<'static, HashSet<Owner>> {
    // Orphans of all pools come to this process, so there is one list. It has a line for each name of a pool.
    static OWNERS: LazyLock<Mutex<HashSet<Owner>>> = LazyLock::new(Mutex::default);
    OWNERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// KILL to every process on this machine that one of the runs of `supervisor` has marked, for when that has been killed itself.
pub(super) fn end_marked_by(supervisor: &str) {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in pids.filter_map(|entry| Some(Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))) {
        if is_marked_from(pid, supervisor) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// What the marks of all our runs begin with: it is told apart from that of a process that had our pid before.
pub(super) fn our_marks() -> &'static str {
    &OURS
}

fn is_marked(pid: Pid, value: &str) -> bool {
    is_marked_by(pid, |found| found == value.as_bytes())
}

fn is_marked_from(pid: Pid, prefix: &str) -> bool {
    is_marked_by(pid, |found| found.starts_with(prefix.as_bytes()))
}

fn is_marked_by(pid: Pid, test: impl Fn(&[u8]) -> bool) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let value = |entry: &[u8]| entry.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"=").map(&test);
    environment.split(|byte| *byte == 0).any(|entry| value(entry) == Some(true))
}

/// The variable that holds the mark.
pub(in crate::supervise) const VARIABLE: &str = "BALANCER_RUN";

static OURS: LazyLock<String> = LazyLock::new(|| {
    let started = stat(Pid::this()).map_or(0, |stat| stat.started);
    format!("{}.{started}:", std::process::id())
});

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    fn owner(pool: &str, account: u32) -> Owner {
        Owner { pool: pool.into(), account: Uid::from_raw(account) }
    }

    #[test]
    fn an_orphan_may_be_of_a_pool_if_no_other_pool_has_its_account_or_can_become_it() {
        let is_only = |others: &[(&str, u32)]| {
            is_only_one(&owner("b", 33), &others.iter().map(|(pool, account)| owner(pool, *account)).collect())
        };
        assert!(is_only(&[("b", 33)]));
        assert!(is_only(&[("b", 33), ("b", 0), ("a", 34)]));
        assert!(!is_only(&[("b", 33), ("a", 33)]));
        assert!(!is_only(&[("b", 33), ("a", 0)]));
    }

    #[test]
    fn whoever_is_below_a_worker_is_of_its_kin_whatever_its_group_and_nobody_else() {
        let mark = RunMark::new("app.1");
        let mut leader = Command::new("sh")
            .args(["-c", "setsid sleep 1000 & sleep 1000 & wait"])
            .env(VARIABLE, mark.value())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut other = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let kin = Kin::new(Pid::from_raw(leader.id().cast_signed()), mark, owner("kin", 0));
        let begun = std::time::Instant::now();
        while kin.outside().len() != 1 || kin.others() != 2 {
            assert!(begun.elapsed().as_secs() < 10, "{:?}", kin.all());
        }
        kin.signal(Signal::SIGKILL);
        leader.wait().unwrap();
        while kin.is_alive() {
            assert!(begun.elapsed().as_secs() < 10, "{:?}", kin.all());
        }
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn no_two_runs_have_the_same_mark() {
        let (one, other) = (RunMark::new("app.1"), RunMark::new("app.1"));
        assert_ne!(one, other);
        assert!(one.value().starts_with(our_marks()) && other.value().starts_with(our_marks()));
    }
}
