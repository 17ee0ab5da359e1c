//! One thread's part of all listeners: accept, serve, drain.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_local, yield_now};

use super::accept::open::{AcceptQueue, BACKLOG, Listener};
use super::accept::threads::{Sent, Threads};
use super::accept::{Accepting, Spares};
use super::connection::service::Service;
use super::control::{Control, ThreadOrder};
use super::idle::parked::Parked;
use super::idle::registry::{Registry, tick_for};
use super::serving::Serving;
use crate::config::{ClientLimits, ListenAddress};
use crate::drain::{Draining, Stage};
use crate::tls::Certificates;

/// Serves connections on one thread.
#[derive(Debug)]
pub struct Server {
    index: usize,
    threads: Arc<Threads>,
    handed: mpsc::UnboundedReceiver<Sent>,
    queues: Vec<(ListenAddress, AcceptQueue)>,
    orders: mpsc::UnboundedReceiver<ThreadOrder>,
    limits: ClientLimits,
    shortest: Duration,
    draining: Draining,
    certificates: Arc<Certificates>,
}

impl Server {
    /// One for each of `count` threads, all for the same `listeners`, and what controls them while they run; clients of
    /// those that are encrypted are shown `certificates`. `shortest` is
    /// the shortest time limit a service may wait for.
    ///
    /// # Errors
    /// When a listener's descriptor cannot be duplicated.
    pub fn for_threads(
        count: usize,
        connections_max: usize,
        listeners: &[Listener],
        limits: &ClientLimits,
        shortest: Duration,
        draining: &Draining,
        certificates: &Arc<Certificates>,
    ) -> io::Result<(Vec<Self>, Control)> {
        let (threads, receivers) = Threads::new(count, connections_max);
        let (orders, inboxes): (_, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let server = |(index, (handed, orders))| {
            let of_thread = listeners.iter().filter_map(|listener: &Listener| {
                let queue: &AcceptQueue = listener.queues.get(index)?;
                Some(queue.try_clone().map(|queue| (listener.address.clone(), queue)))
            });
            Ok(Self {
                index,
                threads: Arc::clone(&threads),
                handed,
                queues: of_thread.collect::<io::Result<_>>()?,
                orders,
                limits: limits.clone(),
                shortest,
                draining: draining.clone(),
                certificates: Arc::clone(certificates),
            })
        };
        let servers = receivers.into_iter().zip(inboxes).enumerate().map(server).collect::<io::Result<_>>()?;
        Ok((servers, Control { threads, orders }))
    }

    /// Accepts and serves until the drain has let the last request finish or its time is over.
    ///
    /// # Errors
    /// When a listener cannot be registered with the thread's runtime.
    pub async fn run<S: Service>(mut self, service: Rc<S>) -> io::Result<()> {
        let registry = Rc::new(Registry::default());
        let parked = Rc::new(Parked::new()?);
        let serving =
            Rc::new(Serving::new(service, &registry, &parked, &self.threads, &self.limits, &self.certificates));
        let (mut accepting, spares) = (JoinSet::<()>::new(), Rc::new(Spares::default()));
        let own = self.index;
        // Dropping an entry closes that listener.
        let mut open = HashMap::new();
        let begin = |address, queue, open: &mut HashMap<_, _>, accepting: &mut JoinSet<()>| {
            let (close, closing) = oneshot::channel();
            accepting.spawn_local(accept(queue, own, Rc::clone(&serving), closing));
            open.insert(address, close);
        };
        let register = |queue| Accepting::new(queue, &spares);
        let queues = std::mem::take(&mut self.queues).into_iter();
        let queues = queues.map(|(address, queue)| Ok((address, register(queue)?))).collect::<io::Result<Vec<_>>>()?;
        tokio::select! {
            () = self.threads.all_ready() => {}
            // Another thread has failed before it was. Not before the drain is over: who has connected meanwhile is served.
            () = self.draining.reached(Stage::Stopped) => return Ok(()),
        }
        spares.fill();
        for (address, queue) in queues {
            begin(address, queue, &mut open, &mut accepting);
        }
        let limits = Rc::clone(&serving.limits);
        let tick_for = |service: Duration| tick_for(service.min(shortest(&limits.borrow())));
        let tick = Rc::new(Cell::new(tick_for(self.shortest)));
        let (ticks, kept) = (Rc::clone(&tick), Rc::clone(&limits));
        let ticking = Rc::clone(&registry);
        let resting = Rc::clone(&parked);
        spawn_local(async move { ticking.tick(&ticks, &kept, &resting).await });
        let (sleeping, waking) = (Rc::clone(&parked), Rc::clone(&serving));
        spawn_local(async move {
            sleeping.wake(|socket, peer, counted| waking.serve(socket, peer, counted)).await;
        });
        let mut draining = self.draining.clone();
        loop {
            tokio::select! {
                Some(handed) = self.handed.recv() => serving.take(handed),
                Some(order) = self.orders.recv() => match order {
                    ThreadOrder::Open(address, queue) => match register(queue) {
                        Ok(queue) => begin(address, queue, &mut open, &mut accepting),
                        Err(error) => tracing::error!(%error, "cannot accept from {address}"),
                    },
                    ThreadOrder::Close(address) => drop(open.remove(&address)),
                    ThreadOrder::Limits(changed, shortest) => {
                        limits.replace(*changed);
                        tick.set(tick_for(shortest));
                    }
                },
                () = draining.reached(Stage::Draining) => break,
            }
        }
        drop(open);
        while accepting.join_next().await.is_some() {}
        self.take_the_last(&serving, &mut draining).await;
        registry.drain();
        parked.close();
        tokio::select! {
            () = registry.emptied() => {}
            () = draining.reached(Stage::Stopped) => {}
        }
        Ok(())
    }

    /// Takes what other threads have accepted last, which may still be on its way; who comes later finds the listeners closed.
    async fn take_the_last<S: Service>(&mut self, serving: &Rc<Serving<S>>, draining: &mut Draining) {
        let mut closed = pin!(self.threads.all_closed());
        loop {
            tokio::select! {
                Some(handed) = self.handed.recv() => serving.take(handed),
                () = &mut closed => break,
                () = draining.reached(Stage::Stopped) => break,
            }
        }
        while let Ok(handed) = self.handed.try_recv() {
            serving.take(handed);
        }
        // Until the runtime has asked the kernel about all of them it does not know that their requests are here, and a drain
        // closes who has none.
        for _ in 0..LOOKS {
            yield_now().await;
        }
    }
}

/// Accepts until the listener is to close; then what the kernel has accepted already, where nobody else will,
/// and closes.
async fn accept<S: Service>(queue: Accepting, own: usize, serving: Rc<Serving<S>>, mut closing: oneshot::Receiver<()>) {
    loop {
        // First what is frequent: it waits now and then, however many come, and then the other is asked.
        let accepted = tokio::select! {
            biased;
            accepted = async {
                serving.refusing.room().await;
                queue.accept().await
            } => accepted,
            _ = &mut closing => break,
        };
        serving.place(own, accepted);
    }
    if queue.outlives_us() {
        return;
    }
    // No more than may have been waiting, however fast others come.
    for _ in 0..BACKLOG {
        let Some(accepted) = queue.accept_now() else { break };
        serving.place(own, accepted);
    }
}

fn shortest(limits: &ClientLimits) -> Duration {
    limits.header_timeout.min(limits.keep_alive_timeout).min(limits.body_timeout)
}

/// The runtime asks between two turns of a task, for 1,024 events at once: enough for all that a queue of the kernel holds.
const LOOKS: usize = BACKLOG as usize / 1_024 + 2;
