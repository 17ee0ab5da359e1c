//! Claims about servers: how they take connections, what these cost, and what a proxy in front changes.
//!
//! Decides load and bar of each. Called by [`super::articles`]. Never keeps a server for the next claim.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::{Bench, Measured, Time};
use crate::cores::Place;
use crate::exchange::{self, Endpoint};
use crate::held::{Held, Wanted, get, settled};
use crate::lab::free_ports;
use crate::load::answer::ends_text;
use crate::load::arrivals::{Arrival, evenly};
use crate::load::{Clients, Pace, Sent, local};
use crate::proxies::{self, Make};
use crate::report::figure::{Bar, Figure, Unit};
use crate::{descriptors as limits, failure::Failure, service::Service, usage::Memory};

/// Three requests of a second at once.
pub(super) fn models(bench: &Bench) -> Result<Measured, Failure> {
    let until_last = |service: &Service| {
        let three = [Arrival { due: Duration::ZERO, kind: 0 }; 3];
        let sent = bench.send(service.port, &["/"], Pace::at(three), Clients::Fresh(3), PATIENT)?;
        let served = sent.iter().filter(|one| one.is_served()).map(|one| one.at.as_secs_f64() * 1e3);
        Ok::<_, Failure>(if sent.iter().all(Sent::is_served) { served.fold(0.0, f64::max) } else { f64::NAN })
    };
    let (mut figures, mut notes) = (Vec::new(), Vec::new());
    for model in ["sequential", "thread-per-connection", "thread-pool", "event-loop", "multi", "prefork"] {
        match bench.backend(&["--model", model, "--delay-ms", "1000"]) {
            Ok(server) => {
                let bar = if model == "sequential" { Bar::AtLeast(2_900.0) } else { Bar::Below(2_000.0) };
                figures.push(
                    Figure::seen(
                        format!("until the third is answered, {model}"),
                        until_last(&server)?,
                        Unit::Milliseconds,
                    )
                    .barred(bar),
                );
            }
            Err(Failure::Target { stderr, .. }) if stderr.contains("invalid value") => {
                notes.push(format!("This backend has no model {model}."))
            }
            Err(failure) => return Err(failure),
        }
    }
    let workers = (0..3)
        .map(|_| bench.backend(&["--model", "sequential", "--delay-ms", "1000"]))
        .collect::<Result<Vec<_>, _>>()?;
    let balancer = bench.balancer(&workers, "slots = 1\nslow_lane = false\n")?;
    let time = until_last(&balancer)?;
    figures.push(
        Figure::seen("three sequential workers behind the balancer", time, Unit::Milliseconds)
            .barred(Bar::Below(2_000.0)),
    );
    Ok((figures, notes))
}

/// Who answers, request after request.
pub(super) fn alternation(bench: &Bench) -> Result<Measured, Failure> {
    let workers = (0..4).map(|_| bench.backend(&["--model", "sequential"])).collect::<Result<Vec<_>, _>>()?;
    let endpoints: Vec<Endpoint> = workers.iter().map(|worker| Endpoint::Port(worker.port)).collect();
    let out_of_turn = |names: &[Vec<u8>]| names.iter().zip(&names[4..]).filter(|(one, next)| one != next).count();
    let mut figures = Vec::new();
    for threads in [1, 4] {
        let [port] = free_ports()?;
        let text =
            proxies::balancer(port, &endpoints, "", None, 0).replace("threads = 1", &format!("threads = {threads}"));
        let balancer =
            bench.lab.proxy("balancer", Make::Balancer, Place::Anywhere, (&Endpoint::Port(port), "/"), text)?;
        let mut names = Vec::new();
        for _ in 0..TURNS {
            let answer = exchange::get(&Endpoint::Port(port), "/")
                .map_err(|e| balancer.complaint(format!("did not answer ({e})")))?;
            names.push(answer.body);
        }
        figures.push(Figure::never(format!("of {TURNS} out of turn, {threads} threads"), out_of_turn(&names)));
        figures.push(Figure::count(
            format!("workers that answered, {threads} threads"),
            names.iter().collect::<BTreeSet<_>>().len(),
        ));
    }
    let balancer = bench.balancer(&workers, "")?;
    let failed = |e| balancer.complaint(format!("did not answer on one connection ({e})"));
    let mut stream = BufReader::new(TcpStream::connect(local(balancer.port)).map_err(failed)?);
    let mut names = Vec::new();
    for _ in 0..TURNS {
        stream.get_mut().write_all(get("/", "").as_bytes()).map_err(failed)?;
        let mut line = Vec::new();
        while line != b"\r\n" {
            line.clear();
            stream.read_until(b'\n', &mut line).map_err(failed)?;
        }
        // The worker's name is a line.
        line.clear();
        stream.read_until(b'\n', &mut line).map_err(failed)?;
        names.push(line);
    }
    figures.push(Figure::never(format!("of {TURNS} on one connection out of turn"), out_of_turn(&names)));
    Ok((figures, Vec::new()))
}

/// Private memory and threads of a server with so many requests it has not answered.
pub(super) fn thread_memory(bench: &Bench) -> Result<Measured, Failure> {
    limits::raise(16_384);
    let mut figures = Vec::new();
    for model in ["thread-per-connection", "event-loop"] {
        for count in [100, 1_000, 4_000] {
            let server = bench.backend(&["--model", model])?;
            let pid = server.process.pid();
            let look = || settled(&bench.lab.events, || Ok(Memory::of(pid)?.private));
            let before = look()?;
            let _held =
                Held::open(count, server.port, &get("/delay?ms=600000", ""), Wanted::Nothing, &bench.lab.events)?;
            let each = look()?.saturating_sub(before) as f64 / 1024.0 / f64::from(count);
            figures.push(Figure::seen(format!("private memory of each of {count}, {model}"), each, Unit::Kilobytes));
        }
    }
    Ok((figures, Vec::new()))
}

/// A server and a balancer that may have 500 descriptors each, and a thousand clients.
pub(super) fn descriptors(bench: &Bench) -> Result<Measured, Failure> {
    limits::raise(4_096);
    let limited = |program: &str| {
        let mut command = bench.lab.command(Place::Anywhere, "prlimit")?;
        command.arg("--nofile=500:500").arg(bench.lab.program(program)?);
        Ok::<_, Failure>(command)
    };
    let [worker, port] = free_ports()?;
    let mut command = limited("backend")?;
    command.env("HOST", "127.0.0.1").env("PORT", worker.to_string());
    let server = Service::start(&bench.lab, "server with 500 descriptors", command, &Endpoint::Port(worker), "/hello")?;
    let text = proxies::balancer(port, &[Endpoint::Port(worker)], "slots = 200\nqueue_max = 2000\n", None, 0);
    let mut command = limited("balancer")?;
    bench.lab.configure(&mut command, "limited", Make::Balancer, &text)?;
    let balancer =
        Service::start(&bench.lab, "balancer with 500 descriptors", command, &Endpoint::Port(port), "/hello")?;
    let (mut figures, mut notes) = (Vec::new(), Vec::new());
    for (name, service) in [("plain server", &server), ("behind the balancer", &balancer)] {
        let arrivals: Vec<Arrival> = evenly(2_000.0).take(1_000).collect();
        let time = Time { stop: None, patience: Duration::from_secs(5) };
        let sent = bench.send(service.port, &["/delay?ms=3000"], Pace::at(arrivals), Clients::Fresh(1_000), time)?;
        let answered = |status: &str| sent.iter().filter(|one| one.end.name() == status).count();
        figures.push(Figure::count(format!("answered 200, {name}"), answered("200")));
        figures.push(Figure::count(format!("told to come again (503), {name}"), answered("503")));
        let left =
            Figure::count(format!("left without an answer, {name}"), sent.len() - answered("200") - answered("503"));
        figures.push(if name == "plain server" { left } else { left.barred(Bar::AtMost(0.0)) });
        notes.push(format!("{name}: {}", ends_text(sent.iter().map(|one| one.end))));
    }
    Ok((figures, notes))
}

/// N = λ × W.
pub(super) fn littles_law(bench: &Bench) -> Result<Measured, Failure> {
    let server = bench.backend(&["--model", "thread-pool", "--threads", "20", "--delay-ms", "200"])?;
    // As many clients as threads: each more would wait, and a bounded queue would refuse it.
    let time = Time { stop: Some(MEASURED), ..PATIENT };
    let sent = bench.send(server.port, &["/"], Pace::CLOSED, Clients::Fresh(20), time)?;
    let rate = sent.iter().filter(|one| one.is_served() && one.at <= MEASURED).count() as f64 / MEASURED.as_secs_f64();
    let figure = Figure::seen("requests/s of 20 threads that take 200 ms", rate, Unit::Number);
    Ok((
        vec![figure.barred(Bar::AtMost(101.0)), Figure::seen("calculated: 20 ÷ 0.2 s", 100.0, Unit::Number)],
        Vec::new(),
    ))
}

/// A head that comes a byte a second, and others who ask five times a second.
pub(super) fn slow_client(bench: &Bench) -> Result<Measured, Failure> {
    let server = bench.backend(&["--model", "sequential"])?;
    let balancer = bench.balancer(std::slice::from_ref(&server), "slots = 1\n")?;
    let mut figures = Vec::new();
    for (name, port) in [("behind the balancer", balancer.port), ("plain server", server.port)] {
        let failed = |e| Failure::system("connect as a slow client", e);
        let mut slow = TcpStream::connect(local(port)).map_err(failed)?;
        slow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-").map_err(failed)?;
        let arrivals: Vec<Arrival> = evenly(5.0).take(15).collect();
        let time = Time { stop: None, patience: Duration::from_secs(2) };
        let sent = bench.send(port, &["/"], Pace::at(arrivals), Clients::Fresh(100), time)?;
        let served =
            Figure::count(format!("of 15 others served, {name}"), sent.iter().filter(|one| one.is_served()).count());
        figures.push(if name == "plain server" { served } else { served.barred(Bar::AtLeast(15.0)) });
    }
    Ok((figures, Vec::new()))
}

/// Who serves the same client again.
pub(super) fn affinity(bench: &Bench) -> Result<Measured, Failure> {
    let workers = (0..4).map(|_| bench.backend(&[])).collect::<Result<Vec<_>, _>>()?;
    let by_address = bench.balancer(&workers, "policy = \"hash\"\n")?;
    let by_cookie = bench.balancer(&workers, "policy = \"hash\"\nhash_key = \"cookie:user\"\n")?;
    let who = |service: &Service, user: u32| {
        let failed = |e| service.complaint(format!("did not answer ({e})"));
        let mut stream = TcpStream::connect(local(service.port)).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENT.patience)).map_err(failed)?;
        let request = get("/", &format!("Cookie: user={user}\r\nConnection: close\r\n"));
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(failed)?;
        Ok::<_, Failure>(text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
    };
    let workers_of = |service: &Service, users: &[u32]| {
        let names = users.iter().map(|user| who(service, *user)).collect::<Result<BTreeSet<_>, _>>();
        names.map(|names| names.len())
    };
    let users: Vec<u32> = (0..40).collect();
    let figures = vec![
        Figure::count("workers for 40 requests of one address", workers_of(&by_address, &users)?)
            .barred(Bar::AtMost(1.0)),
        Figure::count("workers for 40 requests with one cookie", workers_of(&by_cookie, &[7; 40])?)
            .barred(Bar::AtMost(1.0)),
        Figure::count("workers for 40 requests with 40 cookies", workers_of(&by_cookie, &users)?)
            .barred(Bar::AtLeast(2.0)),
    ];
    Ok((figures, Vec::new()))
}

/// What an idle connection takes of the balancer, up to as many as there are descriptors for.
pub(super) fn ladder(bench: &Bench) -> Result<Measured, Failure> {
    let limit = limits::raise(40_000);
    let worker = [bench.backend(&[])?];
    let (mut figures, mut notes, mut last) = (Vec::new(), Vec::new(), 0.0);
    for count in [100_u32, 1_000, 4_000, 18_000] {
        if u64::from(count) * 2 + 500 > limit {
            notes.push(format!("{count} connections were not opened: the limit is {limit} descriptors."));
            continue;
        }
        let balancer = bench.balancer(&worker, "")?;
        let hold = |count| {
            Held::open(count, balancer.port, &get("/hello", ""), Wanted::Body(b"hello world"), &bench.lab.events)
        };
        // What a process makes once, however many come.
        drop(hold(64)?);
        let look = || settled(&bench.lab.events, || Ok(Memory::of(balancer.process.pid())?.private));
        let before = look()?;
        let held = hold(count)?;
        last = look()?.saturating_sub(before) as f64 / f64::from(count);
        figures.push(Figure::seen(format!("private memory of each of {count} idle"), last / 1024.0, Unit::Kilobytes));
        figures.push(Figure::never(format!("closed of {count}"), usize::try_from(held.closed()).unwrap_or(usize::MAX)));
    }
    for many in [80_000_u32, 1_000_000] {
        let megabytes = last * f64::from(many) / 1e6;
        figures.push(Figure::seen(
            format!("calculated from the last of them: {many} idle"),
            megabytes,
            Unit::Megabytes,
        ));
    }
    Ok((figures, notes))
}

const PATIENT: Time = Time { stop: None, patience: Duration::from_secs(20) };
const MEASURED: Duration = Duration::from_secs(3);
const TURNS: usize = 40;
