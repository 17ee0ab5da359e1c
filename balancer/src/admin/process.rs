//! What the kernel says of our own process.

use std::fs;

/// Figures of `/proc/self`; 0 where it says none.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct OwnProcess {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) threads: u64,
    pub(super) open_fds: usize,
    pub(super) max_fds: u64,
}

impl OwnProcess {
    pub(super) fn now() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let open_fds = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let limits = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
        let max_fds = limits.map_or(0, |(soft, _)| soft);
        Self { open_fds, max_fds, ..Self::of(&read("stat"), &read("status")) }
    }

    /// proc_pid_stat(5), where the name in parentheses may hold anything, and proc_pid_status(5).
    fn of(stat: &str, status: &str) -> Self {
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        // Behind the name is field 3.
        let ticks = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        let line = |key: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
            value.unwrap_or(0_u64)
        };
        Self {
            cpu_seconds: (ticks(14) + ticks(15)) as f64 / TICKS_PER_SECOND,
            threads: line("Threads:"),
            virtual_bytes: line("VmSize:") * 1_024,
            resident_bytes: line("VmRSS:") * 1_024,
            ..Self::default()
        }
    }
}

/// USER_HZ, which Linux has fixed for all that it tells programs.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_has_figures() {
        let process = OwnProcess::now();
        assert!(process.resident_bytes > 100_000 && process.virtual_bytes > process.resident_bytes, "{process:?}");
        assert!(process.threads > 0 && process.open_fds > 2 && process.max_fds > 2, "{process:?}");
    }

    #[test]
    fn a_name_with_parentheses_and_a_missing_file_confuse_nothing() {
        let stat = "1 (a) b) S 0 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 7 0 5 4096000 10";
        let process = OwnProcess::of(stat, "Name:\tx\nVmRSS:\t  40 kB\nThreads:\t7\n");
        assert_eq!((process.cpu_seconds, process.threads, process.resident_bytes), (3.0, 7, 40_960));
        assert_eq!(OwnProcess::of("", ""), OwnProcess::default());
    }
}
