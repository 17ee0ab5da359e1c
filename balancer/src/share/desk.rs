//! Where connections are accepted and handed to workers, on a thread of its own.
//!
//! Decides how long a connection waits for a worker that takes it, and what becomes of it if none does. Run by `handoff`. Never reads of
//! a connection.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout_at};
use xxhash_rust::xxh3::xxh3_64;

use super::channel::Channel;
use super::choose::choose;
use super::member::{HandOver, Member};
use super::opened::BACKLOG;
use super::order::Order;
use super::refusal::refuse;
use crate::config::Policy;
use crate::net::{Client, Crowd};

/// How a pool wants its connections handed over.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) policy: Policy,
    /// How long a connection waits for a worker.
    pub(super) patience: Duration,
    /// How many do.
    pub(super) waiting_max: usize,
}

/// The workers that take connections, and the connections that wait.
#[derive(Debug)]
struct Desk {
    rules: Rules,
    members: RefCell<Vec<Rc<Member>>>,
    /// Whether workers tell when they close connections.
    tells: Cell<bool>,
    turn: Cell<usize>,
    rng: RefCell<SmallRng>,
    room: Notify,
    waiting: RefCell<Crowd>,
    /// Connections that are being told that nobody takes them.
    refusing: Cell<usize>,
}

/// Accepts and hands over until it is told that nobody joins any more and everybody has left.
pub(super) async fn serve(
    listener: TcpListener,
    rules: Rules,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> io::Result<()> {
    let desk = Rc::new(Desk {
        rules,
        members: RefCell::default(),
        tells: Cell::new(false),
        turn: Cell::new(0),
        rng: RefCell::new(rand::make_rng()),
        room: Notify::new(),
        waiting: RefCell::default(),
        refusing: Cell::new(0),
    });
    // Its successor is `unsafe`: it wants a promise that the descriptor stays open and the same, which a listener keeps.
    #[expect(deprecated, reason = "the successor is unsafe, which is denied")]
    let mut listener = Some(AsyncFd::with_interest(listener, Interest::READABLE)?);
    loop {
        tokio::select! {
            // An order first: who leaves must not be handed one more.
            biased;
            order = orders.recv() => match order {
                Some(Order::Join(name, channel)) => desk.join(&name, channel),
                Some(Order::Leave(channel)) => desk.leave(&channel),
                Some(Order::Close) => {
                    // Whoever has connected is served still, and no more than can wait there: others may go on connecting.
                    if let Some(listener) = listener.take() {
                        let _ = (0..=BACKLOG).try_for_each(|_| desk.accept(listener.get_ref()));
                    }
                }
                None => return Ok(()),
            },
            // Without a listener there is nothing to accept.
            readable = readable(listener.as_ref()) => {
                let (Ok(mut ready), Some(listener)) = (readable, &listener) else { continue };
                for _ in 0..IN_A_ROW {
                    match ready.try_io(|_| desk.accept(listener.get_ref())) {
                        Ok(Ok(())) => {}
                        // Out of descriptors or memory: what others close gives some back.
                        Ok(Err(_)) => {
                            sleep(ACCEPT_PAUSE).await;
                            break;
                        }
                        Err(_would_block) => break,
                    }
                }
            }
        }
    }
}

async fn readable(
    listener: Option<&AsyncFd<TcpListener>>,
) -> io::Result<tokio::io::unix::AsyncFdReadyGuard<'_, TcpListener>> {
    match listener {
        Some(listener) => listener.readable().await,
        None => std::future::pending().await,
    }
}

impl Desk {
    fn join(self: &Rc<Self>, name: &str, channel: Arc<Channel>) {
        let member = match Member::new(name, channel) {
            Ok(member) => Rc::new(member),
            Err(error) => {
                tracing::error!(%error, "{name} cannot be handed connections");
                return;
            }
        };
        self.members.borrow_mut().push(Rc::clone(&member));
        self.room.notify_waiters();
        let desk = Rc::clone(self);
        // It ends with the worker's end of the channel, so with the worker at the latest.
        spawn_local(async move { member.attend(&desk.room, &desk.tells).await });
    }

    fn leave(&self, channel: &Arc<Channel>) {
        let mut members = self.members.borrow_mut();
        if let Some(at) = members.iter().position(|member| member.has(channel)) {
            members.remove(at).end();
        }
    }

    /// Accepts one and hands it over, or lets it wait.
    fn accept(self: &Rc<Self>, listener: &TcpListener) -> io::Result<()> {
        // Blocking, as programs expect of what they have accepted themselves.
        let (connection, peer) = match acceptfrom_with(listener, SocketFlags::CLOEXEC) {
            Ok(accepted) => accepted,
            // Gone before it was accepted.
            Err(rustix::io::Errno::CONNABORTED | rustix::io::Errno::PROTO | rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let whose = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).map(|peer| Client::of(peer.ip()));
        let key = whose.map_or(0, key_of);
        if let Some(connection) = self.hand(connection, key) {
            let desk = Rc::clone(self);
            if self.waiting.borrow_mut().enter(whose, self.rules.waiting_max) {
                spawn_local(async move {
                    let refused = desk.wait(connection, key).await;
                    desk.waiting.borrow_mut().leave(whose);
                    if let Some(connection) = refused {
                        desk.refuse(connection);
                    }
                });
            } else {
                self.refuse(connection);
            }
        }
        Ok(())
    }

    /// Gives it to a worker; else it comes back.
    fn hand(&self, connection: OwnedFd, key: u64) -> Option<OwnedFd> {
        let members = self.members.borrow();
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        // Who turns it away is no candidate in the next round.
        for _ in 0..members.len() {
            let candidates: Vec<_> = members.iter().map(|member| member.candidate()).collect();
            let rng = &mut *self.rng.borrow_mut();
            let chosen = choose(&self.rules.policy, &candidates, self.tells.get(), (turn, key), rng);
            let Some(chosen) = chosen else { break };
            match members[chosen].hand(&connection) {
                HandOver::Yes => return None,
                HandOver::No => {}
                HandOver::NotBy(error) => {
                    tracing::warn!("a connection cannot be handed over: {error}");
                    break;
                }
            }
        }
        Some(connection)
    }

    /// Answers 503, in a task of its own; without a word where there are too many such already.
    fn refuse(self: &Rc<Self>, connection: OwnedFd) {
        if self.refusing.get() >= REFUSING_MAX {
            return;
        }
        self.refusing.set(self.refusing.get() + 1);
        let desk = Rc::clone(self);
        spawn_local(async move {
            refuse(connection).await;
            desk.refusing.set(desk.refusing.get() - 1);
        });
    }

    /// Until a worker takes it; else it comes back.
    async fn wait(&self, mut connection: OwnedFd, key: u64) -> Option<OwnedFd> {
        let until = Instant::now() + self.rules.patience;
        loop {
            let mut room = pin!(self.room.notified());
            // From here on no change is missed.
            room.as_mut().enable();
            match self.hand(connection, key) {
                None => return None,
                Some(back) => connection = back,
            }
            if timeout_at(until, room).await.is_err() {
                return Some(connection);
            }
        }
    }
}

/// One address, one worker: of IPv6 the first 64 bits, for who has one address behind them has all.
fn key_of(client: Client) -> u64 {
    xxh3_64(&client.bits().to_le_bytes())
}

/// Each takes a second at most.
const REFUSING_MAX: usize = 1_024;
/// Accepted before orders have their turn.
const IN_A_ROW: usize = 64;
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
