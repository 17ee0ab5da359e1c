//! Something is replaced again and again while clients ask: `roll`, `reload`, `kill`, `scale`.
//!
//! Decides what is done when. Called by [`super::replace`]. Never asks for more than the measured capacity's share.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::kind::{Kind, Manners};
use super::schedule::{HOSTS, Version, count_after};
use super::site::{Setup, Site};
use super::{Row, ask};
use crate::report::figure::{Bar, Figure, Unit};
use crate::{failure::Failure, load::Load, service::Service, statistics::Spread};

/// `balancer restart` as often as the time allows.
pub(super) fn roll(site: &Site<'_>, time: Duration) -> Result<Row, Failure> {
    under_load(site, time, |load| {
        let mut orders = Orders::default();
        while load.elapsed() < time {
            orders.give(site, &["restart", "app"])?;
        }
        Ok(orders.figures("rolls"))
    })
}

/// The file changes every two seconds and is read again.
pub(super) fn reload(site: &Site<'_>, time: Duration) -> Result<Row, Failure> {
    let fixed = site.fixed::<2>()?;
    under_load(site, time, |load| {
        let mut orders = Orders::default();
        for nth in 1.. {
            let due = RELOAD_EVERY * nth;
            if due > time {
                break;
            }
            site.pause(due.saturating_sub(load.elapsed()))?;
            site.write(&version(site, Version::of(nth as usize), &fixed))?;
            orders.give(site, &["reload"])?;
        }
        Ok(orders.figures("reloads"))
    })
}

/// One worker after another is killed, one each five seconds.
pub(super) fn kill_workers(site: &Site<'_>, time: Duration) -> Result<Row, Failure> {
    let mut row = under_load(site, time, |load| {
        let mut times = Vec::new();
        let kills = (time.as_secs() / KILL_EVERY.as_secs()).max(1);
        for nth in 0..kills {
            let due = time.mul_f64((nth as f64 + 0.5) / kills as f64);
            site.pause(due.saturating_sub(load.elapsed()))?;
            times.push(replaced(site, nth as usize)?);
        }
        let mut figures = vec![Figure::count("kills", times.len())];
        figures.extend(spread("kill → replacement ready, under load", &times, None));
        Ok(figures)
    })?;
    // The promise is about the balancer; under load the worker's own start waits for a core.
    let mut times = Vec::new();
    for nth in 0..KILLS_AT_REST {
        // Long enough that its death is not one of a series, which is answered with a back-off.
        site.pause(KILL_EVERY / 2)?;
        times.push(replaced(site, nth)?);
    }
    let bar = (site.kind() == Kind::BuiltIn).then_some(Bar::Below(REPLACED_MS));
    row.figures.extend(spread("kill → replacement ready, at rest", &times, bar));
    Ok(row)
}

/// 4 → 1 → 8 → 2 → 4 … workers.
pub(super) fn scale(site: &Site<'_>, time: Duration) -> Result<Row, Failure> {
    under_load(site, time, |load| {
        let mut orders = Orders::default();
        for nth in 0.. {
            if load.elapsed() >= time {
                break;
            }
            orders.give(site, &["scale", "app", &count_after(nth).to_string()])?;
            site.pause(SCALE_PAUSE)?;
        }
        Ok(orders.figures("scalings"))
    })
}

/// How a site of each is set up.
pub(super) const ROLL: Setup = Setup { count: 4, manners: MANNERS, keys: "" };
pub(super) const RELOAD: Setup = Setup { count: 2, manners: MANNERS, keys: "" };
pub(super) const KILL: Setup = Setup { count: 4, manners: Manners { start_delay_ms: 50, ..MANNERS }, keys: "" };
/// Its capacity is that of one worker.
pub(super) const SCALE: Setup = Setup { count: 1, manners: MANNERS, keys: "" };

/// Measures what can be done, then has clients ask for four fifths of it while `act` does its work.
fn under_load(
    site: &Site<'_>,
    time: Duration,
    act: impl FnOnce(&Load) -> Result<Vec<Figure>, Failure>,
) -> Result<Row, Failure> {
    let capacity = site.capacity()?;
    let load = ask::start(site.port, SHARE * capacity, site.ground.connections, 'r')?;
    let acted = act(&load)?;
    site.pause(time.saturating_sub(load.elapsed()))?;
    let seconds = load.elapsed().as_secs_f64();
    let (tally, _) = site.tally(&load, 'r')?;
    let posts_may_fail = acted.iter().any(|figure| figure.what == "kills");
    let mut figures = acted;
    figures.push(Figure::count("capacity, requests/s", capacity as usize));
    figures.push(Figure::count("asked, requests/s", (tally.requests() as f64 / seconds) as usize));
    figures.push(Figure::count("left out, machine too slow", usize::try_from(load.skipped()).unwrap_or(usize::MAX)));
    figures.push(Figure::count("GETs", tally.gets));
    figures.push(Figure::never("GETs failed", tally.failed_gets));
    figures.push(Figure::count("POSTs", tally.posts));
    let failed: fn(String, usize) -> Figure = if posts_may_fail { Figure::count } else { Figure::never };
    figures.push(failed("POSTs failed".to_owned(), tally.failed_posts));
    figures.push(Figure::never("POSTs run twice", tally.run_twice));
    figures.push(Figure::never("POSTs answered, not run", tally.not_recorded));
    Ok(Row { figures, notes: tally.notes })
}

/// Orders given again and again.
#[derive(Default)]
struct Orders {
    times: Vec<f64>,
    refused: Vec<String>,
}

impl Orders {
    fn give(&mut self, site: &Site<'_>, words: &[&str]) -> Result<(), Failure> {
        let order = site.order(words)?;
        self.times.push(order.time.as_secs_f64() * 1e3);
        if !order.ok {
            // The balancer may have ended, which is another complaint.
            site.pause(Duration::ZERO)?;
            self.refused.push(order.said);
        }
        Ok(())
    }

    fn figures(self, what: &str) -> Vec<Figure> {
        self.refused.iter().for_each(|said| crate::say(&format!("{what}: one failed: {}", said.trim_end())));
        let mut figures =
            vec![Figure::count(what, self.times.len()), Figure::never(format!("{what} failed"), self.refused.len())];
        figures
            .extend(Spread::of(self.times).map(|spread| {
                Figure::seen(format!("one takes (median of {what})"), spread.median, Unit::Milliseconds)
            }));
        figures
    }
}

/// Kills a worker; milliseconds until another is ready in its place.
pub(super) fn replaced(site: &Site<'_>, nth: usize) -> Result<f64, Failure> {
    let count = KILL.count;
    let workers = site.until_ready(count)?;
    let victim = &workers[nth % workers.len()];
    let Some(pid) = victim.pid else { return Err(site.complaint("calls a worker without a process ready")) };
    let begun = Instant::now();
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).map_err(|e| Failure::system("kill a worker", e.into()))?;
    loop {
        let is_back = |worker: &super::site::Worker| {
            worker.name == victim.name && worker.ready && worker.pid.is_some_and(|now| now != pid)
        };
        if site.status()?.iter().any(is_back) {
            return Ok(begun.elapsed().as_secs_f64() * 1e3);
        }
        if begun.elapsed() > REPLACED_TIME_MAX {
            return Err(site.complaint(&format!("does not replace {} that was killed", victim.name)));
        }
        site.pause(Duration::from_millis(2))?;
    }
}

/// Median and longest; the bar is for each.
fn spread(what: &str, times: &[f64], bar: Option<Bar>) -> Vec<Figure> {
    let Some(spread) = Spread::of(times.iter().copied()) else { return Vec::new() };
    let figure = |word: &str, value| {
        let figure = Figure::seen(format!("{what}, {word}"), value, Unit::Milliseconds);
        if let Some(bar) = bar { figure.barred(bar) } else { figure }
    };
    vec![figure("median", spread.median), figure("longest", spread.max)]
}

/// The file's text.
fn version(site: &Site<'_>, version: Version, fixed: &[Service]) -> String {
    let Version { policy, count, weights, side } = version;
    let endpoints: Vec<String> = fixed
        .iter()
        .zip(weights)
        .filter(|(_, weight)| *weight > 0)
        .map(|(service, weight)| format!("{{ address = \"127.0.0.1:{}\", weight = {weight} }}", service.port))
        .collect();
    let app = site.app(count, &format!("policy = \"{policy}\"\nendpoints = [{}]\n", endpoints.join(", ")));
    let app = if endpoints.is_empty() { app.replace("endpoints = []\n", "") } else { app };
    let mut more = "[[route]]\npool = \"app\"\n\n".to_owned();
    if side {
        more += &format!("[[route]]\nhost = {:?}\npool = \"side\"\n\n{}", HOSTS[1], site.workers("side", 1));
    }
    site.text(&app, &more)
}

const MANNERS: Manners = Manners { delay_ms: 0, cold_requests: 0, start_delay_ms: 0 };
/// Of capacity.
const SHARE: f64 = 0.8;
const RELOAD_EVERY: Duration = Duration::from_secs(2);
const KILL_EVERY: Duration = Duration::from_secs(5);
const SCALE_PAUSE: Duration = Duration::from_millis(300);
const KILLS_AT_REST: usize = 5;
const REPLACED_MS: f64 = 150.0;
const REPLACED_TIME_MAX: Duration = Duration::from_secs(30);
