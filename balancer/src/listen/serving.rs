//! What is done with a connection that a thread has: served, refused, or handed to another thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::spawn_local;

use super::accept::Accepted;
use super::accept::refusing::Refusing;
use super::accept::threads::{Counted, Room, Sent, Threads};
use super::close;
use super::connection::Connection;
use super::connection::announced;
use super::connection::service::Service;
use super::connection::stream::Stream;
use super::connection::tasks::{Arrived, Task, Tasks};
use super::handshake::Shaking;
use super::idle::parked::Parked;
use super::idle::registry::Registry;
use super::refusal::Refusal;
use crate::config::ClientLimits;
use crate::net::{Client, Peer, Socket};
use crate::tls::Certificates;

/// What is the same for all connections of a thread.
pub(super) struct Serving<S> {
    service: Rc<S>,
    registry: Rc<Registry>,
    parked: Rc<Parked>,
    pub(super) refusing: Rc<Refusing>,
    shaking: Rc<Shaking>,
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
        certificates: &Arc<Certificates>,
    ) -> Self {
        let (registry, parked, threads) = (Rc::clone(registry), Rc::clone(parked), Arc::clone(threads));
        let (refusing, limits) =
            (Rc::new(Refusing::for_threads(threads.count())), Rc::new(RefCell::new(limits.clone())));
        let shaking = Rc::new(Shaking::new(certificates));
        Self { service, registry, parked, refusing, shaking, threads, limits, tasks: Tasks::default() }
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
        // Of a proxy it is not known yet for whom it speaks: asked again once it has told.
        let is_announced = announced::is_wanted(peer, &self.limits.borrow().proxy_protocol_from);
        let whose = if is_announced { None } else { peer.ip().map(Client::of) };
        let counted = self.threads.place(own, whose);
        // Settled here and once: who has a place keeps it on the way to another thread, however many are refused meanwhile.
        if !counted.has_room_for(whose, own, &self.parked, &self.registry) {
            drop(counted);
            self.refuse(socket, peer);
        } else if counted.thread() == own {
            self.serve(socket, peer, counted);
        } else {
            counted.hand_over(socket, peer);
        }
    }

    /// Serves a connection that another thread has accepted, or makes room for one that it serves.
    pub(super) fn take(self: &Rc<Self>, sent: Sent) {
        match sent {
            Sent::Connection(handed) => {
                let (socket, peer, counted) = handed.arrive();
                self.serve(socket, peer, counted);
            }
            Sent::Room(Room::Idle(whose, count)) => _ = self.parked.close_of(whose, count),
            Sent::Room(Room::Unasked(cell)) => _ = self.registry.dismiss_newest(cell),
        }
    }

    /// Says that there are too many connections; this one takes no place among them.
    fn refuse(&self, socket: Socket, peer: Peer) {
        let id = self.service.refused(peer, Instant::now(), Refusal::ConnectionsMax);
        let refused = self.refusing.enter();
        spawn_local(Rc::clone(&self.refusing).tell(refused, socket, id));
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
                refusing: Rc::clone(&self.refusing),
                shaking: Rc::clone(&self.shaking),
                limits: Rc::clone(&self.limits),
            };
            connection.run().await;
            if !self.tasks.keep(&task) {
                return;
            }
        }
    }
}
