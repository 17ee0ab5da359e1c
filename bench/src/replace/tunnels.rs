//! Open tunnels through reloads that do not concern them.
//!
//! Decides what counts as closed: one that does not echo. Called by [`super::replace`]. Never opens one twice.

use std::time::{Duration, Instant};

use super::Row;
use super::kind::{Manners, Program};
use super::site::{Ground, Setup, Site};
use crate::held::{Held, Wanted, upgrade};
use crate::report::figure::{Figure, Unit};
use crate::{failure::Failure, statistics::Spread};

/// Opens all, reloads again and again, and asks each at the end.
pub(super) fn tunnels(ground: &Ground, program: &Program, time: Duration) -> Result<Row, Failure> {
    let site = Site::start(ground, program, SETUP, &other(0))?;
    let mut open = Held::open(TUNNELS, site.port, &upgrade(), Wanted::Echo, &ground.lab.events)?;
    let (started, before) = (Instant::now(), site.status()?);
    let (mut times, mut refused) = (Vec::new(), 0);
    for nth in 1..=RELOADS {
        site.pause((time / RELOADS * nth).saturating_sub(started.elapsed()))?;
        site.write(&site.text(&site.app(SETUP.count, ""), &other(nth)))?;
        let order = site.order(&["reload"])?;
        refused += usize::from(!order.ok);
        times.push(order.time.as_secs_f64() * 1e3);
    }
    let workers = site.status()? == before;
    let figures = vec![
        Figure::count("tunnels", TUNNELS as usize),
        Figure::count("reloads", times.len()),
        Figure::never("reloads failed", refused),
        Figure::never("tunnels closed", TUNNELS as usize - open.echoing()),
        Figure::never("workers touched", usize::from(!workers)),
        Figure::seen("a reload (median)", Spread::of(times).map_or(f64::NAN, |times| times.median), Unit::Milliseconds),
    ];
    Ok(Row { figures, notes: Vec::new() })
}

/// What the reloads are about: another pool, its policy, weights and routes.
pub(super) fn other(nth: u32) -> String {
    let (weight, policy) = (nth % 9 + 1, if nth.is_multiple_of(2) { "round_robin" } else { "least_connections" });
    format!(
        "[[route]]\npool = \"app\"\n\n[[route]]\npath = \"/other/{}\"\npool = \"other\"\n\n\
         [pool.other]\npolicy = \"{policy}\"\nendpoints = [\"127.0.0.1:9\", {{ address = \"127.0.0.1:7\", weight = {weight} }}]\n",
        nth % 3
    )
}

const SETUP: Setup =
    Setup { count: 4, manners: Manners { delay_ms: 0, cold_requests: 0, start_delay_ms: 0 }, keys: "" };
const TUNNELS: u32 = 500;
const RELOADS: u32 = 100;
