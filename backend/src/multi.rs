//! Event loops on all cores, each a thread of its own.
//!
//! Decides how many. Called by `serve`. Connections go to whichever loop is the first to accept them, and stay there.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, watch};

use crate::event_loop::event_loop;
use crate::source::Source;
use crate::worker::Worker;

/// Loops at work.
pub(crate) struct Loops {
    stop: watch::Sender<bool>,
    ended: mpsc::Receiver<()>,
}

impl Loops {
    /// # Errors
    /// The system refuses a thread.
    pub(crate) fn start(worker: &Arc<Worker>, source: Arc<Source>) -> io::Result<Loops> {
        let (stop, stopping) = watch::channel(false);
        let (alive, ended) = mpsc::channel(1);
        for number in 1..=worker.options.threads() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (worker, source, stopping, alive) = (worker.clone(), source.clone(), stopping.clone(), alive.clone());
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                // A loop that cannot begin leaves its share to the others.
                let _ = runtime.block_on(event_loop(worker, source, stopping));
                drop(alive);
            })?;
        }
        Ok(Loops { stop, ended })
    }

    /// Comes back when the last request is answered.
    pub(crate) async fn drain(mut self) {
        let _ = self.stop.send(true);
        // Every thread holds a sender; the last one to end ends this.
        let _ = self.ended.recv().await;
    }
}
