//! Those that have connected and have not shown that they may ask. Decides who has to go when there are too many: whoever is there
//! the longest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// Dropping the sender tells its stranger to go.
    those: VecDeque<(u64, oneshot::Sender<()>)>,
}

/// One of them; no stranger any more when dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    number: u64,
    stays: oneshot::Receiver<()>,
    among: Arc<Strangers>,
}

impl Strangers {
    /// One more, and the oldest has to go where there is no room for both.
    pub(super) fn enter(self: &Arc<Self>) -> Stranger {
        let (sender, stays) = oneshot::channel();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.next;
        waiting.next += 1;
        waiting.those.push_back((number, sender));
        if waiting.those.len() > STRANGERS_MAX {
            waiting.those.pop_front();
        }
        Stranger { number, stays, among: Arc::clone(self) }
    }
}

impl Stranger {
    /// Returns when its time is over, or its room is needed.
    pub(super) async fn has_to_go(&mut self) {
        tokio::select! {
            _ = &mut self.stays => {}
            () = tokio::time::sleep(PATIENCE) => {}
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut waiting = self.among.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.those.retain(|(number, _)| *number != self.number);
    }
}

const STRANGERS_MAX: usize = 64;
/// To send a request that shows who it is, from the moment it has connected.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_makes_room_and_nobody_stays_longer_than_a_second() {
        let strangers = Arc::<Strangers>::default();
        let mut first = strangers.enter();
        let left = strangers.enter();
        drop(left);
        let others: Vec<Stranger> = (1..STRANGERS_MAX).map(|_| strangers.enter()).collect();
        let begun = tokio::time::Instant::now();
        let mut one_more = strangers.enter();
        first.has_to_go().await;
        assert!(begun.elapsed().is_zero(), "the first has to go at once");
        one_more.has_to_go().await;
        assert_eq!(begun.elapsed(), PATIENCE);
        drop((first, one_more, others));
        assert!(strangers.0.lock().unwrap().those.is_empty());
    }
}
