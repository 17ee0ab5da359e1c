//! A balancer with workers of one kind.
//!
//! Decides how it is started, asked and told. Called by the scenarios. Never sends load.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::kind::{Kind, Manners, Program};
use super::load::Load;
use super::status::{self, Worker};
use super::tally::{self, Sent, Tally};
use crate::cores::{Cores, Place};
use crate::events::Events;
use crate::exchange;
use crate::failure::Failure;
use crate::process::Process;
use crate::programs;
use crate::scratch::Scratch;
use crate::service::Service;
use crate::target::{Endpoint, free_ports};

/// What starting anything takes.
pub(super) struct Ground {
    balancer: PathBuf,
    pub(super) programs: Vec<Program>,
    pub(super) cores: Cores,
    pub(super) scratch: Scratch,
    pub(super) events: Arc<Events>,
    /// Of each load.
    pub(super) connections: u32,
}

impl Ground {
    /// Finds and builds what is needed. `kinds`: those asked for by name; none: all that are installed.
    ///
    /// # Errors
    /// One that was asked for is missing, or ours do not build.
    pub(super) fn find(
        given: [Option<&Path>; 2],
        kinds: &[Kind],
        connections: u32,
        events: &Arc<Events>,
    ) -> Result<Ground, Failure> {
        let [balancer, backend] = given;
        let [balancer, backend] = programs::ours([("balancer", balancer), ("backend", backend)], events)?;
        let scratch = Scratch::create()?;
        let mut programs = Vec::new();
        for kind in Kind::ALL {
            let installed = kind.interpreter().is_none_or(|name| programs::find(name).is_some());
            match (kinds.is_empty(), kinds.contains(&kind)) {
                (false, true) | (true, _) if installed => programs.push(Program::find(kind, &backend, &scratch)?),
                (false, true) => return Err(Failure::missing(kind.interpreter().unwrap_or_default())),
                (true, _) => crate::say(&format!("without {} workers: they are not installed", kind.name())),
                (false, false) => {}
            }
        }
        Ok(Ground { balancer, programs, cores: Cores::find(), scratch, events: Arc::clone(events), connections })
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
    ///
    /// # Errors
    /// It does not start, or they do not become ready.
    pub(super) fn start(
        ground: &'a Ground,
        program: &'a Program,
        setup: Setup,
        more: &str,
    ) -> Result<Site<'a>, Failure> {
        let [port] = free_ports()?;
        let folder = ground.scratch.path().join(format!("site-{port}"));
        let records = folder.join("records");
        fs::create_dir_all(&records).map_err(|e| Failure::file("create", &records, e))?;
        let mut site = Site { ground, program, setup, folder, records, balancer: None, port };
        let file = site.write(&site.text(&site.app(setup.count, ""), more))?;
        let mut command = ground.cores.command(Place::Anywhere, &ground.balancer);
        command.arg("--config").arg(file);
        // A path that would be there without workers too.
        let service = Service::start("balancer", command, port, "/", START_TIME, &site.folder, &ground.events)?;
        site.balancer = Some(service);
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
        crate::plot::write_whole(&file, text.as_bytes())?;
        Ok(file)
    }

    /// Workers of the same kind that nobody supervises.
    pub(super) fn fixed<const N: usize>(&self) -> Result<Vec<Service>, Failure> {
        let start = |port| {
            let ground = self.ground;
            let command = |path: &Path| ground.cores.command(Place::Anywhere, path);
            let command = self.program.command(port, &self.records, command);
            let name = format!("fixed {port}");
            Service::start(&name, command, port, "/", START_TIME, &self.folder, &ground.events)
        };
        free_ports::<N>()?.into_iter().map(start).collect()
    }

    /// Runs `balancer WORDS` against it; whether it exited with 0, what it said, how long it took.
    pub(super) fn order(&self, words: &[&str]) -> Result<Order, Failure> {
        let begun = Instant::now();
        let mut process = self.begin(words)?;
        let ended = self.ground.events.wait_any(&[process.pid()], ORDER_TIME)?.is_some();
        let status = process.reap().filter(|_| ended);
        let said = format!("{}{}", process.stdout()?, process.stderr_end());
        Ok(Order { ok: status.is_some_and(|status| status.success()), said, time: begun.elapsed() })
    }

    /// The same without waiting for it.
    pub(super) fn begin(&self, words: &[&str]) -> Result<Process, Failure> {
        let mut command = self.ground.cores.command(Place::Anywhere, &self.ground.balancer);
        command.args(words).arg("--socket").arg(self.socket());
        Process::spawn("order", command, &self.folder, &self.ground.events)
    }

    pub(super) fn kind(&self) -> Kind {
        self.program.kind
    }

    /// Its workers as it sees them now.
    pub(super) fn status(&self) -> Result<Vec<Worker>, Failure> {
        self.told(status::workers)
    }

    /// Reloads done and failed since its start.
    pub(super) fn reloads(&self) -> Result<[u64; 2], Failure> {
        self.told(status::reloads)
    }

    fn told<T>(&self, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, Failure> {
        let answer = exchange::get(&Endpoint::Socket(self.socket()), "/api/status")
            .map_err(|error| self.complaint(&format!("does not tell its status: {error}")))?;
        read(&answer.body).ok_or_else(|| {
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
        let pids = self.pid().map_or_else(Vec::new, |pid| vec![pid]);
        match self.ground.events.wait_any(&pids, time)? {
            Some(_) => Err(self.complaint("ended while it was measured")),
            None => Ok(()),
        }
    }

    /// The balancer's process; `None` once it was killed.
    pub(super) fn pid(&self) -> Option<u32> {
        self.balancer.as_ref().map(|service| service.process.pid())
    }

    /// Collects a balancer that is dead by now, or ends it.
    pub(super) fn collect(&mut self) {
        self.balancer = None;
    }

    pub(super) fn complaint(&self, what: &str) -> Failure {
        match &self.balancer {
            Some(service) => service.complaint(what.to_owned()),
            None => Failure::Missing(format!("the balancer {what}")),
        }
    }

    /// How often each POST of the loads with this prefix was run, by number.
    pub(super) fn runs(&self, prefix: char) -> Result<HashMap<u64, u32>, Failure> {
        let reading = |e| Failure::file("read", &self.records, e);
        let mut runs = HashMap::new();
        for entry in fs::read_dir(&self.records).map_err(reading)? {
            let lines = fs::read(entry.map_err(reading)?.path()).map_err(reading)?;
            tally::runs(&String::from_utf8_lossy(&lines), prefix, &mut runs);
        }
        Ok(runs)
    }

    /// Requests a second when each client asks again as soon as it is answered.
    pub(super) fn capacity(&self) -> Result<f64, Failure> {
        let load = Load::start(self.port, f64::INFINITY, self.ground.connections, 'c')?;
        self.pause(CAPACITY_TIME)?;
        let sent = load.sent();
        if let Some(failed) = Tally::of(&sent, &HashMap::new()).failures.first() {
            return Err(self.complaint(&format!("failed a request before anything was replaced: {failed:?}")));
        }
        // The first half warms everything up.
        let counted = sent.iter().filter(|one| one.at > CAPACITY_TIME / 2).count();
        self.end(&load)?;
        Ok(counted as f64 / (CAPACITY_TIME / 2).as_secs_f64())
    }

    /// Ends a load and counts.
    pub(super) fn tally(&self, load: &Load, prefix: char) -> Result<(Tally, Vec<Sent>), Failure> {
        self.end(load)?;
        let sent = load.sent();
        Ok((Tally::of(&sent, &self.runs(prefix)?), sent))
    }

    fn end(&self, load: &Load) -> Result<(), Failure> {
        load.stop();
        while !load.has_ended() {
            self.ground.events.wait_any(&[], Duration::from_millis(10))?;
        }
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }
}

/// What a command of the balancer's did.
pub(super) struct Order {
    pub(super) ok: bool,
    pub(super) said: String,
    pub(super) time: Duration,
}

const START_TIME: Duration = Duration::from_secs(30);
const READY_TIME: Duration = Duration::from_secs(60);
/// The longest is a roll of slow starters.
const ORDER_TIME: Duration = Duration::from_secs(180);
const CAPACITY_TIME: Duration = Duration::from_secs(2);
