//! A worker that writes head and body apart.
//!
//! Decides how often it is asked, on one connection. Called by [`super::footprint`]. Never asks who waits for whom: where the
//! reader of the first piece holds its acknowledgement back (RFC 1122 section 4.2.3.2) and the writer holds the second back
//! until it has it (RFC 896), each answer takes some 40 ms longer.

use std::time::{Duration, Instant};

use super::{Bench, Measured};
use crate::exchange::{Endpoint, PATH};
use crate::manner::{Manner, client};
use crate::report::figure::{Figure, Unit};
use crate::{cores::Place, failure::Failure, lab::free_ports, programs, service::Service, statistics::Latencies};

/// Milliseconds of a GET, direct and proxied.
pub(super) fn apart(bench: &Bench) -> Result<Measured, Failure> {
    if programs::find("python3").is_none() {
        return Ok((Vec::new(), Some("An answer in two pieces was not measured: no python3.".to_owned())));
    }
    let lab = &bench.lab;
    let script = lab.scratch.write("origin.py", include_str!("origin.py"))?;
    let [port] = free_ports()?;
    let mut command = lab.command(Place::Generator, "python3")?;
    command.arg(script).env("PORT", port.to_string());
    let python = Service::start(lab, "python3", command, &Endpoint::Port(port), PATH)?;
    let balancer = bench.start_before(&[Endpoint::Port(port)], "")?;
    let figure = |how: &str, service: &Service| {
        let what = format!("p50 of a GET from python3's http.server, {how}, {GETS} on one connection");
        Ok(Figure::seen(what, p50(service, bench)?, Unit::Milliseconds))
    };
    Ok((vec![figure("direct", &python)?, figure("proxied", &balancer)?], None))
}

fn p50(service: &Service, bench: &Bench) -> Result<f64, Failure> {
    let (mut client, mut times) = (client(Manner::KeepAlive, service.port)?, Vec::new());
    for nth in 1..=GETS {
        bench.lab.events.wait_any(&[], Duration::ZERO)?;
        let begun = Instant::now();
        client.ask().map_err(|e| service.complaint(format!("did not answer request {nth} ({e})")))?;
        times.push(begun.elapsed());
    }
    Ok(Latencies::of(times).map_or(f64::NAN, |latencies| latencies.percentile(50.0)))
}

const GETS: u32 = 100;
