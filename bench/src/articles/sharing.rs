//! Claims about many cores: a proxy in Node, and the ways to share connections without a proxy.
//!
//! Decides load and figures of each. Called by [`super::articles`]. Never compares two runs of different minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bench, Measured, Time};
use crate::cores::Place;
use crate::cpu;
use crate::exchange::{self, Endpoint, PATH};
use crate::lab::free_ports;
use crate::load::{Clients, Pace};
use crate::report::figure::{Figure, Unit};
use crate::{failure::Failure, service::Service};

/// Requests a second and CPU time of a proxy in Node and of ours, each on the proxy's core before the same worker.
pub(super) fn node_proxy(bench: &Bench) -> Result<Measured, Failure> {
    let worker = [bench.backend(&[])?];
    let [port] = free_ports()?;
    let script = bench.lab.scratch.write("proxy.js", include_str!("proxy.js"))?;
    let mut command = bench.lab.command(Place::Proxy, "node")?;
    command.arg(script).env("PORT", port.to_string()).env("UPSTREAM", worker[0].port.to_string());
    let node = Service::start(&bench.lab, "node proxy", command, &Endpoint::Port(port), PATH)?;
    let balancer = bench.balancer(&worker, "")?;
    let mut figures = loaded(bench, "a proxy in Node", &node, node.port)?;
    figures.extend(loaded(bench, "balancer", &balancer, balancer.port)?);
    Ok((figures, Vec::new()))
}

/// Two workers of one supervisor, each way to share the connections.
pub(super) fn modes(bench: &Bench) -> Result<Measured, Failure> {
    let (mut figures, mut notes) = (Vec::new(), Vec::new());
    let backend = bench.lab.program("backend")?;
    for mode in ["proxy", "shared", "reuse_port", "handoff"] {
        let [port] = free_ports()?;
        let listen =
            if mode == "proxy" { format!("listen = \"127.0.0.1:{port}\"\nthreads = 1\n") } else { String::new() };
        let place = match mode {
            "proxy" => String::new(),
            "handoff" => format!("mode = \"{mode}\"\naddress = \"127.0.0.1:{port}\"\n"),
            _ => format!("mode = \"{mode}\"\naddress = \"127.0.0.1:{port}\"\nready = {{ alive = \"1s\" }}\n"),
        };
        let workers = format!("[pool.app.workers]\ncommand = [{backend:?}]\ncount = 2\n{place}");
        let text = format!("{listen}[access_log]\nformat = \"off\"\n\n{workers}");
        let file = bench.lab.scratch.write(&format!("{mode}.toml"), &text)?;
        let mut command = bench.lab.command(Place::Anywhere, "balancer")?;
        command.arg("--config").arg(file);
        match Service::start(&bench.lab, &format!("mode {mode}"), command, &Endpoint::Port(port), PATH) {
            Ok(service) => {
                figures.extend(loaded(bench, mode, &service, port)?);
                figures.push(Figure::seen(
                    format!("most of 200 connections at one of two workers, {mode}"),
                    skew(port)?,
                    Unit::Share,
                ));
            }
            Err(Failure::Target { stderr, .. }) if mode != "proxy" => {
                let first = stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
                notes.push(format!("This balancer does not start with mode = \"{mode}\": {first}"));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok((figures, notes))
}

/// Requests a second on 64 kept connections, and the CPU time of all of a service's processes for each.
fn loaded(bench: &Bench, name: &str, service: &Service, port: u16) -> Result<Vec<Figure>, Failure> {
    let time = Time { stop: Some(MEASURED), patience: Duration::from_secs(10) };
    let before = cpu::of_tree(service.process.pid())?;
    let sent = bench.send(port, &[PATH], Pace::CLOSED, Clients::Kept(64), time)?;
    let used = (cpu::of_tree(service.process.pid())? - before).seconds();
    let served = sent.iter().filter(|one| one.is_served()).count();
    let each = used * 1e6 / served.max(1) as f64;
    Ok(vec![
        Figure::seen(format!("requests/s, {name}"), served as f64 / MEASURED.as_secs_f64(), Unit::Count),
        Figure::never(format!("failed, {name}"), sent.len() - served),
        Figure::seen(format!("CPU of a request, {name}"), each, Unit::Microseconds),
    ])
}

/// Share of the worker that got most.
fn skew(port: u16) -> Result<f64, Failure> {
    let mut counts = BTreeMap::<Vec<u8>, u32>::new();
    for _ in 0..CONNECTIONS {
        let answer = exchange::get(&Endpoint::Port(port), "/").map_err(|e| Failure::system("ask who answers", e))?;
        *counts.entry(answer.body).or_default() += 1;
    }
    Ok(f64::from(counts.into_values().max().unwrap_or(0)) / f64::from(CONNECTIONS))
}

const MEASURED: Duration = Duration::from_secs(3);
const CONNECTIONS: u32 = 200;
