//! A task that ends with whoever holds it. Decides nothing; held by whoever follows names. Never outlives that.

use tokio::task::AbortHandle;

/// Ended when it is dropped.
#[derive(Debug)]
pub(super) struct OwnedTask(AbortHandle);

impl OwnedTask {
    pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task).abort_handle())
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}
