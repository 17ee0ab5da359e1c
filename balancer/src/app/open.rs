//! Opens listeners, and says why one cannot be opened. Decides which of them are one and the same; called at the start, and by a reload for
//! those that are added. Never closes one.

use std::io;
use std::path::Path;

use super::certificates::Keyring;
use super::failure::Failure;
use super::sharing::{self, Shares};
use super::{limits, privileges};
use crate::admin::{self, Account};
use crate::config::{Config, ListenAddress};
use crate::listen::{self, Listener, Passed};
use crate::supervise::{Sockets, StartDirectory, who_listens};

/// What the configuration wants of this machine, opened before anything is started: what it cannot have ends the start.
pub(super) struct OpenedAtStart {
    pub(super) here: StartDirectory,
    /// What the descriptor limit allowed when we were started.
    pub(super) descriptors_before: Option<u64>,
    /// What it allows now.
    pub(super) descriptors: u64,
    pub(super) listeners: Vec<Listener>,
    pub(super) keyring: Keyring,
    pub(super) admin: admin::Opened,
    pub(super) sockets: Option<Sockets>,
    pub(super) shares: Shares,
}

impl OpenedAtStart {
    /// Opens all of it, and becomes the account of the configuration. `name` and `path` are the instance's.
    pub(super) fn new(config: &Config, (name, path): (&str, Option<&Path>), passed: Passed) -> Result<Self, Failure> {
        let here = StartDirectory::look();
        let (descriptors_before, descriptors) = limits::raise_descriptors();
        let account = Account::of(&config.identity);
        let listeners = open(config, account.as_ref(), passed)?;
        let mut keyring = Keyring::new();
        // Before the account changes: it may be root who may read the keys.
        let shown = keyring.prepare(&config.tls).and_then(|prepared| keyring.show(prepared));
        shown.map_err(Failure::Certificates)?;
        keyring.endpoints = keyring.endpoints.again(&config.pools).map_err(Failure::Certificates)?;
        keyring.endpoints.tell();
        let shared_by_workers = sharing::open(config.pools.iter())?;
        let admin = admin::Opened::new(name, path, &config.admin, account.as_ref()).map_err(Failure::Admin)?;
        privileges::take_on(&config.identity).map_err(Failure::Identity)?;
        privileges::give_up(config);
        // Of the account that uses it.
        let sockets = Sockets::make(&config.pools).map_err(Failure::Sockets)?;
        let shares = sharing::start(shared_by_workers)?;
        Ok(Self { here, descriptors_before, descriptors, listeners, keyring, admin, sockets, shares })
    }
}

/// Opens all that is configured; what else was passed is closed, and told of.
fn open(config: &Config, account: Option<&Account>, mut passed: Passed) -> Result<Vec<Listener>, Failure> {
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
        if let (Some(account), ListenAddress::Unix(socket), Some(file)) = (account, address.place(), &listener.file) {
            listen::admit(file, socket, Some(account.uid.as_raw()))?;
        }
        Ok(listener)
    });
    opened.map_err(|error| {
        let holder = match (address.place(), error.kind()) {
            (ListenAddress::Tcp(address), io::ErrorKind::AddrInUse) => who_listens(*address),
            _ => None,
        };
        Failure::Listen(address.clone(), error, holder)
    })
}
