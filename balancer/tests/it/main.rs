//! Integration tests: real processes and sockets of this machine.

mod cli;
mod cli_serve;
mod cli_workers;
mod demo;
mod peers;
mod peers_workers;
mod program;
mod supervise;
