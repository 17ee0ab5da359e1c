//! What is done with a connection that a thread has: served, refused, or handed to another thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::spawn_local;

use super::accept::Accepted;
use super::connection::Connection;
use super::parked::Parked;
use super::refusing::Refusing;
use super::registry::Registry;
use super::stream::Stream;
use super::tasks::{Arrived, Task, Tasks};
use super::threads::{Counted, Sent, Threads};
use super::{Refusal, Service, close};
use crate::config::ClientLimits;
use crate::net::{Peer, Socket};

/// What is the same for all connections of a thread.
pub(super) struct Serving<S> {
    service: Rc<S>,
    registry: Rc<Registry>,
    parked: Rc<Parked>,
    pub(super) refusing: Rc<Refusing>,
    threads: Arc<Threads>,
    pub(super) limits: Rc<RefCell<ClientLimits>>,
    tasks: Tasks,
}

impl<S: Service> Serving<S> {
    pub(super) fn new(
        service: Rc<S>,
        registry: &Rc<Registry>,
        parked: &Rc<Parked>,
        threads: &Arc<Threads>,
        limits: &ClientLimits,
    ) -> Self {
        let (registry, parked, threads) = (Rc::clone(registry), Rc::clone(parked), Arc::clone(threads));
        let (refusing, limits) =
            (Rc::new(Refusing::for_threads(threads.count())), Rc::new(RefCell::new(limits.clone())));
        Self { service, registry, parked, refusing, threads, limits, tasks: Tasks::default() }
    }

    /// Serves a connection that thread `own` has accepted, or has another thread serve it.
    pub(super) fn place(self: &Rc<Self>, own: usize, accepted: Accepted) {
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
    pub(super) fn take(self: &Rc<Self>, sent: Sent) {
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

    pub(super) fn serve(self: &Rc<Self>, socket: Socket, peer: Peer, counted: Counted) {
        let waiting = self.tasks.take();
        let begins = waiting.is_none();
        let task = waiting.unwrap_or_default();
        // Registered before the task goes on, so that a drain in between waits for it.
        let registered = self.registry.enter(Rc::clone(task.alarm()));
        task.serve(Arrived { socket, peer, counted, registered });
        if begins {
            // On the heap at once: as a task it would be copied whole several times, at its beginning and at its end.
            spawn_local(Box::pin(Rc::clone(self).serve_one_after_another(task)));
        }
    }

    /// What a task does: it serves the connection it was begun for, and then those it is given.
    async fn serve_one_after_another(self: Rc<Self>, task: Rc<Task>) {
        loop {
            let Arrived { socket, peer, counted, registered } = task.next().await;
            let connection = Connection {
                stream: Stream::new(socket, peer, &self.registry, Rc::clone(task.alarm())),
                arriving: None,
                registered,
                counted,
                service: Rc::clone(&self.service),
                registry: Rc::clone(&self.registry),
                parked: Rc::clone(&self.parked),
                limits: Rc::clone(&self.limits),
            };
            connection.run().await;
            if !self.tasks.keep(&task) {
                return;
            }
        }
    }
}
