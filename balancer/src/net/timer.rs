//! Waiting for a time on threads whose runtime has no clock.
//!
//! A runtime with a clock looks at the clock and at its list of waits each time it goes to sleep and wakes: a thousand
//! instructions a request, for waits that few requests have. So the runtimes of the proxy threads have none. One thread, `timer`,
//! keeps the waits of all of them.

use std::cell::OnceCell;
use std::io;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
pub use tokio::time::Sleep;
use tokio::time::Timeout;

/// The thread that keeps the waits of others, for as long as the process lives.
#[derive(Debug, Clone)]
pub struct Timer(Handle);

impl Timer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread or no runtime for it.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let handle = runtime.handle().clone();
        let body = move || runtime.block_on(std::future::pending::<()>());
        thread::Builder::new().name("timer".to_owned()).spawn(body)?;
        Ok(Self(handle))
    }

    /// Keeps the waits of the calling thread from now on.
    pub fn serve_this_thread(self) {
        TIMER.with(|timer| {
            // One is enough: whichever it is, it keeps time.
            timer.get_or_init(|| self.0);
        });
    }
}

/// Waits for so long.
pub fn sleep(time: Duration) -> Sleep {
    with_timer(|| tokio::time::sleep(time))
}

/// The future's outcome, if it comes within `limit`.
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    with_timer(|| tokio::time::timeout(limit, future))
}

/// A wait belongs to the runtime in which it begins: the timer's, or on threads that have a clock their own.
fn with_timer<T>(begin: impl FnOnce() -> T) -> T {
    TIMER.with(|timer| {
        let _within = timer.get().map(Handle::enter);
        begin()
    })
}

thread_local! {
    static TIMER: OnceCell<Handle> = const { OnceCell::new() };
}

#[cfg(test)]
mod tests {
    use tokio::runtime::LocalOptions;

    use super::*;

    #[test]
    fn a_runtime_without_a_clock_can_wait() {
        Timer::start().unwrap().serve_this_thread();
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).unwrap();
        let waited = runtime.block_on(async {
            sleep(Duration::from_millis(1)).await;
            timeout(Duration::from_millis(1), std::future::pending::<()>()).await
        });
        assert!(waited.is_err());
        assert_eq!(runtime.block_on(timeout(Duration::from_secs(60), async { 1 })), Ok(1));
    }
}
