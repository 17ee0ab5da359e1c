//! How an endpoint stands with those who would send it requests, and how that changes. Decides nothing; said by `health`, published by
//! `verdict`. Never remembers what came before.

use std::time::{Duration, Instant};

/// What may be seen of it at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing to object to.
    Fine,
    /// Available, though its last request failed.
    Suspect,
    /// Available, and its share grows since then.
    Ramping(Instant),
    /// Out until its probes are answered again.
    Down,
    /// Out until then; the next request after that is on probation.
    Ejected(Instant),
    /// Out until a request that is under way has decided.
    Probation,
}

/// A verdict that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// So many probes failed.
    Down(u32),
    /// So many probes were answered, after such a time out. `true`: it was ejected too, so a request decides.
    Up(u32, Duration, bool),
    /// Ejected for so long after so many failures in a row.
    Ejected(Duration, u32),
    /// Ejected again for so long: the request on probation failed.
    Again(Duration),
    /// It takes connections again after such a time out, so a request decides.
    Reachable(Duration),
    /// Its requests succeed again, after such a time out.
    Back(Duration),
}
