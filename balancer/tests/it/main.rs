//! Integration tests: real processes and sockets of this machine.

mod supervise;
