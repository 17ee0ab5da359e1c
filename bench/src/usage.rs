//! What a process uses beside CPU time: memory, descriptors and context switches, read from `/proc`.
//!
//! Decides which figures stand for a program: its process and all it started, all threads, where it does not say "one
//! process". Called by [`crate::measurement`], [`crate::idle`], [`crate::footprint`] and [`crate::replace`]. Never divides by
//! requests.

use std::fs;

use crate::{cpu::tree_pids, failure::Failure};

/// Resident memory of a process tree, bytes; pages that several of its processes share count once each.
pub(crate) fn rss_bytes(pid: u32) -> Result<u64, Failure> {
    let of_process = |pid: &u32| {
        // Exact, where the counters in `status` lag behind by some pages a thread (proc_pid_statm(5)).
        let exact = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok();
        let text = exact.or_else(|| fs::read_to_string(format!("/proc/{pid}/status")).ok())?;
        number(&text, "Rss:").or_else(|| number(&text, "VmRSS:"))
    };
    Ok(tree_pids(pid)?.iter().filter_map(of_process).sum::<u64>() * 1024)
}

/// Memory of one process, bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// What it shares with no other: what would be free without it.
    pub(crate) private: u64,
    pub(crate) resident: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Memory, Failure> {
        let reading = |e| Failure::system(format!("read the memory of process {pid}"), e);
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).map_err(reading)?;
        let of = |label| number(&text, label).map(|kib| kib * 1024);
        match ["Private_Clean:", "Private_Dirty:", "Rss:"].map(of) {
            [Some(clean), Some(dirty), Some(resident)] => Ok(Memory { private: clean + dirty, resident }),
            _ => Err(reading(std::io::ErrorKind::InvalidData.into())),
        }
    }
}

/// Descriptors one process has open.
pub(crate) fn open_descriptors(pid: u32) -> Result<usize, Failure> {
    entries(pid, "fd")
}

/// Threads of one process.
pub(crate) fn threads(pid: u32) -> Result<usize, Failure> {
    entries(pid, "task")
}

fn entries(pid: u32, folder: &str) -> Result<usize, Failure> {
    let path = format!("/proc/{pid}/{folder}");
    let entries = fs::read_dir(&path);
    entries.map(Iterator::count).map_err(|e| Failure::file("list", path.as_ref(), e))
}

/// Context switches of all threads of a process tree that run now, voluntary or not.
pub(crate) fn context_switches(pid: u32) -> Result<u64, Failure> {
    let mut sum = 0;
    for pid in tree_pids(pid)? {
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let text = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            let labels = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"];
            sum += labels.iter().filter_map(|label| number(&text, label)).sum::<u64>();
        }
    }
    Ok(sum)
}

fn number(text: &str, label: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(label))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_whole_label() {
        let text = "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t3\nRss:     1234 kB\n";
        assert_eq!(number(text, "voluntary_ctxt_switches:"), Some(3));
        assert_eq!((number(text, "Rss:"), number(text, "VmRSS:")), (Some(1234), None));
    }

    #[test]
    fn our_own_memory_grows_with_what_is_touched() {
        let pid = std::process::id();
        let before = rss_bytes(pid).unwrap();
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(rss_bytes(pid).unwrap() >= before + (48 << 20), "{}", touched.len());
        assert!(context_switches(pid).unwrap() > 0);
        // Other tests have their memory too, so there is no upper bound.
        assert!(Memory::of(pid).unwrap().private >= 64 << 20 && open_descriptors(pid).unwrap() >= 3);
        assert!(Memory::of(pid).unwrap().resident >= 64 << 20 && threads(pid).unwrap() >= 1);
    }
}
