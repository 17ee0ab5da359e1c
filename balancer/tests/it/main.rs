//! Integration tests: real processes and sockets of this machine.

mod access_log;
mod drain;
mod faults;
mod fields;
mod forwarding;
mod framing;
mod harness;
mod limits;
mod load;
mod persistence;
mod policies;
mod routing;
mod streaming;
mod supervise;
mod timeouts;
mod upgrade;
