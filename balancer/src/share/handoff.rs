//! The thread on which a pool's connections are accepted and handed over.
//!
//! Decides nothing; carries orders to `desk` in their order. Made by `share`, whose takers join and leave. Ends when the pool's last
//! taker and the pool itself are gone.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::channel::Channel;
use super::desk::{Rules, serve};
use super::order::Order;
use crate::config::Pool;

/// Where orders go.
#[derive(Debug)]
pub(super) struct Handoff(mpsc::UnboundedSender<Order>);

impl Handoff {
    /// Starts the thread.
    pub(super) fn start(listener: TcpListener, pool: &Pool) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // A worker's start and end bring one each; nobody waits for room.
        let (orders, inbox) = mpsc::unbounded_channel();
        let rules = Rules { policy: pool.policy.clone(), patience: pool.ready_wait(), waiting_max: pool.waiting_max };
        let name = pool.name.clone();
        thread::Builder::new().name("handoff".into()).spawn(move || {
            let served = runtime.block_on(LocalSet::new().run_until(serve(listener, rules, inbox)));
            if let Err(error) = served {
                tracing::error!(%error, "pool {name}: connections cannot be handed over");
            }
        })?;
        Ok(Self(orders))
    }

    pub(super) fn join(&self, name: &Arc<str>, channel: &Arc<Channel>) {
        self.order(Order::Join(Arc::clone(name), Arc::clone(channel)));
    }

    pub(super) fn leave(&self, channel: &Arc<Channel>) {
        self.order(Order::Leave(Arc::clone(channel)));
    }

    pub(super) fn close(&self) {
        self.order(Order::Close);
    }

    fn order(&self, order: Order) {
        // It fails when the thread could not begin, which was said.
        let _ = self.0.send(order);
    }
}
