//! Waiting for what another tells.

use std::pin::pin;

use tokio::sync::Notify;

/// Waits until `found` finds something, asked again whenever `told` has been notified of a change.
pub async fn until<T>(told: &Notify, mut found: impl FnMut() -> Option<T>) -> T {
    loop {
        let mut notified = pin!(told.notified());
        // Registered before the question, so that a change in between is not missed.
        notified.as_mut().enable();
        if let Some(found) = found() {
            return found;
        }
        notified.await;
    }
}
