//! The way down: one signal for all, with a deadline.
//!
//! Decides nothing; carries how far the stop has gone from `app` to every thread and connection. Called by `listen`, which
//! lets requests finish, and by `app`, which sets the pace. Never waits itself.

use tokio::sync::watch;

/// How far the stop has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Requests are accepted.
    Serving,
    /// No new connections; requests in flight finish.
    Draining,
    /// Whatever is left is cut.
    Stopped,
}

/// Sets the stage.
#[derive(Debug)]
pub struct Drain(watch::Sender<Stage>);

/// Follows the stage.
#[derive(Debug, Clone)]
pub struct Draining(watch::Receiver<Stage>);

/// A signal and its follower.
pub fn drain() -> (Drain, Draining) {
    let (sender, receiver) = watch::channel(Stage::Serving);
    (Drain(sender), Draining(receiver))
}

impl Drain {
    /// Goes on to `stage`; never back.
    pub fn advance(&self, stage: Stage) {
        self.0.send_if_modified(|now| {
            let further = stage > *now;
            *now = stage.max(*now);
            further
        });
    }
}

impl Draining {
    /// Where the stop is.
    pub fn stage(&self) -> Stage {
        *self.0.borrow()
    }

    /// Returns once the stop has gone at least as far as `stage`, or nobody is left to advance it.
    pub async fn reached(&mut self, stage: Stage) {
        // An error means that the sender is gone, which is the end as well.
        let _ = self.0.wait_for(|now| *now >= stage).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stage_reached_is_never_left() {
        let (drain, mut draining) = drain();
        assert_eq!(draining.stage(), Stage::Serving);
        drain.advance(Stage::Stopped);
        drain.advance(Stage::Draining);
        draining.reached(Stage::Draining).await;
        assert_eq!(draining.stage(), Stage::Stopped);
    }
}
