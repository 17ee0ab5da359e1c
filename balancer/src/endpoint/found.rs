//! What there is besides of an endpoint to which a name has led: nobody told us that it serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::Endpoint;
use crate::config::Address;

/// The name, and whether a connection for a request has failed.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: Arc<str>,
    unreachable: AtomicBool,
    told: Notify,
}

impl Found {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, unreachable: AtomicBool::new(false), told: Notify::new() }
    }

    /// A connection has failed.
    pub(super) fn failed(&self) {
        self.unreachable.store(true, Ordering::SeqCst);
        self.told.notify_one();
    }

    /// A connection was accepted: what failed before does not count.
    pub(super) fn accepted(&self) {
        self.unreachable.store(false, Ordering::SeqCst);
    }

    /// Returns when a connection has failed since one was accepted. One may wait.
    pub(super) async fn unreachable(&self) {
        while !self.unreachable.load(Ordering::SeqCst) {
            self.told.notified().await;
        }
    }
}

impl Endpoint {
    /// One to which DNS has led, by `name`; it is called as its address.
    pub fn found(name: Arc<str>, address: Address, weight: u16, backup: bool) -> Arc<Self> {
        Arc::new(Self { found: Some(Found::new(name)), ..Self::make(address.to_string(), address, weight, backup) })
    }

    /// The name by which DNS has led to it.
    pub fn found_by(&self) -> Option<&Arc<str>> {
        self.found.as_ref().map(|found| &found.name)
    }

    /// It has accepted a connection, and may be given requests.
    pub fn accepted(&self) {
        if let Some(found) = &self.found {
            found.accepted();
        }
        self.reached(true);
    }

    /// Returns when a connection for a request has failed since [`Self::accepted`]; never where no name has led to it. One may wait.
    pub async fn unreachable(&self) {
        match &self.found {
            Some(found) => found.unreachable().await,
            None => std::future::pending().await,
        }
    }
}
