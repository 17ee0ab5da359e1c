//! Four workers that do one thing at a time, a balancer in front of them, and a crowd that comes whether or not it is served.
//!
//! Decides how each balancer is configured for such workers, as its manual advises. Called by the scenarios below. Never lets
//! one contender see another's workers: each has fresh ones.

pub(crate) mod attack;
mod attacker;
pub(crate) mod overload;
pub(crate) mod supermarket;

use std::time::{Duration, Instant};
use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};

use crate::exchange::{self, Endpoint};
use crate::lab::{self, Builds, Lab, free_ports};
use crate::load::{Clients, Load, Pace, Plan, Sent, local};
use crate::proxies::{self, Make};
use crate::report::figure::{Figure, Unit};
use crate::{
    arguments::default_output, cores::Place, events::Events, failure::Failure, load::arrivals::Arrival, load::get::Get,
    programs, say, service::Service, statistics::Latencies,
};

/// One row of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// This workspace's balancer, `slots = 1`, with the slow lane
    Balancer,
    /// The same without the slow lane: one plain queue
    BalancerQueue,
    /// The same without slots, `least_connections`
    BalancerUnslotted,
    /// nginx, round robin
    Nginx,
    /// nginx, `least_conn`
    NginxLeastConn,
    /// HAProxy, `leastconn`, `maxconn 1` for each worker and its queue
    Haproxy,
}

impl Contender {
    /// Its name, its place in the pictures' palette, and whose program it is.
    fn known(self) -> (&'static str, usize, Make) {
        match self {
            Contender::Balancer => ("balancer, slow lane", 1, Make::Balancer),
            Contender::BalancerQueue => ("balancer, one queue", 6, Make::Balancer),
            Contender::BalancerUnslotted => ("balancer, no slots", 5, Make::Balancer),
            Contender::Nginx => ("nginx, round robin", 2, Make::Nginx),
            Contender::NginxLeastConn => ("nginx, least_conn", 4, Make::Nginx),
            Contender::Haproxy => ("HAProxy, maxconn 1", 3, Make::Haproxy),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.known().0
    }

    fn has_slots(self) -> bool {
        matches!(self, Contender::Balancer | Contender::BalancerQueue)
    }

    /// `clients`: connections at once. `wait`: how long a request may queue.
    fn configuration(self, port: u16, workers: &[Endpoint], clients: u32, wait: Duration) -> String {
        let wait = wait.as_millis();
        let slots = |lane| format!("slots = 1\nqueue_timeout = \"{wait}ms\"\nslow_lane = {lane}\n");
        let balancer = |pool: &str| proxies::balancer(port, workers, pool, None, 0);
        let nginx = |policy| proxies::nginx("nginx", port, workers, ["off", policy, ""], clients);
        match self {
            Contender::Balancer => balancer(&slots(true)),
            Contender::BalancerQueue => balancer(&slots(false)),
            Contender::BalancerUnslotted => balancer("policy = \"least_connections\"\n"),
            Contender::Nginx => nginx(""),
            Contender::NginxLeastConn => nginx("        least_conn;\n"),
            Contender::Haproxy => {
                let queue = format!("    timeout queue {wait}ms\n");
                proxies::haproxy(port, workers, [&queue, "", "    balance leastconn\n", " maxconn 1"], clients)
            }
        }
    }
}

/// Arguments all of them have.
#[derive(Args, Clone, Debug)]
pub(crate) struct Asked {
    /// What to measure [default: all but the balancer without slots, those installed]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<Contender>,
    #[command(flatten)]
    builds: Builds,
    /// The crowd: the same number, the same arrivals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where figures and pictures go, in files of the command's name [default: bench/results]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

impl Asked {
    /// Where figures and pictures go.
    pub(crate) fn output(&self) -> PathBuf {
        self.output.clone().unwrap_or_else(default_output)
    }

    /// Finds the programs. `default`: who is measured when nobody is asked for.
    fn lab(&self, default: &[Contender], events: &Arc<Events>) -> Result<(Lab, Vec<Contender>), Failure> {
        let mut contenders = if self.only.is_empty() { default.to_vec() } else { self.only.clone() };
        for make in [Make::Nginx, Make::Haproxy] {
            let name = make.program();
            let concerned = contenders.iter().any(|contender| contender.known().2 == make);
            if programs::find(name).is_some() || !concerned {
                continue;
            }
            if !self.only.is_empty() {
                return Err(Failure::missing(name));
            }
            say(&format!("without {name}: {}", programs::how_to_install(name)));
            contenders.retain(|contender| contender.known().2 != make);
        }
        Ok((Lab::of(&self.builds, events)?, contenders))
    }
}

/// A balancer and its workers; they end with this value.
struct Site<'a> {
    lab: &'a Lab,
    proxy: Service,
    workers: Vec<Service>,
    overlaps_before: u64,
}

impl<'a> Site<'a> {
    /// Starts workers of this model that answer each request after `service`, and a contender in front of them.
    fn start(
        lab: &'a Lab,
        contender: Contender,
        (model, service): (&str, Duration),
        clients: u32,
        wait: Duration,
    ) -> Result<Site<'a>, Failure> {
        let endpoints = free_ports::<WORKERS>()?.map(Endpoint::Port);
        let delay = service.as_millis().to_string();
        let start = |(nth, endpoint)| {
            let words = ["--model", model, "--delay-ms", &delay];
            lab.backend(&format!("worker {nth}"), Place::Anywhere, endpoint, &words, "/info")
        };
        let workers = (1..).zip(&endpoints).map(start).collect::<Result<Vec<_>, _>>()?;
        let [port] = free_ports()?;
        let (name, _, make) = contender.known();
        let text = contender.configuration(port, &endpoints, clients, wait);
        let proxy = lab.proxy(name, make, Place::Proxy, (&Endpoint::Port(port), "/"), text)?;
        let mut site = Site { lab, proxy, workers, overlaps_before: 0 };
        // The start's own request may have met a worker that was still busy with ours.
        site.overlaps_before = site.overlaps_counted()?;
        Ok(site)
    }

    /// Every process that must live.
    fn services(&mut self) -> Vec<&mut Service> {
        self.workers.iter_mut().chain([&mut self.proxy]).collect()
    }

    /// Sends the crowd and waits until the last one has left. `paths` by [`Arrival::kind`].
    fn send(
        &mut self,
        arrivals: Vec<Arrival>,
        paths: &'static [&'static str],
        clients: Clients,
        patience: Duration,
    ) -> Result<Vec<Sent>, Failure> {
        let get = Get { address: local(self.proxy.port), paths, keep: false };
        let load = Load::start(Plan { pace: Pace::at(arrivals), clients, patience }, get)?;
        let lab = self.lab;
        let mut services = self.services();
        let pids: Vec<u32> = services.iter().map(|service| service.process.pid()).collect();
        load.wait(&pids, &lab.events)?.map_err(|pid| lab::ended(&mut services, pid))
    }

    /// Answers before which a worker had another connection waiting already, since the start.
    fn overlaps(&self) -> Result<u64, Failure> {
        Ok(self.overlaps_counted()?.saturating_sub(self.overlaps_before))
    }

    fn overlaps_counted(&self) -> Result<u64, Failure> {
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
                    Err(_) => _ = self.lab.events.wait_any(&[], Duration::from_millis(20))?,
                }
            };
            let count = lines.lines().find_map(|line| line.strip_prefix("overlaps: ")?.parse::<u64>().ok());
            sum += count.ok_or_else(|| worker.complaint("counts no overlaps: it is an older one"))?;
        }
        Ok(sum)
    }
}

/// Figures of a row: one for each percentile, by its name; 100 is the longest.
fn percentiles(of: &str, names: &[(&str, f64)], latencies: Option<&Latencies>) -> Vec<Figure> {
    let value = |percent| latencies.map_or(f64::NAN, |latencies| latencies.percentile(percent));
    let figure = |(name, percent): &(&str, f64)| Figure::seen(*name, value(*percent), Unit::Milliseconds).of(of);
    names.iter().map(figure).collect()
}

/// A warning where clients did not set out in time, which makes the figures the generator's too; milliseconds that 99 % of them kept.
fn lateness(of: &str, sent: &[Sent]) -> Option<String> {
    let late = Latencies::of(sent.iter().map(Sent::late)).map_or(0.0, |late| late.percentile(99.0));
    (late > LATE_MS).then(|| {
        let late = Unit::Milliseconds.text(late);
        format!("!!! {of}: clients set out up to {late} ms late (99 % of them less): generator or machine was the bottleneck.")
    })
}

/// As many as the articles' set-up for one machine.
const WORKERS: usize = 4;
const INFO_TIME: Duration = Duration::from_secs(60);
const LATE_MS: f64 = 20.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::answer::End;

    #[test]
    fn each_has_all_workers_and_its_own_rule() {
        let workers: Vec<Endpoint> = (2..=5).map(Endpoint::Port).collect();
        for (contender, rule) in [
            (Contender::Balancer, "slots = 1\nqueue_timeout = \"2000ms\"\nslow_lane = true\n"),
            (Contender::BalancerQueue, "slow_lane = false\n"),
            (Contender::BalancerUnslotted, "policy = \"least_connections\"\n"),
            (Contender::Nginx, "server 127.0.0.1:5;\n    }"),
            (Contender::NginxLeastConn, "        least_conn;\n"),
            (Contender::Haproxy, "timeout queue 2000ms\n"),
        ] {
            let text = contender.configuration(1, &workers, 100, Duration::from_secs(2));
            assert!(text.contains(rule), "{text}");
            (2..=5).for_each(|port| assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}"));
        }
    }

    #[test]
    fn a_late_generator_is_told() {
        let sent = |late| Sent {
            number: 0,
            kind: 0,
            due: Duration::ZERO,
            set_out: Duration::from_millis(late),
            well: Duration::ZERO,
            at: Duration::from_secs(1),
            end: End::Answered { status: 200, retry_after: false },
            said: None,
        };
        assert_eq!(lateness("balancer", &[sent(19)]), None);
        assert!(
            lateness("balancer", &[sent(150)]).unwrap().starts_with("!!! balancer: clients set out up to 150 ms late")
        );
    }
}
