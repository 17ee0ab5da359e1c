//! The clients of one load, all on its thread.
//!
//! Decides who asks next and what is noted of it. Called by [`super::Load`]. Never waits for one client before another's
//! request is due.

use std::sync::{Arc, PoisonError};
use std::{rc::Rc, sync::atomic::Ordering, time::Duration};

use tokio::time::{sleep, timeout};
use tokio::{net::TcpStream, task::JoinSet};

use super::answer::{End, Fault};
use super::arrivals::Arrival;
use super::queue::{Alarm, Queue};
use super::{Clients, Pace, Sent, Shared, Told, Turn, Visitor};

/// What all clients of a load share.
pub(super) struct Party<V> {
    pub(super) shared: Arc<Shared>,
    pub(super) visitor: V,
}

/// Until every client has left.
pub(super) async fn serve<V: Visitor>(party: Rc<Party<V>>, pace: Pace, clients: Clients) {
    let mut tasks = JoinSet::new();
    let (Clients::Fresh(count) | Clients::Kept(count) | Clients::Forgetful(count, _)) = clients;
    match (pace, clients) {
        (Pace::Again { pause, after_failure, between }, _) => {
            for nth in 0..count {
                tasks.spawn_local(Rc::clone(&party).again_and_again(nth, between * nth, pause, after_failure));
            }
        }
        (Pace::At(arrivals), Clients::Fresh(_)) => party.one_for_each(arrivals, count as usize, &mut tasks).await,
        (Pace::At(arrivals), Clients::Kept(_) | Clients::Forgetful(..)) => {
            let late_max = if let Clients::Forgetful(_, late_max) = clients { late_max } else { Duration::MAX };
            let queue = Rc::new(Queue::default());
            for client in 0..count {
                tasks.spawn_local(Rc::clone(&party).one_after_the_other(client, Rc::clone(&queue), late_max));
            }
            party.each_due(arrivals, |number, arrival| queue.push(number, arrival)).await;
            queue.end();
        }
    }
    while tasks.join_next().await.is_some() {}
}

impl<V: Visitor> Party<V> {
    /// Calls `set_out` when each is due.
    async fn each_due(&self, arrivals: impl Iterator<Item = Arrival>, mut set_out: impl FnMut(u64, Arrival)) {
        let Ok(alarm) = Alarm::new() else { return };
        for (number, arrival) in (0_u64..).zip(arrivals) {
            if alarm.until(self.shared.started + arrival.due).await.is_err() || self.is_stopping() {
                return;
            }
            self.shared.issued.fetch_add(1, Ordering::Relaxed);
            set_out(number, arrival);
        }
    }

    async fn one_for_each(
        self: &Rc<Self>,
        arrivals: impl Iterator<Item = Arrival>,
        most: usize,
        tasks: &mut JoinSet<()>,
    ) {
        self.each_due(arrivals, |number, arrival| {
            while tasks.try_join_next().is_some() {}
            if tasks.len() >= most {
                let end = End::Failed(Fault::NotSent);
                return self.note(number, arrival, self.shared.started.elapsed(), end.into());
            }
            let party = Rc::clone(self);
            tasks.spawn_local(async move { _ = party.ask(0, number, arrival, &mut None).await });
        })
        .await;
    }

    async fn one_after_the_other(self: Rc<Self>, client: u32, queue: Rc<Queue>, late_max: Duration) {
        let mut kept = None;
        while let Some((number, arrival)) = queue.next().await {
            if self.is_stopping() {
                return;
            }
            if self.shared.started.elapsed() > arrival.due.saturating_add(late_max) {
                self.shared.skipped.fetch_add(1 + queue.forget(), Ordering::Relaxed);
                continue;
            }
            self.ask(client, number, arrival, &mut kept).await;
        }
    }

    async fn again_and_again(self: Rc<Self>, client: u32, first: Duration, pause: Duration, after_failure: Duration) {
        sleep(first).await;
        let mut kept = None;
        while !self.is_stopping() {
            let number = self.shared.issued.fetch_add(1, Ordering::Relaxed);
            let due = self.shared.started.elapsed();
            let served = self.ask(client, number, Arrival { due, kind: 0 }, &mut kept).await;
            let pause = if served { pause } else { pause.max(after_failure) };
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
    }

    /// Whether it was served.
    async fn ask(&self, client: u32, number: u64, arrival: Arrival, kept: &mut Option<TcpStream>) -> bool {
        let (set_out, turn) = (self.shared.started.elapsed(), Turn { number, client, kind: arrival.kind });
        let told = timeout(self.shared.patience, self.visitor.visit(turn, kept)).await.unwrap_or_else(|_| {
            *kept = None;
            End::Failed(Fault::TimedOut).into()
        });
        let served = told.end.is_served();
        self.note(number, arrival, set_out, told);
        served
    }

    fn note(&self, number: u64, arrival: Arrival, set_out: Duration, told: Told) {
        let Told { end, said, well } = told;
        let (at, Arrival { due, kind }) = (self.shared.started.elapsed(), arrival);
        let well = well.map_or(due, |well| well.saturating_duration_since(self.shared.started));
        let sent = Sent { number, kind, due, set_out, well, at, end, said };
        self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
    }

    fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::SeqCst)
    }
}
