//! All that is counted while a run lasts.
//!
//! Decides whose time and switches belong to a run. Called by [`crate::measurement`] before and after. Never divides.

use crate::cpu::{self, Cpu};
use crate::failure::Failure;
use crate::target::{Ground, Origin, Running};
use crate::usage;

/// The clocks that are read before and after, or what lies between two readings.
pub(crate) struct Clocks {
    pub(crate) proxy: Option<Cpu>,
    pub(crate) switches: Option<u64>,
    pub(crate) origin: Cpu,
    /// Seconds the proxy's and the generator's core were busy for anybody; `None` for a core the run does not need.
    pub(crate) cores: [Option<f64>; 2],
}

impl Clocks {
    /// # Errors
    /// A process is not there any more.
    pub(crate) fn read(running: &Running, origin: &Origin, ground: &Ground<'_>) -> Result<Clocks, Failure> {
        let process = running.process.as_ref();
        let proxy = process.map(|process| cpu::of_tree(process.pid())).transpose()?;
        let switches = process.map(|process| usage::context_switches(process.pid())).transpose()?;
        let mut sum = Cpu::default();
        for process in &origin.processes {
            sum = sum + cpu::of_tree(process.pid())?;
        }
        let cores = ground.cores;
        let busy = |core, needed: bool| (needed && cores.are_pinned()).then(|| cpu::core_busy_seconds(core)).flatten();
        let cores = [busy(cores.proxy, proxy.is_some()), busy(cores.generator, true)];
        Ok(Clocks { proxy, switches, origin: sum, cores })
    }

    /// What was used since `before`.
    pub(crate) fn since(&self, before: &Clocks) -> Clocks {
        let [proxy, generator] = [0, 1].map(|nth: usize| Some(self.cores[nth]? - before.cores[nth]?));
        Clocks {
            proxy: self.proxy.zip(before.proxy).map(|(after, before)| after - before),
            switches: self.switches.zip(before.switches).map(|(after, before)| after.saturating_sub(before)),
            origin: self.origin - before.origin,
            cores: [proxy, generator],
        }
    }
}
