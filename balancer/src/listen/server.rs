//! One thread's part of all listeners: accept, serve, drain.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_local, yield_now};

use super::accept::{Accepted, Accepting, Spares};
use super::connection::Connection;
use super::control::{Control, Order};
use super::open::{BACKLOG, Listener, Queue};
use super::parked::Parked;
use super::refusing::Refusing;
use super::registry::{Registry, tick_for};
use super::stream::Stream;
use super::threads::{Counted, Sent, Threads};
use super::{Alarm, Refusal, Service, close};
use crate::config::{ClientLimits, ListenAddress};
use crate::drain::{Draining, Stage};
use crate::net::{Peer, Socket};

/// Serves connections on one thread.
#[derive(Debug)]
pub struct Server {
    index: usize,
    threads: Arc<Threads>,
    handed: mpsc::UnboundedReceiver<Sent>,
    queues: Vec<(ListenAddress, Queue)>,
    orders: mpsc::UnboundedReceiver<Order>,
    limits: ClientLimits,
    shortest: Duration,
    draining: Draining,
}

/// What is the same for all connections of a thread.
struct Serving<S> {
    service: Rc<S>,
    registry: Rc<Registry>,
    parked: Rc<Parked>,
    refusing: Rc<Refusing>,
    threads: Arc<Threads>,
    limits: Rc<RefCell<ClientLimits>>,
}

impl Server {
    /// One for each of `count` threads, all for the same `listeners`, and what controls them while they run. `shortest` is
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
    ) -> io::Result<(Vec<Self>, Control)> {
        let (threads, receivers) = Threads::new(count, connections_max);
        let (orders, inboxes): (_, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let server = |(index, (handed, orders))| {
            let of_thread = listeners.iter().filter_map(|listener: &Listener| {
                let queue: &Queue = listener.queues.get(index)?;
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
        let serving = Rc::new(Serving::new(service, &registry, &parked, &self.threads, &self.limits));
        let (mut accepting, spares) = (JoinSet::<()>::new(), Rc::new(Spares::default()));
        let (own, draining) = (self.index, self.draining.clone());
        // Dropping an entry closes that listener.
        let mut open = HashMap::new();
        let begin = |address, queue, open: &mut HashMap<_, _>, accepting: &mut JoinSet<()>| {
            let (close, closing) = oneshot::channel();
            accepting.spawn_local(accept(queue, own, Rc::clone(&serving), closing, draining.clone()));
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
                    Order::Open(address, queue) => match register(queue) {
                        Ok(queue) => begin(address, queue, &mut open, &mut accepting),
                        Err(error) => tracing::error!(%error, "cannot accept from {address}"),
                    },
                    Order::Close(address) => drop(open.remove(&address)),
                    Order::Limits(changed, shortest) => {
                        limits.replace(*changed);
                        tick.set(tick_for(shortest));
                    }
                },
                () = draining.reached(Stage::Draining) => break,
            }
        }
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
    async fn take_the_last<S: Service>(&mut self, serving: &Serving<S>, draining: &mut Draining) {
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

/// Accepts until the drain begins or the listener is to close; then what the kernel has accepted already, where nobody else will,
/// and closes.
async fn accept<S: Service>(
    queue: Accepting,
    own: usize,
    serving: Rc<Serving<S>>,
    mut closing: oneshot::Receiver<()>,
    mut draining: Draining,
) {
    let mut begins = pin!(draining.reached(Stage::Draining));
    loop {
        // First what is frequent: it waits now and then, however many come, and then the others are asked.
        let accepted = tokio::select! {
            biased;
            accepted = async {
                serving.refusing.room().await;
                queue.accept().await
            } => accepted,
            () = &mut begins => break,
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

impl<S: Service> Serving<S> {
    fn new(
        service: Rc<S>,
        registry: &Rc<Registry>,
        parked: &Rc<Parked>,
        threads: &Arc<Threads>,
        limits: &ClientLimits,
    ) -> Self {
        let (registry, parked, threads) = (Rc::clone(registry), Rc::clone(parked), Arc::clone(threads));
        let (refusing, limits) =
            (Rc::new(Refusing::for_threads(threads.count())), Rc::new(RefCell::new(limits.clone())));
        Self { service, registry, parked, refusing, threads, limits }
    }

    /// Serves a connection that thread `own` has accepted, or has another thread serve it.
    fn place(&self, own: usize, accepted: Accepted) {
        let Accepted { socket, peer, spare } = accepted;
        if let Some(spare) = spare {
            let id = self.service.refused(peer, Instant::now(), Refusal::DescriptorLimit);
            spawn_local(async move {
                close::soon_with_answer(socket, Refusal::DescriptorLimit, id).await;
                drop(spare);
            });
            return;
        }
        let counted = self.threads.place(own);
        // Settled here and once: who has a place keeps it on the way to another thread, however many are refused meanwhile.
        if self.threads.are_full() && !self.make_room(own) {
            drop(counted);
            self.refuse(socket, peer);
        } else if counted.thread() == own {
            self.serve(socket, peer, counted);
        } else {
            counted.hand_over(socket, peer);
        }
    }

    /// Closes idle connections of the client that has most of them, or has other threads do so; whether one more has room.
    fn make_room(&self, own: usize) -> bool {
        let Some((whose, count)) = self.threads.most_idle() else { return false };
        self.parked.close_of(whose, count) > 0 || self.threads.ask_for_room(own, whose, count)
    }

    /// Serves a connection that another thread has accepted, or makes room for one that it serves.
    fn take(&self, sent: Sent) {
        match sent {
            Sent::Connection(handed) => {
                let (socket, peer, counted) = handed.arrive();
                self.serve(socket, peer, counted);
            }
            Sent::Room(whose, count) => _ = self.parked.close_of(whose, count),
        }
    }

    /// Says that there are too many connections; this one takes no place among them.
    fn refuse(&self, socket: Socket, peer: Peer) {
        let refusal = Refusal::ConnectionsMax;
        let id = self.service.refused(peer, Instant::now(), refusal);
        let refused = self.refusing.enter();
        let many = self.refusing.are_many();
        spawn_local(async move {
            match many {
                true => close::soon_with_answer(socket, refusal, id).await,
                false => close::with_answer(socket, refusal, id).await,
            }
            drop(refused);
        });
    }

    fn serve(&self, socket: Socket, peer: Peer, counted: Counted) {
        let alarm = Rc::new(Alarm::default());
        let connection = Connection {
            // Before the task begins, so that a drain in between waits for it.
            registered: self.registry.enter(Rc::clone(&alarm)),
            stream: Stream::new(socket, peer, &self.registry, alarm),
            arriving: None,
            service: Rc::clone(&self.service),
            registry: Rc::clone(&self.registry),
            parked: Rc::clone(&self.parked),
            limits: Rc::clone(&self.limits),
            counted,
        };
        // On the heap at once: as a task it would be copied whole several times, at its beginning and at its end.
        spawn_local(Box::pin(connection.run()));
    }
}

fn shortest(limits: &ClientLimits) -> Duration {
    limits.header_timeout.min(limits.keep_alive_timeout).min(limits.body_timeout)
}

/// The runtime asks between two turns of a task, for 1,024 events at once: enough for all that a queue of the kernel holds.
const LOOKS: usize = BACKLOG as usize / 1_024 + 2;
