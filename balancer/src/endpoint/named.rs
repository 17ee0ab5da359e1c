//! An endpoint whose address is a name, or to which a name has led. Decides nothing; told by `discover`, asked by whoever connects. Never
//! asks for a name.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::Endpoint;
use super::found::Found;
use crate::config::Address;

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

    /// Where to connect to, one after another. Where its host is a name, waits until that was answered the first time, be it
    /// that there is no address.
    pub async fn addresses(&self) -> Arc<Vec<Address>> {
        self.reach.get().await
    }

    /// How often an address of its name was gone, or the way there has changed.
    pub fn moves(&self) -> u32 {
        self.reach.moves()
    }

    /// It is reached in another way from now on, so that no connection from before is kept.
    pub fn moved(&self) {
        self.reach.moved();
    }

    /// Whether something that every request to it would have told is to be told now: every [`TELL_AGAIN`].
    pub fn is_to_be_told(&self, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let again = told.is_none_or(|last| now.saturating_duration_since(last) >= TELL_AGAIN);
        if again {
            *told = Some(now);
        }
        again
    }

    /// Its name has these addresses now.
    pub fn resolved(&self, addresses: Vec<Address>) {
        self.reach.set(addresses);
    }
}

/// Somebody who reads the log sees that it goes on.
const TELL_AGAIN: Duration = Duration::from_secs(10);
