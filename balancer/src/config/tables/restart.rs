//! `restart` and `[pool.NAME.workers.backoff]`. Decides when workers that ended are started again; called by [`super::workers`]; never
//! starts one.

use std::time::Duration;

use crate::config::syntax::item::Item;
use crate::config::syntax::units::{DURATION_MAX, DURATION_MIN, show_duration};

/// Whether a worker that ended by itself is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// However it ended.
    Always,
    /// Unless its exit code was 0.
    OnFailure,
    /// Not at all.
    Never,
}

/// Delay between restarts: doubling from `min` to `max`, jittered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// First delay; above zero.
    pub min: Duration,
    /// Longest delay; not below `min`.
    pub max: Duration,
}

pub(super) fn backoff(item: &Item<'_>, default: &Backoff) -> Option<Backoff> {
    let mut section = item.section("pool.NAME.workers.backoff", "{ min = \"100ms\", max = \"30s\" }")?;
    let min = section.take("min").and_then(|item| item.duration(DURATION_MIN..=DURATION_MAX)).unwrap_or(default.min);
    let max = section.take("max").and_then(|item| item.duration(DURATION_MIN..=DURATION_MAX)).unwrap_or(default.max);
    section.finish();
    if min > max {
        let message = format!("`min` is \"{}\", above `max`, \"{}\"", show_duration(min), show_duration(max));
        item.wrong(message, "delays grow from `min` to `max`: write both, the smaller first");
        return None;
    }
    Some(Backoff { min, max })
}

/// When a worker that ended by itself is started again.
pub(super) const RESTARTS: &[(&str, Restart)] =
    &[("always", Restart::Always), ("on_failure", Restart::OnFailure), ("never", Restart::Never)];
