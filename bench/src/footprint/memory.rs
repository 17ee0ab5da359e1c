//! Private memory for each of what is open.
//!
//! Decides what is held, and that it is held when it is looked. Called by [`super::Figure`]. Never counts what a process needs
//! once, however many come: it has served some before the first look.

use std::time::{Duration, Instant};

use super::Bench;
use crate::failure::Failure;
use crate::idle::{BATCH, Idle, Wanted, get, settled};
use crate::service::Service;
use crate::side::PATH;
use crate::statistics::{Spread, three_digits, whole};
use crate::usage::{Memory, open_descriptors};

/// Requests whose worker has them and does not answer.
pub(super) fn in_flight(bench: &Bench<'_>) -> Result<(String, String), Failure> {
    of_each("request in flight", "", bench, |service| {
        let before = descriptors_of_origin(bench)?;
        let held = hold(1_000, service, &get("/delay?ms=60000", ""), Wanted::Nothing, bench)?;
        until("1,000 requests at the workers", bench, || Ok(descriptors_of_origin(bench)? >= before + 1_000))?;
        Ok((held, 1_000))
    })
}

/// Upgraded connections that have carried a message both ways.
pub(super) fn tunnel(bench: &Bench<'_>) -> Result<(String, String), Failure> {
    let request = get("/upgrade?proto=websocket", "Upgrade: websocket\r\nConnection: upgrade\r\n");
    of_each("tunnel", "", bench, |service| Ok((hold(500, service, &request, Wanted::Echo, bench)?, 500)))
}

/// Upstream connections that a thousand requests at once have left, whose clients are gone.
pub(super) fn upstream(bench: &Bench<'_>) -> Result<(String, String), Failure> {
    of_each("idle upstream connection", "keep_alive_timeout = \"10m\"\n", bench, |service| {
        let pid = service.process.pid();
        // Some of them idle upstream connections, of which those that come first make use.
        let before = open_descriptors(pid)?;
        // Long enough that none is answered before the last is there.
        let mut burst = hold(1_000, service, &get("/delay?ms=4000", ""), Wanted::Nothing, bench)?;
        burst.wait_for(Wanted::Answer, bench.ground.events)?;
        let open = open_descriptors(pid)?;
        drop(burst);
        until("the clients' connections closed", bench, || Ok(open_descriptors(pid)? <= open - 1_000))?;
        light_traffic(service, bench)?;
        match open_descriptors(pid)?.saturating_sub(before) {
            kept @ 900.. => Ok((Idle::default(), kept)),
            kept => Err(service.complaint(format!("kept {kept} upstream connections of 1,000 requests at once"))),
        }
    })
}

/// Clients' connections that have carried one request each.
pub(super) fn idle(bench: &Bench<'_>) -> Result<(String, String), Failure> {
    of_each("idle client connection", "", bench, |service| {
        Ok((hold(6_000, service, &get(PATH, ""), Wanted::Body(BODY), bench)?, 6_000))
    })
}

/// Looks at fresh processes before and after `open`, which says what it holds and how many of `what` there are.
fn of_each(
    what: &str,
    pool: &'static str,
    bench: &Bench<'_>,
    open: impl Fn(&Service) -> Result<(Idle, usize), Failure>,
) -> Result<(String, String), Failure> {
    let (mut each, mut steps, mut over) = (Vec::new(), Vec::new(), 0);
    for _ in 0..bench.rounds {
        let service = bench.start(pool)?;
        light_traffic(&service, bench)?;
        let look =
            || Ok(settled(bench.ground.events, || Ok(Memory::of(service.process.pid())?.private))? as f64 / 1024.0);
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
    let label = format!("private KiB per {what}, over {}", whole(over as f64));
    let figure = Spread::of(each).map_or_else(|| "–".to_owned(), |spread| spread.text(three_digits));
    Ok((label, format!("{figure}: {}", steps.join(", "))))
}

/// Some seconds in which a process makes what it has once, however many come, and its allocator gives back what it does not
/// need: that happens with requests, not while nothing comes.
fn light_traffic(service: &Service, bench: &Bench<'_>) -> Result<(), Failure> {
    for _ in 0..BATCHES {
        drop(Idle::open(BATCH as u32, service.port, PATH, BODY, bench.ground.events)?);
        bench.ground.events.wait_any(&[], BETWEEN_BATCHES)?;
    }
    Ok(())
}

fn hold(count: u32, service: &Service, request: &str, wanted: Wanted<'_>, bench: &Bench<'_>) -> Result<Idle, Failure> {
    Idle::hold(count, service.port, request, wanted, bench.ground.events)
}

fn descriptors_of_origin(bench: &Bench<'_>) -> Result<usize, Failure> {
    bench.origin.services.iter().map(|service| open_descriptors(service.process.pid())).sum()
}

/// Waits for a state.
fn until(what: &str, bench: &Bench<'_>, is_so: impl Fn() -> Result<bool, Failure>) -> Result<(), Failure> {
    let until = Instant::now() + TIME;
    while !is_so()? {
        if Instant::now() > until {
            return Err(Failure::Missing(format!("{what}: not after {} s", TIME.as_secs())));
        }
        bench.ground.events.wait_any(&[], Duration::from_millis(10))?;
    }
    Ok(())
}

/// What is at [`PATH`].
const BODY: &[u8] = b"hello world";
const BATCHES: u32 = 60;
const BETWEEN_BATCHES: Duration = Duration::from_millis(100);
const TIME: Duration = Duration::from_secs(20);
