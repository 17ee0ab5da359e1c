//! Integration tests: real processes and sockets of this machine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what stands outside of test functions fails as tests do")]

mod access_log;
mod admin;
mod care;
mod cli;
mod cli_serve;
mod cli_sockets;
mod cli_workers;
mod demo;
mod drain;
mod faults;
mod fields;
mod forwarding;
mod framing;
mod harness;
mod health;
mod idle;
mod idle_connections;
mod limits;
mod load;
mod peers;
mod peers_workers;
mod persistence;
mod policies;
mod program;
mod reload;
mod roll;
mod routing;
mod streaming;
mod supervise;
mod timeouts;
mod upgrade;
