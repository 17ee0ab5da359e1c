//! How many connections there are to an endpoint.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Endpoint;

/// One connection to an endpoint that is counted there until this is dropped, whoever has it: a request, a tunnel, a thread's
/// idle ones or a slot.
#[derive(Debug)]
pub struct Connected(Arc<Endpoint>);

impl Connected {
    /// Counts one more.
    pub fn to(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(endpoint))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
