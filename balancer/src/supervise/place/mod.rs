//! Where a worker listens: the port or the Unix socket that is kept for it.
//!
//! Decides which place is free, whose the listener there is, and what is removed of places nobody has any more. Called by `spawn`, and by
//! `reconcile` for as long as a worker runs. Never starts or ends a process.

pub(super) mod clash;
mod diag;
pub(super) mod port;
mod private;
mod removal;
mod remover;
pub(super) mod reservation;
pub(super) mod socket;
pub(super) mod unready;
pub(super) mod whose;
