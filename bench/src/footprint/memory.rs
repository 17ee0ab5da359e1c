//! Private memory for each of what is open.
//!
//! Decides what is held, and that it is held when it is looked. Called by [`super::footprint`]. Never counts what a process needs
//! once, however many come: it has served some before the first look.

use std::time::{Duration, Instant};

use super::{Bench, Measured};
use crate::held::{BATCH, Held, Wanted, get, settled, upgrade};
use crate::report::figure::{Figure, Unit};
use crate::usage::{Memory, open_descriptors};
use crate::{exchange::PATH, failure::Failure, service::Service, statistics::whole};

/// Requests whose worker has them and does not answer.
pub(super) fn in_flight(bench: &Bench) -> Result<Measured, Failure> {
    of_each("request in flight", "", bench, |service| {
        let before = descriptors_of_origin(bench)?;
        let held = hold(1_000, service, &get("/delay?ms=60000", ""), Wanted::Nothing, bench)?;
        until("1,000 requests at the workers", bench, || Ok(descriptors_of_origin(bench)? >= before + 1_000))?;
        Ok((held, 1_000))
    })
}

/// Upgraded connections that have carried a message both ways.
pub(super) fn tunnel(bench: &Bench) -> Result<Measured, Failure> {
    of_each("tunnel", "", bench, |service| Ok((hold(500, service, &upgrade(), Wanted::Echo, bench)?, 500)))
}

/// Upstream connections that a thousand requests at once have left, whose clients are gone.
pub(super) fn upstream(bench: &Bench) -> Result<Measured, Failure> {
    of_each("idle upstream connection", "keep_alive_timeout = \"10m\"\n", bench, |service| {
        let pid = service.process.pid();
        // Some of them idle upstream connections, of which those that come first make use.
        let before = open_descriptors(pid)?;
        // Long enough that none is answered before the last is there.
        let mut burst = hold(1_000, service, &get("/delay?ms=4000", ""), Wanted::Nothing, bench)?;
        burst.wait_for(Wanted::Answer, &bench.lab.events)?;
        let open = open_descriptors(pid)?;
        drop(burst);
        until("the clients' connections closed", bench, || Ok(open_descriptors(pid)? <= open - 1_000))?;
        light_traffic(service, bench)?;
        match open_descriptors(pid)?.saturating_sub(before) {
            kept @ 900.. => Ok((Held::default(), kept)),
            kept => Err(service.complaint(format!("kept {kept} upstream connections of 1,000 requests at once"))),
        }
    })
}

/// Clients' connections that have carried one request each.
pub(super) fn idle(bench: &Bench) -> Result<Measured, Failure> {
    of_each("idle client connection", "", bench, |service| {
        Ok((hold(6_000, service, &get(PATH, ""), Wanted::Body(BODY), bench)?, 6_000))
    })
}

/// Looks at fresh processes before and after `open`, which says what it holds and how many of `what` there are.
fn of_each(
    what: &str,
    pool: &str,
    bench: &Bench,
    open: impl Fn(&Service) -> Result<(Held, usize), Failure>,
) -> Result<Measured, Failure> {
    let (mut each, mut steps, mut over) = (Vec::new(), Vec::new(), 0);
    for _ in 0..bench.rounds {
        let service = bench.start(pool)?;
        light_traffic(&service, bench)?;
        let look =
            || Ok(settled(&bench.lab.events, || Ok(Memory::of(service.process.pid())?.private))? as f64 / 1024.0);
        let before: f64 = look()?;
        let (held, count) = open(&service)?;
        let with: f64 = look()?;
        match held.closed() {
            0 => {}
            closed => return Err(service.complaint(format!("closed {closed} connections that were to be held"))),
        }
        each.push((with - before) / count as f64);
        steps.push(format!("{} → {}", whole(before), whole(with)));
        over = count;
    }
    let what = format!("private memory per {what}, over {}", whole(over as f64));
    let note = format!("{what}: KiB before → with: {}", steps.join(", "));
    Ok((vec![Figure::of_rounds("", what, Unit::Kilobytes, each)], Some(note)))
}

/// Some seconds in which a process makes what it has once, however many come, and its allocator gives back what it does not
/// need: that happens with requests, not while nothing comes.
fn light_traffic(service: &Service, bench: &Bench) -> Result<(), Failure> {
    for _ in 0..BATCHES {
        drop(hold(BATCH as u32, service, &get(PATH, ""), Wanted::Body(BODY), bench)?);
        bench.lab.events.wait_any(&[], BETWEEN_BATCHES)?;
    }
    Ok(())
}

fn hold(count: u32, service: &Service, request: &str, wanted: Wanted<'_>, bench: &Bench) -> Result<Held, Failure> {
    Held::open(count, service.port, request, wanted, &bench.lab.events)
}

fn descriptors_of_origin(bench: &Bench) -> Result<usize, Failure> {
    bench.origin.services.iter().map(|service| open_descriptors(service.process.pid())).sum()
}

/// Waits for a state.
fn until(what: &str, bench: &Bench, is_so: impl Fn() -> Result<bool, Failure>) -> Result<(), Failure> {
    let until = Instant::now() + TIME;
    while !is_so()? {
        if Instant::now() > until {
            return Err(Failure::Missing(format!("{what}: not after {} s", TIME.as_secs())));
        }
        bench.lab.events.wait_any(&[], Duration::from_millis(10))?;
    }
    Ok(())
}

/// What is at [`PATH`].
const BODY: &[u8] = b"hello world";
const BATCHES: u32 = 60;
const BETWEEN_BATCHES: Duration = Duration::from_millis(100);
const TIME: Duration = Duration::from_secs(20);
