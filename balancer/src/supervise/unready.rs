//! Why a worker did not become ready: a look at where it listens, for a message only.
//!
//! Decides on words. Called by `reconcile` when `ready_timeout` is over, and for each worker that starts, so that what is wrong is said
//! early. Never connects to the worker.

use std::time::Duration;

use nix::unistd::{AccessFlags, Pid, access};
use tokio::time::{Instant, sleep};

use super::clash::{Listeners, same_place};
use crate::config::{Address, Host};

/// What is wrong with where the processes of `group` listen, if it is that; begins with a semicolon.
///
/// Reads the whole of `/proc/*/fd`: milliseconds.
pub(super) fn explain(address: &Address, group: Pid) -> String {
    let listeners = Listeners::look();
    if is_listened_on(address, &listeners) {
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
    let elsewhere: Vec<String> = listeners.of_group(group).map(ToString::to_string).collect();
    let but = if elsewhere.is_empty() { String::new() } else { format!(", but on {}", elsewhere.join(", ")) };
    format!("; it does not listen on {address}, which is what {} name{but}", names(address))
}

/// Says of the worker `title` where it listens, if that is not where it was told; looked at now and then for as long as `patience`. Of
/// `first`, one of many that are the same, it is said also that it listens on every address, where that is so.
pub(super) async fn tell_misplaced(title: String, address: Address, group: Pid, first: bool, patience: Duration) {
    let until = Instant::now() + patience;
    loop {
        sleep(LOOK).await;
        let listeners = Listeners::look();
        if is_listened_on(&address, &listeners) {
            let everywhere =
                first.then(|| listeners.of_group(group).find(|own| is_every_address(own, &address)).cloned());
            if let Some(own) = everywhere.flatten() {
                tracing::warn!(
                    "{title} listens on {own}, which is every address of this machine: others can reach it without passing here. \
                     Have it listen on $HOST, or on a {{socket}}"
                );
            }
            return;
        }
        let elsewhere: Vec<String> = listeners.of_group(group).map(ToString::to_string).collect();
        if !elsewhere.is_empty() {
            tracing::warn!(
                "{title} is not ready yet: it listens on {}, and was told {address} by {}",
                elsewhere.join(", "),
                names(&address)
            );
            return;
        }
        if Instant::now() > until {
            return;
        }
    }
}

fn is_listened_on(address: &Address, listeners: &Listeners) -> bool {
    match address {
        Address::Unix(path) => path.exists(),
        Address::Tcp { .. } => listeners.all().any(|other| same_place(other, address)),
    }
}

/// How a worker is told.
fn names(address: &Address) -> &'static str {
    match address {
        Address::Unix(_) => "{socket} and $SOCKET",
        Address::Tcp { .. } => "{port} and $PORT",
    }
}

/// Whether `own` takes connections to every address at the port of `told`, which is one address.
fn is_every_address(own: &Address, told: &Address) -> bool {
    match (own, told) {
        (Address::Tcp { host: Host::Ip(own), port }, Address::Tcp { host: Host::Ip(told), port: told_port }) => {
            port == told_port && own.is_unspecified() && !told.is_unspecified()
        }
        _ => false,
    }
}

/// A server of any language listens by then, or is busy with its code.
const LOOK: Duration = Duration::from_secs(3);
