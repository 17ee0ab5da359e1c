//! Instructions per request, in user space.
//!
//! Decides how they are counted: two runs of different length under callgrind, whose difference has no start-up and no end
//! in it. Called by [`super::guard`] and [`super::one`]. Never counts the kernel's: valgrind does not see them.

use std::{fs, time::Duration};

use crate::exchange::{Endpoint, PATH};
use crate::lab::{Lab, free_ports};
use crate::manner::{Manner, client};
use crate::proxies::{self, Make};
use crate::{cores::Place, failure::Failure, process::describe, say, service::Service};

/// What is behind every build: two of this workspace's `backend`, which end with this value.
pub(crate) struct Origin {
    pub(crate) endpoints: [Endpoint; 2],
    pub(crate) services: Vec<Service>,
}

impl Origin {
    pub(crate) fn start(lab: &Lab) -> Result<Origin, Failure> {
        let endpoints = free_ports()?.map(Endpoint::Port);
        let start = |(nth, endpoint)| lab.backend(&format!("origin {nth}"), Place::Generator, endpoint, &[], PATH);
        let services = (1..).zip(&endpoints).map(start).collect::<Result<_, _>>()?;
        Ok(Origin { endpoints, services })
    }

    /// Instructions a request of the lab's balancer, over so many.
    pub(super) fn count(&self, name: &str, manner: Manner, requests: u32, lab: &Lab) -> Result<f64, Failure> {
        let few = self.run(name, WARM_UP, manner, lab)?;
        let many = self.run(name, WARM_UP + requests, manner, lab)?;
        let one = (many as f64 - few as f64) / f64::from(requests);
        say(&format!("{}: {name}: {one:.0} instructions/request", manner.name()));
        Ok(one)
    }

    /// Instructions of one balancer's whole life with so many requests.
    fn run(&self, name: &str, requests: u32, manner: Manner, lab: &Lab) -> Result<u64, Failure> {
        let [file, log] = ["callgrind.out", "access.log"].map(|name| lab.scratch.path().join(name));
        // Left over from the run before, it would be read in place of one that was not written.
        let _ = fs::remove_file(&file);
        let [port] = free_ports()?;
        let log = (manner == Manner::AccessLog).then_some(log.as_path());
        let text = proxies::balancer(port, &self.endpoints, manner.pool(), log, 0);
        let mut command = lab.command(Place::Proxy, "valgrind")?;
        command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", file.display()));
        command.arg(lab.program("balancer")?);
        let name = format!("balancer of {name}");
        lab.configure(&mut command, &name, Make::Balancer, &text)?;
        let mut service = Service::start(lab, &name, command, &Endpoint::Port(port), PATH)?;
        let mut client = client(manner, port)?;
        for nth in 1..=requests {
            lab.pause([&mut service], Duration::ZERO)?;
            client.ask().map_err(|e| service.complaint(format!("did not answer request {nth} ({e})")))?;
        }
        drop(client);
        let status = service.process.stop(END_TIME);
        if !status.is_some_and(|status| status.success()) {
            let how = status.map_or_else(|| "it was not collected".to_owned(), describe);
            return Err(service.complaint(format!("did not end as it should under valgrind ({how})")));
        }
        let text = fs::read_to_string(&file).map_err(|e| Failure::file("read", &file, e))?;
        total(&text).ok_or_else(|| service.complaint("left no count: callgrind's file has no totals"))
    }
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
        assert_eq!((total("totals:\n"), total("")), (None, None));
    }
}
