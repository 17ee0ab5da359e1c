//! Where an endpoint is reached: at its address, or at those that its name has at this moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use crate::config::{Address, Host};
use crate::net::until;

/// The addresses to connect to, one after another; nothing while a name was never answered.
#[derive(Debug)]
pub(super) struct Reach {
    addresses: ArcSwapOption<Vec<Address>>,
    /// How often one of them was gone.
    moves: AtomicU32,
    told: Notify,
}

impl Reach {
    /// Of an endpoint with this address: itself, unless its host is a name.
    pub(super) fn new(address: &Address) -> Self {
        let known = match address {
            Address::Tcp { host: Host::Name(_), .. } => None,
            address => Some(Arc::new(vec![address.clone()])),
        };
        Self { addresses: ArcSwapOption::new(known), moves: AtomicU32::new(0), told: Notify::new() }
    }

    /// From now on it is these.
    pub(super) fn set(&self, addresses: Vec<Address>) {
        let addresses = Arc::new(addresses);
        let before = self.addresses.swap(Some(Arc::clone(&addresses)));
        if before.is_some_and(|before| before.iter().any(|address| !addresses.contains(address))) {
            self.moves.fetch_add(1, Ordering::Relaxed);
        }
        self.told.notify_waiters();
    }

    /// From now on it is reached in another way: what was opened before is not kept.
    pub(super) fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was somewhere else afterwards.
    pub(super) fn moves(&self) -> u32 {
        self.moves.load(Ordering::Relaxed)
    }

    /// What they are now, if that is known.
    fn known(&self) -> Option<Arc<Vec<Address>>> {
        self.addresses.load_full()
    }

    /// Waits until they are known.
    pub(super) async fn get(&self) -> Arc<Vec<Address>> {
        until(&self.told, || self.known()).await
    }
}
