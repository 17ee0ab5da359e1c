//! The panic threshold: with too few endpoints available, verdicts are ignored and all are used.
//!
//! The few would get what all of them could hardly carry, and fail one after another; and what looks like most endpoints
//! being broken is more often a broken probe, or requests that no endpoint could serve (the term is Envoy's).

use std::sync::atomic::{AtomicBool, Ordering};

use super::members::Members;

/// Whether a pool ignores verdicts, kept so that the change is told once and turns are not used up twice.
#[derive(Debug)]
pub(super) struct Panic {
    threshold: f64,
    holds: AtomicBool,
}

impl Panic {
    /// `threshold` is a share, 0.0 to 1.0.
    pub(super) fn new(threshold: f64) -> Self {
        Self { threshold, holds: AtomicBool::new(false) }
    }

    /// Whether verdicts were ignored the last time.
    pub(super) fn holds(&self) -> bool {
        self.holds.load(Ordering::Relaxed)
    }

    /// Whether they have to be now. Looks at every endpoint, so it is asked only where one is out.
    pub(super) fn is_due(&self, pool: &str, members: &Members) -> bool {
        let few = members.available().filter(|&(available, all)| (available as f64) < self.threshold * all as f64);
        let due = few.is_some();
        if self.holds.swap(due, Ordering::Relaxed) != due {
            match few {
                Some((available, all)) => tracing::warn!(
                    "pool {pool}: only {available} of {all} endpoints are available, fewer than {}%: all are used",
                    self.threshold * 100.0
                ),
                None => tracing::info!("pool {pool}: enough endpoints are available: those that are out are not used"),
            }
        }
        due
    }
}
