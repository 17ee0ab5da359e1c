//! Opens listeners, and says why one cannot be opened. Decides which of them are one and the same; called at the start, and by a reload for
//! those that are added. Never closes one.

use std::io;

use super::failure::Failure;
use crate::admin::Account;
use crate::config::{Config, ListenAddress};
use crate::listen::{self, Listener, Passed};
use crate::supervise::who_listens;

/// Opens all that is configured; what else was passed is closed, and told of.
pub(super) fn open(config: &Config, account: Option<&Account>, mut passed: Passed) -> Result<Vec<Listener>, Failure> {
    let mut all: Vec<Listener> = Vec::new();
    for address in &config.listen {
        let listener = open_listener(address, &config.listen, config.threads, (account, &mut passed))?;
        if all.iter().any(|known| known.address == listener.address) {
            let twice = format!("it is {}, where balancer listens already; keep one of the two", listener.address);
            return Err(Failure::Listen(address.clone(), io::Error::other(twice), None));
        }
        all.push(listener);
    }
    passed.problem().into_iter().for_each(|problem| tracing::warn!("{problem}"));
    passed.left().iter().for_each(|left| tracing::warn!("{left}"));
    Ok(all)
}

/// Opens a listener, one of `all`; where somebody else has the address, the error says who. The file of a Unix socket will belong
/// to `account`, where root is about to become one.
pub(super) fn open_listener(
    address: &ListenAddress,
    all: &[ListenAddress],
    threads: usize,
    (account, passed): (Option<&Account>, &mut Passed),
) -> Result<Listener, Failure> {
    let opened = listen::open(address, all, threads, passed).and_then(|listener| {
        if let (Some(account), ListenAddress::Unix(socket), Some(file)) = (account, address, &listener.file) {
            file.admit(socket, Some(account.uid.as_raw()))?;
        }
        Ok(listener)
    });
    opened.map_err(|error| {
        let holder = match (address, error.kind()) {
            (ListenAddress::Tcp(address), io::ErrorKind::AddrInUse) => who_listens(*address),
            _ => None,
        };
        Failure::Listen(address.clone(), error, holder)
    })
}
