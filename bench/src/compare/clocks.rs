//! All that is counted while a run lasts.
//!
//! Decides whose time and switches belong to a run. Called by [`super::measurement`] before and after. Never divides.

use super::Ground;
use super::target::{Origin, Running};
use crate::cpu::{self, Cpu};
use crate::{failure::Failure, usage};

/// What is counted while a run lasts, or what lies between two readings.
pub(super) struct Clocks {
    pub(super) proxy: Option<Cpu>,
    pub(super) switches: Option<u64>,
    pub(super) origin: Cpu,
    /// Seconds the proxy's and the generator's core were busy for anybody; `None` for a core the run does not need.
    pub(super) cores: [Option<f64>; 2],
}

impl Clocks {
    pub(super) fn read(running: &Running, origin: &Origin, ground: &Ground<'_>) -> Result<Clocks, Failure> {
        let pid = running.service.as_ref().map(|service| service.process.pid());
        let proxy = pid.map(cpu::of_tree).transpose()?;
        let switches = pid.map(usage::context_switches).transpose()?;
        let mut sum = Cpu::default();
        for service in &origin.services {
            sum = sum + cpu::of_tree(service.process.pid())?;
        }
        let cores = &ground.lab.cores;
        let busy = |core, needed: bool| (needed && cores.are_pinned()).then(|| cpu::core_busy_seconds(core)).flatten();
        let cores = [busy(cores.proxy, proxy.is_some()), busy(cores.generator, true)];
        Ok(Clocks { proxy, switches, origin: sum, cores })
    }

    pub(super) fn since(&self, before: &Clocks) -> Clocks {
        let [proxy, generator] = [0, 1].map(|nth: usize| Some(self.cores[nth]? - before.cores[nth]?));
        Clocks {
            proxy: self.proxy.zip(before.proxy).map(|(after, before)| after - before),
            switches: self.switches.zip(before.switches).map(|(after, before)| after.saturating_sub(before)),
            origin: self.origin - before.origin,
            cores: [proxy, generator],
        }
    }
}
