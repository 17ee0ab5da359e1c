//! Four workers and a balancer in front of them.
//!
//! Decides how they are started, and asks the workers what they saw. Called by [`crate::supermarket`], [`crate::overload`]
//! and [`crate::attack`]. Never generates load.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::contender::Contender;
use crate::arguments::default_output;
use crate::cores::{Cores, Place};
use crate::events::Events;
use crate::exchange;
use crate::failure::Failure;
use crate::programs;
use crate::say;
use crate::scratch::Scratch;
use crate::service::Service;
use crate::target::{Configuration, Endpoint, free_ports};

/// Arguments that say what is measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct Asked {
    /// What to measure [default: all but the balancer without slots, those installed]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) only: Vec<Contender>,
    /// The balancer to measure [default: this workspace's, built when needed]
    #[arg(long, value_name = "PATH")]
    pub(crate) balancer: Option<PathBuf>,
    /// The backend to use as worker [default: this workspace's, built when needed]
    #[arg(long, value_name = "PATH")]
    pub(crate) backend: Option<PathBuf>,
    /// The crowd: the same number, the same arrivals
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where figures and pictures go, in files of the command's name [default: bench/results]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

impl Asked {
    /// Where figures and pictures go.
    pub(crate) fn output(&self) -> PathBuf {
        self.output.clone().unwrap_or_else(default_output)
    }
}

/// What starting anything takes.
pub(crate) struct Ground {
    pub(crate) contenders: Vec<Contender>,
    balancer: PathBuf,
    backend: PathBuf,
    nginx: Option<PathBuf>,
    haproxy: Option<PathBuf>,
    pub(crate) cores: Cores,
    pub(crate) scratch: Scratch,
    pub(crate) events: Arc<Events>,
}

impl Ground {
    /// Finds and builds the programs. `default`: who is measured when nobody is asked for.
    ///
    /// # Errors
    /// One that was asked for by name is missing, or ours do not build.
    pub(crate) fn find(asked: &Asked, default: &[Contender], events: &Arc<Events>) -> Result<Ground, Failure> {
        let [nginx, haproxy] = ["nginx", "haproxy"].map(programs::find);
        let mut contenders = if asked.only.is_empty() { default.to_vec() } else { asked.only.clone() };
        for (name, found) in [("nginx", &nginx), ("haproxy", &haproxy)] {
            let concerned = contenders.iter().any(|contender| contender.program() == name);
            if found.is_some() || !concerned {
                continue;
            }
            if !asked.only.is_empty() {
                return Err(Failure::missing(name));
            }
            say(&format!("without {name}: {}", programs::how_to_install(name)));
            contenders.retain(|contender| contender.program() != name);
        }
        let ours = [("balancer", asked.balancer.as_deref()), ("backend", asked.backend.as_deref())];
        let [balancer, backend] = programs::ours(ours, events)?;
        let (cores, scratch, events) = (Cores::find(), Scratch::create()?, Arc::clone(events));
        Ok(Ground { contenders, balancer, backend, nginx, haproxy, cores, scratch, events })
    }

    /// Starts workers that answer each request after `service`.
    fn workers(&self, model: &str, service: Duration) -> Result<Vec<Service>, Failure> {
        let ports: [u16; WORKERS] = free_ports()?;
        let start = |(nth, port): (usize, u16)| {
            let mut command = self.cores.command(Place::Anywhere, &self.backend);
            command.args(["--model", model, "--delay-ms", &service.as_millis().to_string()]);
            command.env("HOST", "127.0.0.1").env("PORT", port.to_string());
            let name = format!("worker {}", nth + 1);
            Service::start(&name, command, port, "/info", START_TIME, self.scratch.path(), &self.events)
        };
        ports.into_iter().enumerate().map(start).collect()
    }

    /// Starts workers that serve one connection at a time, and a contender in front of them.
    pub(crate) fn site(
        &self,
        contender: Contender,
        service: Duration,
        clients: u32,
        wait: Duration,
    ) -> Result<Site, Failure> {
        self.site_of("sequential", contender, service, clients, wait)
    }

    /// The same with workers of another model.
    pub(crate) fn site_of(
        &self,
        model: &str,
        contender: Contender,
        service: Duration,
        clients: u32,
        wait: Duration,
    ) -> Result<Site, Failure> {
        let workers = self.workers(model, service)?;
        let ports: Vec<u16> = workers.iter().map(|worker| worker.port).collect();
        let [port] = free_ports()?;
        let text = contender.configuration(port, &ports, clients, wait);
        let file = self.scratch.write(&format!("{}.conf", contender.program()), &text)?;
        let missing = || Failure::missing(contender.program());
        let program = match contender.program() {
            "nginx" => self.nginx.as_ref().ok_or_else(missing)?,
            "haproxy" => self.haproxy.as_ref().ok_or_else(missing)?,
            _ => &self.balancer,
        };
        let mut command = self.cores.command(Place::Proxy, program);
        match contender.program() {
            "nginx" => command.args(["-e", "stderr", "-p"]).arg(self.scratch.path()).arg("-c").arg(file),
            "haproxy" => command.args(["-db", "-f"]).arg(file),
            _ => command.arg("--config").arg(file),
        };
        let proxy =
            Service::start(contender.name(), command, port, "/", START_TIME, self.scratch.path(), &self.events)?;
        let mut site = Site { proxy, workers, text, overlaps_before: 0 };
        // The start's own request may have met a worker that was still busy with ours.
        site.overlaps_before = site.overlaps_counted(&self.events)?;
        Ok(site)
    }
}

/// A balancer and its workers; they end with this value.
pub(crate) struct Site {
    pub(crate) proxy: Service,
    pub(crate) workers: Vec<Service>,
    text: String,
    overlaps_before: u64,
}

impl Site {
    /// Every process that must live.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.workers.iter().chain([&self.proxy]).map(|service| service.process.pid()).collect()
    }

    /// The complaint about one that does not.
    pub(crate) fn ended(&mut self, pid: u32) -> Failure {
        let workers = self.workers.iter_mut();
        let found = workers.chain([&mut self.proxy]).find(|service| service.process.pid() == pid);
        match found {
            Some(service) => service.process.ended("while it was measured"),
            None => Failure::Missing(format!("process {pid} ended while it was measured")),
        }
    }

    /// Answers before which a worker had another connection waiting already, since the start.
    pub(crate) fn overlaps(&self, events: &Events) -> Result<u64, Failure> {
        Ok(self.overlaps_counted(events)?.saturating_sub(self.overlaps_before))
    }

    pub(crate) fn configuration(&self) -> Configuration {
        let (name, command) = (self.proxy.process.name().to_owned(), self.proxy.command.clone());
        Configuration { name, command, text: self.text.clone() }
    }

    fn overlaps_counted(&self, events: &Events) -> Result<u64, Failure> {
        let until = Instant::now() + INFO_TIME;
        let mut sum = 0;
        for worker in &self.workers {
            // It may still be at work for clients that have left.
            let lines = loop {
                match exchange::get(&Endpoint::Port(worker.port), "/info") {
                    Ok(answer) => break String::from_utf8_lossy(&answer.body).into_owned(),
                    Err(e) if Instant::now() >= until => {
                        return Err(worker.complaint(format!("does not tell what it counted ({e})")));
                    }
                    Err(_) => _ = events.wait_any(&[], Duration::from_millis(20))?,
                }
            };
            let count = lines.lines().find_map(|line| line.strip_prefix("overlaps: ")?.parse::<u64>().ok());
            sum += count.ok_or_else(|| worker.complaint("counts no overlaps: it is an older one".to_owned()))?;
        }
        Ok(sum)
    }
}

/// As many as the articles' set-up for one machine.
pub(crate) const WORKERS: usize = 4;
const START_TIME: Duration = Duration::from_secs(20);
const INFO_TIME: Duration = Duration::from_secs(60);
