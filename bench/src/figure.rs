//! The figures that are compared, and how two columns are.
//!
//! Decides what a figure is of one run and that two columns are set against each other round by round. Called by
//! [`crate::bars`] and [`crate::report`]. Never formats.

use crate::measurement::Measurement;
use crate::scenario::{Column, Scenario};
use crate::statistics::Spread;

/// One figure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// CPU of the proxy, user and kernel, µs/request.
    Cpu,
    /// Requests a second.
    Rate,
    /// Latency that 99 % of the requests do not exceed, ms.
    P99,
    /// Memory per idle connection, KB of 1,024 bytes.
    IdleMemory,
}

impl Figure {
    /// `None` where the run does not give it.
    pub(crate) fn of(self, run: &Measurement) -> Option<f64> {
        match self {
            Figure::Cpu => Some(run.per_request(run.proxy_cpu?.seconds())),
            Figure::Rate => Some(run.reading.requests_per_second),
            Figure::P99 => run.reading.percentile(99.0),
            Figure::IdleMemory => Some(run.bytes_per_idle_connection? / 1024.0),
        }
    }
}

/// The runs of one scenario.
#[derive(Clone, Copy)]
pub(crate) struct Runs<'a> {
    pub(crate) scenario: Scenario,
    pub(crate) measurements: &'a [Measurement],
}

impl<'a> Runs<'a> {
    /// Those of one column.
    pub(crate) fn of(self, column: Column) -> impl Iterator<Item = &'a Measurement> {
        self.measurements.iter().filter(move |run| run.scenario == self.scenario && run.column == column)
    }

    /// A figure over all rounds; `None` where it was not measured.
    pub(crate) fn spread(self, column: Column, figure: Figure) -> Option<Spread> {
        Spread::of(self.of(column).filter_map(|run| figure.of(run)))
    }

    /// `combine(column, base)` of each round, for two runs of one round were neighbours.
    pub(crate) fn pairwise(
        self,
        column: Column,
        base: Column,
        figure: Figure,
        combine: fn(f64, f64) -> Option<f64>,
    ) -> Option<Spread> {
        Spread::of(self.of(column).filter_map(|run| {
            let neighbour = self.of(base).find(|other| other.round == run.round)?;
            combine(figure.of(run)?, figure.of(neighbour)?)
        }))
    }
}

/// `None` where there is nothing to divide by.
pub(crate) fn quotient(value: f64, base: f64) -> Option<f64> {
    (base > 0.0).then(|| value / base)
}

/// What `value` is more than `base`.
pub(crate) fn difference(value: f64, base: f64) -> Option<f64> {
    Some(value - base)
}
