//! Whether the kernel has killed somebody for want of memory.
//!
//! Decides from the counter of our control group, in which workers are too. Called by `reconcile` once a second, and when a
//! worker was killed by a signal that was not ours. Never sees who it was: of two that were killed at once, both are said to
//! be it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

/// Watches the counter.
#[derive(Debug)]
pub(in crate::supervise) struct OomKills {
    file: Option<PathBuf>,
    seen: u64,
    /// When it was first seen to be more than before, the last time.
    rose: Option<Instant>,
}

impl OomKills {
    /// Of the control group this process is in now.
    pub(in crate::supervise) fn watch() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let file = candidates(&groups).into_iter().find(|file| count(file).is_some());
        let seen = file.as_deref().and_then(count).unwrap_or_default();
        Self { file, seen, rose: None }
    }

    /// Looks at the counter, so that a death of later is not taken for one's of now; `None` where the system does not tell.
    pub(in crate::supervise) fn look(&mut self, now: Instant) -> Option<()> {
        let count = count(self.file.as_deref()?)?;
        if count > std::mem::replace(&mut self.seen, count) {
            self.rose = Some(now);
        }
        Some(())
    }

    /// Whether there was one a moment ago; `None` where the system does not tell.
    pub(in crate::supervise) fn was_just_now(&mut self, now: Instant) -> Option<bool> {
        self.look(now)?;
        Some(self.rose.is_some_and(|rose| now.saturating_duration_since(rose) <= JUST_NOW))
    }
}

/// Files with the counter, for the lines of `/proc/self/cgroup` (cgroups(7)): version 2, then 1; a container sees its own
/// group at the top.
fn candidates(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            let root = Path::new("/sys/fs/cgroup");
            files.extend([root.join(path).join("memory.events"), root.join("memory.events")]);
        } else if controllers.split(',').any(|controller| controller == "memory") {
            let root = Path::new("/sys/fs/cgroup/memory");
            files.extend([root.join(path).join("memory.oom_control"), root.join("memory.oom_control")]);
        }
    }
    files
}

fn count(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// From the kill to the collecting of who died of it, and between two looks.
const JUST_NOW: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_have_a_counter() {
        let show = |groups| candidates(groups).iter().map(|file| file.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            show("0::/system.slice/lb.service\n"),
            ["/sys/fs/cgroup/system.slice/lb.service/memory.events", "/sys/fs/cgroup/memory.events"]
        );
        assert_eq!(
            show("3:cpu:/a\n2:memory:/docker/x\nrubbish\n"),
            ["/sys/fs/cgroup/memory/docker/x/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control"]
        );
    }

    #[test]
    fn a_kill_is_told_for_two_seconds_after_it_was_seen_first() {
        let file = std::env::temp_dir().join(format!("balancer-oom-{}", std::process::id()));
        let write =
            |kills: u64| fs::write(&file, format!("low 0\nhigh 0\noom 9\noom_kill {kills}\noom_group_kill 0\n"));
        write(2).unwrap();
        let mut kills = OomKills { file: Some(file.clone()), seen: 2, rose: None };
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(kills.was_just_now(begin), Some(false));
        write(3).unwrap();
        assert_eq!((kills.was_just_now(begin), kills.was_just_now(begin + second)), (Some(true), Some(true)));
        assert_eq!(kills.was_just_now(begin + 3 * second), Some(false));
        // Of somebody in another pool, long before the death here.
        write(4).unwrap();
        assert_eq!(kills.look(begin + 10 * second), Some(()));
        assert_eq!(kills.was_just_now(begin + 13 * second), Some(false));
        fs::remove_file(&file).unwrap();
        assert_eq!(kills.was_just_now(begin), None);
    }
}
