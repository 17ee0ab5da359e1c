//! How much this process may hold open, and how soon something can be too late.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// Raises the soft limit of descriptors to the hard one; returns what is allowed now.
pub(super) fn raise_descriptors() -> u64 {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1_024, 1_024));
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

/// Client connections that so many descriptors allow: each may need an upstream connection besides its own.
pub(super) fn connections_max(descriptors: u64) -> usize {
    usize::try_from(descriptors.saturating_sub(RESERVED) / 2).unwrap_or(usize::MAX).max(1)
}

/// Client connections there may be: what is configured, if descriptors allow it.
pub(super) fn allowed(config: &Config, connections_allowed: usize) -> usize {
    config.connections_max.map_or(connections_allowed, |wanted| wanted.min(connections_allowed))
}

/// The shortest time limit a request may meet.
pub(super) fn shortest(config: &Config) -> Duration {
    let of_pools = config.pools.iter().flat_map(|pool| {
        let timeouts = &pool.timeouts;
        let queue = pool.slots.as_ref().map(|slots| slots.queue_timeout);
        [Some(timeouts.response), Some(timeouts.idle), timeouts.request, queue].into_iter().flatten()
    });
    of_pools.min().unwrap_or(Duration::MAX)
}

/// Listeners, runtimes, logs, pipes of workers.
const RESERVED: u64 = 256;
