//! The balancer is killed, and a request kills whoever gets it.
//!
//! Decides when a process counts as gone and how many may die. Called by [`super::replace`]. Never ends a worker itself.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};
use std::{fs, net::TcpStream};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Row;
use super::ask::{self, PATIENCE};
use super::kind::{Manners, Program};
use super::site::{Ground, Setup, Site};
use crate::report::figure::{Bar, Figure, Unit};
use crate::{failure::Failure, load::local, statistics::Spread};

/// Both, for the time given.
pub(super) fn death(ground: &Ground, program: &Program, time: Duration) -> Result<Row, Failure> {
    let mut row = Row::default();
    for (name, setup) in [("ports", PORTS), ("sockets", SOCKETS)] {
        let (started, mut times, mut left) = (Instant::now(), Vec::new(), 0);
        while times.is_empty() || started.elapsed() < time / 3 {
            let (alive, gone) = killed(ground, program, setup)?;
            left += alive;
            times.push(gone);
        }
        row.figures.push(Figure::count(format!("balancers killed, {name}"), times.len()));
        row.figures.push(Figure::never(format!("workers alive after 2 s, {name}"), left));
        let slowest = Spread::of(times).map_or(f64::NAN, |spread| spread.max);
        row.figures.push(Figure::seen(format!("until the last is gone, longest, {name}"), slowest, Unit::Milliseconds));
    }
    for method in ["GET", "POST"] {
        let site = Site::start(ground, program, PORTS, "")?;
        row.figures.extend(of_a_query(&site, method)?);
    }
    Ok(row)
}

/// Kills a balancer under load: how many workers are alive 2 s later, and milliseconds until the last was gone.
fn killed(ground: &Ground, program: &Program, setup: Setup) -> Result<(usize, f64), Failure> {
    let mut site = Site::start(ground, program, setup, "")?;
    let load = ask::start(site.port, LOAD, ground.connections, 'r')?;
    site.pause(BEFORE)?;
    let workers: Vec<u32> = site.status()?.iter().filter_map(|worker| worker.pid).collect();
    let balancer = site.pid()?;
    if workers.len() != setup.count as usize || !workers.iter().all(|pid| is_alive(*pid)) {
        return Err(site.complaint(&format!("has not {} workers: {workers:?}", setup.count)));
    }
    load.stop();
    let begun = Instant::now();
    kill(Pid::from_raw(balancer.cast_signed()), Signal::SIGKILL)
        .map_err(|e| Failure::system("kill the balancer", e.into()))?;
    let alive = || workers.iter().filter(|pid| is_alive(**pid)).count();
    let mut left = None;
    while alive() > 0 && begun.elapsed() < GONE_MAX {
        if begun.elapsed() >= PROMISED {
            left.get_or_insert_with(alive);
        }
        ground.lab.events.wait_any(&[], Duration::from_millis(2))?;
    }
    let gone = begun.elapsed().as_secs_f64() * 1e3;
    // Whoever is left would not end with us.
    workers.iter().filter(|pid| is_alive(**pid)).for_each(|pid| {
        let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
    });
    site.collect();
    Ok((left.unwrap_or(0), gone))
}

/// Asks again and again for what kills a worker, one question after another without a pause: how many die of it, and what the client
/// is told.
fn of_a_query(site: &Site<'_>, method: &'static str) -> Result<Vec<Figure>, Failure> {
    let mut last = String::new();
    for _ in 0..QUESTIONS {
        last = killing(site.port, method).unwrap_or_else(|| "no answer".to_owned());
    }
    // Who has died of the last of them is heard of by then.
    site.pause(SETTLED)?;
    let died = deaths(&site.order(&["events", "--json"])?.said);
    let refused = last.starts_with("503 ") && last.ends_with("query_of_death");
    Ok(vec![
        Figure::count(format!("{method} that kills, times asked"), QUESTIONS as usize),
        Figure::count(format!("workers killed by it, {method}"), died).barred(Bar::AtMost(QUERY_OF_DEATH)),
        Figure::never(format!("not refused in the end, {method}"), usize::from(!refused)),
    ])
}

/// Deaths among the events of a balancer, one JSON object a line.
fn deaths(events: &str) -> usize {
    let events = events.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    events.filter(|event| event["kind"] == "died").count()
}

/// Asks for what kills a worker: status and reason word.
fn killing(port: u16, method: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&local(port), PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("{method} /crash HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.to_owned();
    Some(format!("{status} {}", body.lines().next()?.rsplit(": ").next()?))
}

/// A zombie runs no more.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

const MANNERS: Manners = Manners { delay_ms: 0, cold_requests: 0, start_delay_ms: 0 };
const PORTS: Setup = Setup { count: 4, manners: MANNERS, keys: "" };
const SOCKETS: Setup = Setup { count: 4, manners: MANNERS, keys: "socket = true" };
/// Requests a second while the balancer is killed.
const LOAD: f64 = 200.0;
const BEFORE: Duration = Duration::from_millis(300);
const PROMISED: Duration = Duration::from_secs(2);
const GONE_MAX: Duration = Duration::from_secs(10);
const QUESTIONS: u32 = 40;
const SETTLED: Duration = Duration::from_secs(1);
/// What the balancer takes where the file says nothing.
const QUERY_OF_DEATH: f64 = 3.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_are_counted_among_other_events() {
        let events =
            "{\"kind\":\"died\"}\n{\"kind\":\"ready\",\"text\":\"it died\"}\nWARN no event\n{\"kind\":\"died\"}\n";
        assert_eq!(deaths(events), 2);
    }

    #[test]
    fn a_process_that_has_ended_is_not_alive_collected_or_not() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while is_alive(child.id()) {}
        child.wait().unwrap();
        assert!(!is_alive(child.id()) && is_alive(std::process::id()));
    }
}
