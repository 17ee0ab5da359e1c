//! What can be changed while the threads serve: which addresses they listen on, how many connections there may be.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::accept::open::{AcceptQueue, Listener};
use super::accept::threads::Threads;
use crate::config::{ClientLimits, ListenAddress};

/// Tells all threads. Nothing waits: a thread does it when it comes to it.
#[derive(Debug)]
pub struct Control {
    pub(super) threads: Arc<Threads>,
    /// One a thread. Few are sent, and a thread that has ended wants none.
    pub(super) orders: Vec<mpsc::UnboundedSender<ThreadOrder>>,
}

/// What a thread is told.
#[derive(Debug)]
pub(super) enum ThreadOrder {
    /// Accept from there too.
    Open(ListenAddress, AcceptQueue),
    /// Accept what has arrived there, and close.
    Close(ListenAddress),
    /// What a client may take, and the shortest limit that a service may wait for.
    Limits(Box<ClientLimits>, Duration),
}

impl Control {
    /// How many threads serve: a listener opened for more would have queues that nobody looks at.
    pub fn threads(&self) -> usize {
        self.orders.len()
    }

    /// Listens on one more address, besides those that are there; it was opened for as many threads as there are.
    ///
    /// # Errors
    /// When its descriptor cannot be duplicated; then no thread listens there.
    pub fn open(&self, listener: &Listener) -> io::Result<()> {
        let queues = listener.queues.iter().map(AcceptQueue::try_clone).collect::<io::Result<Vec<_>>>()?;
        for (queue, orders) in queues.into_iter().zip(&self.orders) {
            let _ = orders.send(ThreadOrder::Open(listener.address.clone(), queue));
        }
        Ok(())
    }

    /// Closes a listener. Connections that came from it stay.
    pub fn close(&self, address: &ListenAddress) {
        for orders in &self.orders {
            let _ = orders.send(ThreadOrder::Close(address.clone()));
        }
    }

    /// What a client may take from now on, those that are connected too, and the shortest time limit a service may wait for.
    pub fn set_limits(&self, limits: &ClientLimits, shortest: Duration) {
        for orders in &self.orders {
            let _ = orders.send(ThreadOrder::Limits(Box::new(limits.clone()), shortest));
        }
    }

    /// How many connections there may be from now on; those that are there stay.
    pub fn set_connections_max(&self, connections_max: usize) {
        self.threads.connections_max.store(connections_max, Ordering::Relaxed);
    }

    /// How many client connections there may be.
    pub fn connections_max(&self) -> usize {
        self.threads.connections_max.load(Ordering::Relaxed)
    }

    /// Client connections that are open.
    pub fn connections(&self) -> usize {
        self.threads.connections()
    }

    /// Of these, the ones without a request for so long that only their sockets are kept.
    pub fn connections_idle(&self) -> usize {
        self.threads.parked()
    }
}
