//! Why a worker did not become ready: a look at where it listens, for a message only.
//!
//! Decides on words. Called by `reconcile` when `ready_timeout` is over. Never connects to the worker.

use nix::unistd::{AccessFlags, Pid, access};

use super::clash::{Listeners, same_place};
use crate::config::Address;

/// What is wrong with where the processes of `group` listen, if it is that; begins with a semicolon.
///
/// Reads the whole of `/proc/*/fd`: milliseconds.
pub(super) fn explain(address: &Address, group: Pid) -> String {
    let listeners = Listeners::look();
    let there = match address {
        Address::Unix(path) => path.exists(),
        Address::Tcp { .. } => listeners.all().any(|other| same_place(other, address)),
    };
    if there {
        return match address {
            Address::Unix(path) if access(path, AccessFlags::W_OK).is_err() => {
                format!(
                    "; the mode of {} keeps us out: its umask must leave the socket writable for us",
                    path.display()
                )
            }
            _ => String::new(),
        };
    }
    let names = match address {
        Address::Unix(_) => "{socket} and $SOCKET",
        Address::Tcp { .. } => "{port} and $PORT",
    };
    let elsewhere: Vec<String> = listeners.of_group(group).map(ToString::to_string).collect();
    let but = if elsewhere.is_empty() { String::new() } else { format!(", but on {}", elsewhere.join(", ")) };
    format!("; it does not listen on {address}, which is what {names} name{but}")
}
