//! A thread that removes what workers left, for what takes long. Decides nothing but the order; called by `socket`. Never keeps a start
//! waiting, and a stop for a moment only.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::removal::{Bound, remove};

/// A thread that removes folders one after another, started when there is one that it takes.
#[derive(Debug, Default)]
pub(super) struct Remover(OnceLock<Thread>);

#[derive(Debug)]
struct Thread {
    queue: SyncSender<RemovalOrder>,
    ended: Mutex<Receiver<()>>,
}

#[derive(Debug)]
enum RemovalOrder {
    Remove(PathBuf),
    Finish,
}

impl Remover {
    /// Removes a folder, later.
    pub(in crate::supervise) fn remove(&self, folder: PathBuf) {
        let thread = self.0.get_or_init(Thread::start);
        if thread.queue.try_send(RemovalOrder::Remove(folder)).is_err() {
            tracing::warn!("too many folders of workers are to be removed: one more is left until the balancer ends");
        }
    }

    /// Removes a folder now, behind all others, for as long as it may take at the end.
    pub(in crate::supervise) fn finish(&mut self, folder: PathBuf) {
        let Thread { queue, ended } = self.0.take().unwrap_or_else(Thread::start);
        let shown = folder.display().to_string();
        // Full: then it is left, as is said below.
        let _ = queue.try_send(RemovalOrder::Remove(folder)).and_then(|()| queue.try_send(RemovalOrder::Finish));
        let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("{shown} holds too much to be removed now: it is left, and the next start goes on");
        }
    }
}

impl Thread {
    fn start() -> Self {
        let (queue, orders) = sync_channel(QUEUE_MAX);
        let (end, ended) = sync_channel(1);
        let body = move || {
            while let Ok(RemovalOrder::Remove(folder)) = orders.recv() {
                if let Err(left) = remove(&folder, &mut Bound::new()) {
                    tracing::warn!("{} is left, with what a worker made there: {left}", folder.display());
                }
            }
            // Nobody listens when the process ended without waiting.
            let _ = end.send(());
        };
        if let Err(error) = std::thread::Builder::new().name("remover".into()).spawn(body) {
            tracing::warn!(%error, "no thread that removes what workers left: it stays until the next start");
        }
        Self { queue, ended: Mutex::new(ended) }
    }
}

/// What a stop waits for it; service managers wait ten times as long.
const PATIENCE: Duration = Duration::from_secs(3);
/// Folders that wait; a worker that leaves something is not started more often than a few times a second.
const QUEUE_MAX: usize = 1_024;
