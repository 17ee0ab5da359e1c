//! A balancer with workers of one kind.
//!
//! Decides how it is started, asked and told. Called by the scenarios. Never sends load but to learn what can be done.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{collections::HashMap, fs, sync::Arc};

use serde_json::Value;

use super::ask;
use super::kind::{Kind, Manners, Program};
use super::tally::{self, Tally};
use crate::exchange::{self, Endpoint};
use crate::lab::{Builds, Lab, free_ports};
use crate::load::{Load, Sent};
use crate::{
    cores::Place, events::Events, failure::Failure, process::Process, report::files::write_whole, service::Service,
};

/// What starting anything takes.
pub(super) struct Ground {
    pub(super) lab: Lab,
    pub(super) programs: Vec<Program>,
    /// Of each load.
    pub(super) connections: u32,
}

impl Ground {
    /// Finds and builds what is needed. `kinds`: those asked for by name; none: all that are installed.
    pub(super) fn find(
        builds: &Builds,
        kinds: &[Kind],
        connections: u32,
        events: &Arc<Events>,
    ) -> Result<Ground, Failure> {
        let lab = Lab::of(builds, events)?;
        let mut programs = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| kinds.is_empty() || kinds.contains(kind)) {
            match Program::find(kind, &lab) {
                Err(Failure::Missing(why)) if kinds.is_empty() => {
                    crate::say(&format!("without {} workers: {why}", kind.name()))
                }
                found => programs.push(found?),
            }
        }
        Ok(Ground { lab, programs, connections })
    }
}

/// How a site is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    /// Workers of the pool `app`.
    pub(super) count: u32,
    pub(super) manners: Manners,
    /// Further keys of its table `workers`.
    pub(super) keys: &'static str,
}

/// A worker of a pool, as `/api/status` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Worker {
    pub(super) name: String,
    /// `None`: there is no process.
    pub(super) pid: Option<u32>,
    pub(super) ready: bool,
}

/// What a command of the balancer's did.
pub(super) struct Order {
    pub(super) ok: bool,
    pub(super) said: String,
    pub(super) time: Duration,
}

/// A running balancer; it ends with this value, and its workers with it.
pub(super) struct Site<'a> {
    pub(super) ground: &'a Ground,
    program: &'a Program,
    setup: Setup,
    folder: PathBuf,
    records: PathBuf,
    balancer: Option<Service>,
    pub(super) port: u16,
}

impl<'a> Site<'a> {
    /// Starts it and waits until all its workers are ready.
    pub(super) fn start(
        ground: &'a Ground,
        program: &'a Program,
        setup: Setup,
        more: &str,
    ) -> Result<Site<'a>, Failure> {
        let [port] = free_ports()?;
        let folder = ground.lab.scratch.path().join(format!("site-{port}"));
        let records = folder.join("records");
        fs::create_dir_all(&records).map_err(|e| Failure::file("create", &records, e))?;
        let mut site = Site { ground, program, setup, folder, records, balancer: None, port };
        let file = site.write(&site.text(&site.app(setup.count, ""), more))?;
        let mut command = ground.lab.command(Place::Anywhere, "balancer")?;
        command.arg("--config").arg(file);
        // A path that would be there without workers too.
        site.balancer = Some(Service::start(&ground.lab, "balancer", command, &Endpoint::Port(port), "/")?);
        site.until_ready(setup.count)?;
        Ok(site)
    }

    /// The whole file: `pools` and routes behind what all have.
    pub(super) fn text(&self, app: &str, more: &str) -> String {
        format!(
            "listen = \"127.0.0.1:{}\"\n\n[access_log]\nformat = \"off\"\n\n[admin]\nsocket = {:?}\n\n{app}{more}",
            self.port,
            self.socket().display().to_string(),
        )
    }

    /// The tables of the pool `app`; `keys` are of the pool.
    pub(super) fn app(&self, count: u32, keys: &str) -> String {
        format!("[pool.app]\n{keys}\n{}", self.workers("app", count))
    }

    /// A pool's table `workers`.
    pub(super) fn workers(&self, pool: &str, count: u32) -> String {
        let keys = self.program.keys(self.setup.manners, &self.records);
        format!("[pool.{pool}.workers]\n{keys}count = {count}\n{}\n", self.setup.keys)
    }

    /// Puts the file in place whole, as an editor does.
    pub(super) fn write(&self, text: &str) -> Result<PathBuf, Failure> {
        let file = self.folder.join("lb.toml");
        write_whole(&file, text.as_bytes())?;
        Ok(file)
    }

    /// Workers of the same kind that nobody supervises.
    pub(super) fn fixed<const N: usize>(&self) -> Result<Vec<Service>, Failure> {
        let lab = &self.ground.lab;
        let start = |port| {
            let command = |path: &Path| lab.cores.command(Place::Anywhere, path);
            let command = self.program.command(port, &self.records, command);
            Service::start(lab, &format!("fixed {port}"), command, &Endpoint::Port(port), "/")
        };
        free_ports::<N>()?.into_iter().map(start).collect()
    }

    /// Runs `balancer WORDS` against it.
    pub(super) fn order(&self, words: &[&str]) -> Result<Order, Failure> {
        let begun = Instant::now();
        let mut process = self.begin(words)?;
        let ended = self.ground.lab.events.wait_any(&[process.pid()], ORDER_TIME)?.is_some();
        let status = process.reap().filter(|_| ended);
        let said = format!("{}{}", process.stdout()?, process.stderr_end());
        Ok(Order { ok: status.is_some_and(|status| status.success()), said, time: begun.elapsed() })
    }

    /// The same without waiting for it.
    pub(super) fn begin(&self, words: &[&str]) -> Result<Process, Failure> {
        let mut command = self.ground.lab.command(Place::Anywhere, "balancer")?;
        command.args(words).arg("--socket").arg(self.socket());
        Process::spawn("order", command, &self.folder, &self.ground.lab.events)
    }

    pub(super) fn kind(&self) -> Kind {
        self.program.kind
    }

    /// Its workers as it sees them now.
    pub(super) fn status(&self) -> Result<Vec<Worker>, Failure> {
        self.told(workers)
    }

    /// Reloads done and failed since its start.
    pub(super) fn reloads(&self) -> Result<[u64; 2], Failure> {
        self.told(|status| {
            let reloads = &status["reloads"];
            Some([reloads["done"].as_u64()?, reloads["failed"].as_u64()?])
        })
    }

    fn told<T>(&self, read: impl FnOnce(&Value) -> Option<T>) -> Result<T, Failure> {
        let answer = exchange::get(&Endpoint::Socket(self.socket()), "/api/status")
            .map_err(|error| self.complaint(&format!("does not tell its status: {error}")))?;
        serde_json::from_slice(&answer.body).ok().and_then(|status| read(&status)).ok_or_else(|| {
            let text = String::from_utf8_lossy(&answer.body);
            self.complaint(&format!("tells a status ({}) that cannot be read: {text}", answer.status))
        })
    }

    /// Waits until so many workers are ready and there is no other.
    pub(super) fn until_ready(&self, count: u32) -> Result<Vec<Worker>, Failure> {
        let until = Instant::now() + READY_TIME;
        loop {
            let workers = self.status()?;
            if workers.len() == count as usize && workers.iter().all(|worker| worker.ready) {
                return Ok(workers);
            }
            if Instant::now() > until {
                return Err(self.complaint(&format!("has no {count} ready workers: {workers:?}")));
            }
            self.pause(Duration::from_millis(10))?;
        }
    }

    /// Waits, and notices if the balancer ends.
    pub(super) fn pause(&self, time: Duration) -> Result<(), Failure> {
        let pids: Vec<u32> = self.balancer.iter().map(|service| service.process.pid()).collect();
        match self.ground.lab.events.wait_any(&pids, time)? {
            Some(_) => Err(self.complaint("ended while it was measured")),
            None => Ok(()),
        }
    }

    /// The balancer's process.
    pub(super) fn pid(&self) -> Result<u32, Failure> {
        self.balancer.as_ref().map(|service| service.process.pid()).ok_or_else(|| self.complaint("is not there"))
    }

    /// Collects a balancer that is dead by now, or ends it.
    pub(super) fn collect(&mut self) {
        self.balancer = None;
    }

    pub(super) fn complaint(&self, what: &str) -> Failure {
        match &self.balancer {
            Some(service) => service.complaint(what),
            None => Failure::Missing(format!("the balancer {what}")),
        }
    }

    /// Requests a second when each client asks again as soon as it is answered.
    pub(super) fn capacity(&self) -> Result<f64, Failure> {
        let load = ask::start(self.port, f64::INFINITY, self.ground.connections, 'c')?;
        self.pause(CAPACITY_TIME)?;
        let sent = load.sent();
        if let Some(failed) = Tally::of(&sent, &HashMap::new()).notes.last() {
            return Err(self.complaint(&format!("failed a request before anything was replaced: {failed}")));
        }
        // The first half warms everything up.
        let counted = sent.iter().filter(|one| one.at > CAPACITY_TIME / 2).count();
        if counted == 0 {
            return Err(self.complaint("answered nothing for a second before anything was replaced"));
        }
        load.stop();
        load.wait(&[], &self.ground.lab.events)?.map_err(|_| self.complaint("ended"))?;
        Ok(counted as f64 / (CAPACITY_TIME / 2).as_secs_f64())
    }

    /// Ends a load and counts; its ids begin with `prefix`.
    pub(super) fn tally(&self, load: &Load, prefix: char) -> Result<(Tally, Vec<Sent>), Failure> {
        load.stop();
        let sent = load.wait(&[], &self.ground.lab.events)?.map_err(|_| self.complaint("ended"))?;
        let reading = |e| Failure::file("read", &self.records, e);
        let mut runs = HashMap::new();
        for entry in fs::read_dir(&self.records).map_err(reading)? {
            let lines = fs::read(entry.map_err(reading)?.path()).map_err(reading)?;
            tally::runs(&String::from_utf8_lossy(&lines), prefix, &mut runs);
        }
        Ok((Tally::of(&sent, &runs), sent))
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }
}

/// The workers of all pools; `None` where it is no status.
fn workers(status: &Value) -> Option<Vec<Worker>> {
    let mut workers = Vec::new();
    for pool in status["pools"].as_array()? {
        for worker in pool["workers"]["all"].as_array().into_iter().flatten() {
            workers.push(Worker {
                name: worker["name"].as_str()?.to_owned(),
                pid: worker["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()),
                ready: worker["state"] == "ready",
            });
        }
    }
    Some(workers)
}

const READY_TIME: Duration = Duration::from_secs(60);
/// The longest is a roll of slow starters.
const ORDER_TIME: Duration = Duration::from_secs(180);
const CAPACITY_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_of_all_pools_are_read() {
        let text = r#"{"pools":[{"name":"app","workers":{"all":[{"name":"app.1","pid":7,"state":"ready"},
            {"name":"app.2","pid":null,"state":"backoff"}],"count":2}},{"name":"fixed","workers":null}]}"#;
        let worker = |name: &str, pid, ready| Worker { name: name.to_owned(), pid, ready };
        let all = vec![worker("app.1", Some(7), true), worker("app.2", None, false)];
        assert_eq!(workers(&serde_json::from_str(text).unwrap()), Some(all));
        assert_eq!(workers(&Value::Null), None);
    }
}
