//! Processes and memory while workers are rolled.
//!
//! Decides how often it is looked and what is compared. Called by [`super::replace`]. Never asks the balancer: the kernel knows.

use std::fs;
use std::time::{Duration, Instant};

use super::Row;
use super::kind::{Manners, Program};
use super::site::{Ground, Setup, Site};
use crate::failure::Failure;
use crate::report::figure::{Bar, Figure, Unit};

/// A roll of four, one at a time and then two.
pub(super) fn memory(ground: &Ground, program: &Program, time: Duration) -> Result<Row, Failure> {
    let mut row = Row::default();
    for (parallel, setup) in [(1, ONE), (2, TWO)] {
        let site = Site::start(ground, program, setup, "")?;
        row.figures.extend(sampled(&site, parallel, time / 2)?);
    }
    Ok(row)
}

fn sampled(site: &Site<'_>, parallel: u32, time: Duration) -> Result<Vec<Figure>, Failure> {
    let pid = site.pid()?;
    let before = Sample::take(pid)?;
    let (started, mut rolls, mut peak) = (Instant::now(), 0, Sample::default());
    while rolls == 0 || started.elapsed() < time {
        let mut process = site.begin(&["restart", "app"])?;
        while site.ground.lab.events.wait_any(&[process.pid()], BETWEEN_SAMPLES)?.is_none() {
            peak = peak.or(Sample::take(pid)?);
        }
        let status = process.reap();
        if !status.is_some_and(|status| status.success()) {
            return Err(site.complaint(&format!("did not roll: {}", process.stderr_end())));
        }
        rolls += 1;
    }
    let name = |what: &str| format!("{what}, roll_parallel = {parallel}");
    let count_max = f64::from(COUNT + parallel);
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    // As many as the promise allows, each as large as the largest seen, and the balancer.
    let allowed = u64::from(COUNT + parallel) * peak.largest + peak.balancer;
    Ok(vec![
        Figure::count(name("rolls"), rolls),
        Figure::count(name("workers at once"), peak.workers).barred(Bar::AtMost(count_max)),
        Figure::seen(name("memory before"), megabytes(before.all), Unit::Megabytes),
        Figure::seen(name("most memory"), megabytes(peak.all), Unit::Megabytes).barred(Bar::AtMost(megabytes(allowed))),
    ])
}

/// A look at the balancer's children.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    workers: usize,
    /// Resident, bytes: balancer and workers.
    all: u64,
    balancer: u64,
    /// Of one worker.
    largest: u64,
}

impl Sample {
    fn take(balancer: u32) -> Result<Sample, Failure> {
        let mut sample = Sample { balancer: resident(balancer).unwrap_or(0), ..Sample::default() };
        sample.all = sample.balancer;
        for pid in children(balancer)? {
            // One that has ended, or is the guard, is no worker.
            let Some(bytes) = resident(pid).filter(|bytes| *bytes > 0 && !is_guard(pid)) else { continue };
            sample.workers += 1;
            sample.all += bytes;
            sample.largest = sample.largest.max(bytes);
        }
        Ok(sample)
    }

    fn or(self, other: Sample) -> Sample {
        Sample {
            workers: self.workers.max(other.workers),
            all: self.all.max(other.all),
            balancer: self.balancer.max(other.balancer),
            largest: self.largest.max(other.largest),
        }
    }
}

/// Processes a process has started, from all of its threads.
pub(super) fn children(pid: u32) -> Result<Vec<u32>, Failure> {
    let reading = |e| Failure::system(format!("read the children of process {pid}"), e);
    let mut all = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).map_err(reading)?.flatten() {
        let listed = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        all.extend(listed.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    Ok(all)
}

/// The balancer's own child, which ends the workers when it dies.
pub(super) fn is_guard(pid: u32) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).any(|word| word == b"--guard")
}

/// Bytes; `None` of a process that is not there, 0 of one that has ended and was not collected.
fn resident(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    Some(pages * page.and_then(|page| u64::try_from(page).ok()).unwrap_or(4096))
}

const MANNERS: Manners = Manners { delay_ms: 0, cold_requests: 0, start_delay_ms: 0 };
const COUNT: u32 = 4;
const ONE: Setup = Setup { count: COUNT, manners: MANNERS, keys: "roll_parallel = 1" };
const TWO: Setup = Setup { count: COUNT, manners: MANNERS, keys: "roll_parallel = 2" };
const BETWEEN_SAMPLES: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_has_the_most_of_each() {
        let one = Sample { workers: 4, all: 40, balancer: 9, largest: 8 };
        let two = Sample { workers: 5, all: 39, balancer: 4, largest: 9 };
        let peak = one.or(two);
        assert_eq!((peak.workers, peak.all, peak.balancer, peak.largest), (5, 40, 9, 9));
    }

    #[test]
    fn a_child_is_found_with_its_memory() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        assert!(children(std::process::id()).unwrap().contains(&child.id()));
        assert!(resident(child.id()).is_some() && !is_guard(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(resident(child.id()), None);
    }
}
