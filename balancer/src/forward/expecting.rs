//! A place in a pool without slots where nobody takes requests at the moment, after a wait for the first who does.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::attempt::wait_without_reading;
use super::error::Fault;
use super::exchange::Exchange;
use super::waits::Wait;
use crate::endpoint::InFlight;
use crate::pool::Pool;

/// What `claim` gives, asked again whenever the pool has changed.
///
/// # Errors
/// [`Fault::NoEndpoint`] where the pool does not wait, too many do already, or the time for it is over.
pub(super) async fn place(
    pool: &Arc<Pool>,
    exchange: &mut Exchange<'_>,
    claim: impl Fn() -> Option<InFlight>,
) -> Result<InFlight, Fault> {
    let since = exchange.waits.now();
    let expecting = pool.expect(exchange.one_client(), since).ok_or(Fault::NoEndpoint)?;
    exchange.waits.wait(Wait::Place, expecting.until());
    let place = loop {
        let mut came = pin!(expecting.came());
        // Whoever comes from here on is noticed.
        came.as_mut().enable();
        if let Some(place) = claim() {
            break Ok(place);
        }
        let waited = poll_fn(|cx| match came.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => wait_without_reading(cx, exchange).map(Err),
        });
        if let Err(fault) = waited.await {
            break Err(fault);
        }
    };
    exchange.waits.over();
    exchange.record.queued(since.elapsed());
    place
}
