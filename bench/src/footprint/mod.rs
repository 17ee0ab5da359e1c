//! What one balancer with one thread spends: memory for whatever is open, CPU time for a body in very small pieces, and time
//! for an answer that comes in two.
//!
//! Decides what is held and how often it is asked. Called by `main`. Never compares: two programs are two runs.

mod apart;
mod chunks;
mod memory;

use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::exchange::{Endpoint, PATH};
use crate::lab::{Builds, Lab, free_ports};
use crate::proxies::{self, Make};
use crate::report::{Report, Section};
use crate::{
    cores::Place, descriptors, events::Events, failure::Failure, guard::Origin, report::figure::Figure, say,
    service::Service,
};

/// The arguments of `footprint`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// What to measure [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<Part>,
    /// Fresh processes a figure of memory is the median of; an allocator keeps now more, now less of what was given back
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    builds: Builds,
}

/// One part of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
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
struct Bench {
    lab: Lab,
    origin: Origin,
    rounds: u32,
}

/// Figures, and what they do not say.
type Measured = (Vec<Figure>, Option<String>);

/// Measures all that is asked for.
pub(crate) fn footprint(plan: &Plan, events: &Arc<Events>) -> Result<Report, Failure> {
    let lab = Lab::of(&plan.builds, events)?;
    descriptors::raise(DESCRIPTORS);
    let origin = Origin::start(&lab)?;
    let bench = Bench { lab, origin, rounds: plan.rounds };
    let (mut figures, mut notes) = (Vec::new(), Vec::new());
    let wanted = |part: &Part| plan.only.is_empty() || plan.only.contains(part);
    for part in Part::value_variants().iter().copied().filter(wanted) {
        let (measured, note) = match part {
            Part::InFlight => memory::in_flight(&bench),
            Part::Tunnel => memory::tunnel(&bench),
            Part::Upstream => memory::upstream(&bench),
            Part::Idle => memory::idle(&bench),
            Part::Chunks => chunks::chunks(&bench),
            Part::Apart => apart::apart(&bench),
        }?;
        measured.iter().for_each(|figure| say(&format!("{}: {}", figure.what, figure.text_with_unit())));
        figures.extend(measured);
        notes.extend(note);
    }
    notes.push("Memory: Private_Clean + Private_Dirty, KiB, the growth of a fresh process divided by what is held; median (min–max).".to_owned());
    let program = bench.lab.program("balancer")?;
    let placed = format!("with one thread over two `backend`; {}", bench.lab.cores.describe());
    Ok(Report::of(vec![program.display().to_string(), placed], Section { notes, ..Section::of_lines(figures) }))
}

impl Bench {
    /// A fresh balancer; `pool`: further keys of its pool.
    fn start(&self, pool: &str) -> Result<Service, Failure> {
        self.start_before(&self.origin.endpoints, pool)
    }

    /// The same before other endpoints.
    fn start_before(&self, endpoints: &[Endpoint], pool: &str) -> Result<Service, Failure> {
        let [port] = free_ports()?;
        let text = proxies::balancer(port, endpoints, pool, None, 0);
        self.lab.proxy("balancer", Make::Balancer, Place::Proxy, (&Endpoint::Port(port), PATH), text)
    }
}

/// Ours and the balancer's, which inherits the limit: 6,000 clients and some.
const DESCRIPTORS: u64 = 8_192;
