//! A worker that writes head and body apart.
//!
//! Decides how often it is asked, on one connection. Called by [`super::Figure`]. Never asks who waits for whom: where the
//! reader of the first piece holds its acknowledgement back (RFC 1122 section 4.2.3.2) and the writer holds the second back
//! until it has it (RFC 896), each answer takes some 40 ms longer.

use std::process::Command;
use std::time::{Duration, Instant};

use super::Bench;
use crate::cores::Place;
use crate::crowd::summary::Latencies;
use crate::failure::Failure;
use crate::manner::{Client, Manner};
use crate::programs;
use crate::service::Service;
use crate::side::{PATH, Settings};
use crate::statistics::three_digits;
use crate::target::free_ports;

/// Milliseconds of a GET, direct and proxied.
pub(super) fn apart(bench: &Bench<'_>) -> Result<(String, String), Failure> {
    let label = format!("p50 of a GET, ms: python3's http.server direct, proxied, {GETS} on one connection");
    let Some(python) = programs::find("python3") else { return Ok((label, "– (no python3)".to_owned())) };
    let ground = &bench.ground;
    let script = ground.scratch.write("origin.py", include_str!("origin.py"))?;
    let [port] = free_ports()?;
    let mut command: Command = ground.cores.command(Place::Generator, &python);
    command.arg(script).env("PORT", port.to_string());
    let python = Service::start("python3", command, port, PATH, START_TIME, ground.scratch.path(), ground.events)?;
    let balancer = bench.side.start_before(&[python.port], &[], Settings::default(), ground)?;
    let direct = p50(&python, bench)?;
    let proxied = p50(&balancer, bench)?;
    Ok((label, format!("{}, {}", three_digits(direct), three_digits(proxied))))
}

fn p50(service: &Service, bench: &Bench<'_>) -> Result<f64, Failure> {
    let (mut client, mut times) = (Client::new(Manner::KeepAlive, service.port), Vec::new());
    for nth in 1..=GETS {
        bench.ground.events.wait_any(&[], Duration::ZERO)?;
        let begun = Instant::now();
        client.ask().map_err(|e| service.complaint(format!("did not answer request {nth} ({e})")))?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Latencies::of(&times).map_or(f64::NAN, |latencies| latencies.p50))
}

const GETS: u32 = 100;
const START_TIME: Duration = Duration::from_secs(30);
