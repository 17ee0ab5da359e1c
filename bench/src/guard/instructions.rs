//! Instructions per request, in user space.
//!
//! Decides how they are counted: two runs of different length under callgrind, whose difference has no start-up and no end
//! in it. Called by [`super::guard`]. Never counts the kernel's: valgrind does not see them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::failure::Failure;
use crate::manner::{Client, Manner};
use crate::process::describe;
use crate::say;
use crate::side::{Ground, Origin, Side};

/// One manner, all sides.
pub(super) struct Instructions {
    pub(super) manner: Manner,
    pub(super) requests: u32,
    /// Instructions a request, of each side.
    pub(super) each: Vec<f64>,
}

/// Counts `requests` for each side in all manners.
pub(super) fn count(
    requests: u32,
    valgrind: &Path,
    sides: &[Side<'_>],
    origin: &Origin,
    ground: &Ground<'_>,
) -> Result<Vec<Instructions>, Failure> {
    let mut all = Vec::new();
    for manner in Manner::ALL {
        let mut each = Vec::new();
        for side in sides {
            let few = run(WARM_UP, manner, valgrind, side, origin, ground)?;
            let many = run(WARM_UP + requests, manner, valgrind, side, origin, ground)?;
            let one = (many as f64 - few as f64) / f64::from(requests);
            say(&format!("{}: {}: {one:.0} instructions/request", manner.name(), side.name));
            each.push(one);
        }
        all.push(Instructions { manner, requests, each });
    }
    Ok(all)
}

/// Instructions of one balancer's whole life with so many requests.
fn run(
    requests: u32,
    manner: Manner,
    valgrind: &Path,
    side: &Side<'_>,
    origin: &Origin,
    ground: &Ground<'_>,
) -> Result<u64, Failure> {
    let file = ground.scratch.path().join("callgrind.out");
    // Left over from the run before, it would be read in place of one that was not written.
    let _ = fs::remove_file(&file);
    let words = [
        valgrind.to_string_lossy().into_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", file.display()),
    ];
    let mut service = side.start(&words, manner.settings(), origin, ground)?;
    let (pid, mut client) = (service.process.pid(), Client::new(manner, service.port));
    for nth in 1..=requests {
        if ground.events.wait_any(&[pid], Duration::ZERO)?.is_some() {
            return Err(service.process.ended("while it was measured"));
        }
        client.ask().map_err(|e| service.complaint(format!("did not answer request {nth} ({e})")))?;
    }
    drop(client);
    let status = service.process.stop(END_TIME);
    if !status.is_some_and(|status| status.success()) {
        let how = status.map_or_else(|| "it was not collected".to_owned(), describe);
        return Err(service.complaint(format!("did not end as it should under valgrind ({how})")));
    }
    let text = fs::read_to_string(&file).map_err(|e| Failure::file("read", &file, e))?;
    total(&text).ok_or_else(|| service.complaint("left no count: callgrind's file has no totals".to_owned()))
}

/// The sum callgrind writes: `totals:` or, in older files, `summary:`.
fn total(text: &str) -> Option<u64> {
    let after = |label: &str| text.lines().rev().find_map(|line| line.strip_prefix(label));
    after("totals:").or_else(|| after("summary:"))?.split_ascii_whitespace().next()?.parse().ok()
}

/// Before the count: connections to the origin are open, buffers have their size.
const WARM_UP: u32 = 100;
const END_TIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_where_callgrind_writes_it() {
        assert_eq!(total("version: 1\nsummary: 12\nfn=(1)\n1 2\ntotals: 123456\n"), Some(123_456));
        assert_eq!(total("summary: 12\nfn=(1)\n"), Some(12));
        assert_eq!(total("totals:\n"), None);
        assert_eq!(total(""), None);
    }
}
