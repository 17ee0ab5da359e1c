//! Why a worker did not become ready: a look at where it listens, for a message only.
//!
//! Decides on words. Called by `reconcile` when `ready_timeout` is over, and for each worker that starts, so that what is wrong is said
//! early. Never connects to the worker.

use std::time::Duration;

use nix::unistd::{AccessFlags, Pid, access};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::clash::{Listeners, same_place};
use crate::config::{Address, Host};

/// What is wrong with where the processes of `group` listen, if it is that; begins with a semicolon.
pub(in crate::supervise) async fn explain(address: &Address, group: Pid) -> String {
    let sight = Sight::of(address.clone(), group).await;
    if sight.is_listened_on {
        return match address {
            Address::Unix(path) if access(path, AccessFlags::W_OK).is_err() => {
                format!(
                    "; balancer may not connect to {}: the worker's umask must leave the socket writable for balancer",
                    path.display()
                )
            }
            _ => String::new(),
        };
    }
    let but = if sight.own.is_empty() { String::new() } else { format!(", but on {}", list(&sight.own)) };
    format!("; it does not listen on {address}, which is what {} name{but}", names(address))
}

/// Says of the worker `title` where it listens, if that is not where it was told; looked at now and then for as long as `patience`. Of
/// `first`, one of many that are the same, it is said also that it listens on every address, where that is so.
pub(in crate::supervise) async fn tell_misplaced(
    title: String,
    address: Address,
    group: Pid,
    first: bool,
    patience: Duration,
) {
    let until = Instant::now() + patience;
    loop {
        sleep(LOOK).await;
        let sight = Sight::of(address.clone(), group).await;
        if sight.is_listened_on {
            if let Some(own) = sight.own.iter().find(|own| first && is_every_address(own, &address)) {
                tracing::warn!(
                    "{title} listens on {own}, which is every address of this machine: clients can reach it without \
                     balancer. Have it listen on $HOST, or on a {{socket}}"
                );
            }
            return;
        }
        if !sight.own.is_empty() {
            tracing::warn!(
                "{title} is not ready yet: it listens on {}, and was told {address} by {}",
                list(&sight.own),
                names(&address)
            );
            return;
        }
        if Instant::now() > until {
            return;
        }
    }
}

/// Where a worker was told to listen, and where it does.
#[derive(Debug, Default)]
struct Sight {
    /// Somebody listens where it was told.
    is_listened_on: bool,
    /// Where its own processes listen, as far as we may look into them.
    own: Vec<Address>,
}

impl Sight {
    /// Reads the kernel's tables and what its processes have open, on a thread of its own: with ten thousand connections on this machine
    /// that takes long enough for everybody else on the control thread to notice. One look at a time, however many workers start.
    async fn of(address: Address, group: Pid) -> Self {
        static ONE: Semaphore = Semaphore::const_new(1);
        // Nobody closes the semaphore.
        let _turn = ONE.acquire().await;
        let look = move || {
            let listeners = Listeners::look();
            let is_listened_on = is_listened_on(&address, &listeners);
            Self { is_listened_on, own: listeners.of_group(group).cloned().collect() }
        };
        // It fails only when the program ends, and then nobody reads it.
        spawn_blocking(look).await.unwrap_or_default()
    }
}

fn list(addresses: &[Address]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
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
