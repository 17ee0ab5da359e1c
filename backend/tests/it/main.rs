//! The real program on real sockets.

// The lints spare test functions, but not what they share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod classics;
mod connections;
mod drain;
mod faults;
mod models;
mod routes;
mod starting;
mod support;
mod upgrades;
