//! The way down: stop accepting, let requests finish, then the workers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::signals::Signals;
use super::start::notify;
use crate::admin::Instance;
use crate::drain::{Drain, Stage};
use crate::shown;
use crate::supervise::{Stop, Supervisor};

/// Ends rolls at once, while requests may finish still.
pub(super) async fn wind_up(instance: &Instance) {
    for supervisor in instance.served.load().pools.iter().filter_map(|served| served.supervisor.as_ref()) {
        supervisor.wind_up().await;
    }
}

/// Stops everything, within `drain_timeout` for the requests and `stop_timeout` for the workers; at once when a signal
/// or a command says so a second time, or `now`.
pub(super) async fn everything(
    drain_timeout: Duration,
    drain: &Drain,
    threads: &mut UnboundedReceiver<io::Result<()>>,
    supervisors: &[Arc<Supervisor>],
    signals: &mut Signals,
    now: bool,
) {
    notify(NotifyState::Stopping);
    drain.advance(Stage::Draining);
    let forced = now
        || tokio::select! {
            () = all_ended(threads) => false,
            () = tokio::time::sleep(drain_timeout) => {
                tracing::warn!("requests still in flight after {} are cut", shown::time(drain_timeout));
                false
            }
            () = signals.stop() => {
                tracing::warn!("asked to stop a second time: requests in flight are cut");
                true
            }
        };
    drain.advance(Stage::Stopped);
    all_ended(threads).await;
    if !forced {
        // Nothing is in flight any more.
        tokio::select! {
            () = stop_workers(supervisors, Stop::Drain { until: Instant::now() }) => return,
            () = signals.stop() => tracing::warn!("asked to stop a second time: workers are killed"),
        }
    }
    stop_workers(supervisors, Stop::Now).await;
}

/// Returns when every proxy thread has ended.
async fn all_ended(threads: &mut UnboundedReceiver<io::Result<()>>) {
    while let Some(end) = threads.recv().await {
        if let Err(error) = end {
            tracing::error!(%error, "a proxy thread failed");
        }
    }
}

/// All pools at once.
async fn stop_workers(supervisors: &[Arc<Supervisor>], stop: Stop) {
    let mut stopping: Vec<_> = supervisors.iter().map(|supervisor| Box::pin(supervisor.stop(stop))).collect();
    std::future::poll_fn(|cx| {
        stopping.retain_mut(|supervisor| supervisor.as_mut().poll(cx).is_pending());
        if stopping.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
