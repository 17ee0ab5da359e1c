//! What one balancer with one thread spends: memory for whatever is open, CPU time for a body in very small pieces, and time
//! for an answer that comes in two.
//!
//! Decides what is held and how often it is asked. Called by `main`. Never compares: two programs are two runs.

mod apart;
mod chunks;
mod memory;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::cores::Cores;
use crate::descriptors;
use crate::events::Events;
use crate::failure::Failure;
use crate::programs;
use crate::say;
use crate::scratch::Scratch;
use crate::service::Service;
use crate::side::{Ground, Origin, Settings, Side};
use crate::table::Table;

/// The arguments of `footprint`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// What to measure [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<Figure>,
    /// Fresh processes a figure of memory is the median of; an allocator keeps now more, now less of what was given back
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The balancer to measure [default: this workspace's, built when needed]
    #[arg(long, value_name = "PATH")]
    balancer: Option<PathBuf>,
    /// The backend behind it [default: this workspace's, built when needed]
    #[arg(long, value_name = "PATH")]
    backend: Option<PathBuf>,
}

/// One figure of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Figure {
    /// Memory per request that waits for its worker, over 1,000
    InFlight,
    /// Memory per tunnel that has carried a message, over 500
    Tunnel,
    /// Memory per idle upstream connection, over 1,000 kept after a burst
    Upstream,
    /// Memory per idle keep-alive connection of a client after one request, over 6,000
    Idle,
    /// CPU time of a POST of 8,000 chunks of one byte
    Chunks,
    /// Time of a GET whose answer comes in two pieces, direct and proxied
    Apart,
}

/// What measuring any of them takes.
struct Bench<'a> {
    side: Side<'a>,
    origin: Origin,
    ground: Ground<'a>,
    rounds: u32,
}

/// Measures and returns the table.
///
/// # Errors
/// Whatever keeps a figure from being measured, or a signal; everything started has ended when this returns.
pub(crate) fn footprint(plan: &Plan, events: &Arc<Events>) -> Result<String, Failure> {
    let given = [("balancer", plan.balancer.as_deref()), ("backend", plan.backend.as_deref())];
    let [balancer, backend] = programs::ours(given, events)?;
    let (cores, scratch) = (Cores::find(), Scratch::create()?);
    descriptors::raise(DESCRIPTORS);
    let ground = Ground { cores: &cores, scratch: &scratch, events };
    let origin = Origin::start(&backend, &ground)?;
    let bench = Bench { side: Side { name: "balancer", program: &balancer }, origin, ground, rounds: plan.rounds };
    let mut table = Table::default();
    for figure in Figure::value_variants().iter().copied().filter(|one| plan.wants(*one)) {
        let (label, cell) = figure.measure(&bench)?;
        say(&format!("{label}: {cell}"));
        table.row(label, [cell]);
    }
    Ok(render(&balancer, &cores.describe(), &table))
}

impl Plan {
    fn wants(&self, figure: Figure) -> bool {
        self.only.is_empty() || self.only.contains(&figure)
    }
}

impl Figure {
    /// A label and a cell of the table.
    fn measure(self, bench: &Bench<'_>) -> Result<(String, String), Failure> {
        match self {
            Figure::InFlight => memory::in_flight(bench),
            Figure::Tunnel => memory::tunnel(bench),
            Figure::Upstream => memory::upstream(bench),
            Figure::Idle => memory::idle(bench),
            Figure::Chunks => chunks::chunks(bench),
            Figure::Apart => apart::apart(bench),
        }
    }
}

impl Bench<'_> {
    /// A fresh balancer.
    fn start(&self, pool: &'static str) -> Result<Service, Failure> {
        self.side.start(&[], Settings { pool, logs: false }, &self.origin, &self.ground)
    }
}

fn render(program: &Path, placement: &str, table: &Table) -> String {
    format!(
        "{}\nwith one thread over two `backend`; {placement}\n\n{}\n\
         Memory: Private_Clean + Private_Dirty, the growth of a fresh process divided by what is held; median (min–max): KiB before → with.\n",
        program.display(),
        table.render()
    )
}

/// Ours and the balancer's, which inherits the limit: 6,000 clients and some.
const DESCRIPTORS: u64 = 8_192;
