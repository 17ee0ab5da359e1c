//! How much this process may hold open, and how soon something can be too late.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// Raises the soft limit of descriptors to the hard one; returns what was allowed before, if it is known, and what is now.
pub(super) fn raise_descriptors() -> (Option<u64>, u64) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return (None, 1_024) };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => (Some(soft), hard),
        Err(_) => (Some(soft), soft),
    }
}

/// How many client connections there may be: as many as the file says, and never more than the descriptors allow.
pub(super) fn connections_max(config: &Config, descriptors: u64) -> usize {
    let allowed = usize::try_from(descriptors.saturating_sub(RESERVED)).unwrap_or(usize::MAX).max(1);
    // With few, each may need an upstream connection besides its own; where there are many, most are idle.
    let default = if allowed < FEW { (allowed / 2).max(1) } else { allowed - allowed / 16 };
    config.connections_max.map_or(default, |wanted| wanted.min(allowed))
}

/// The shortest time limit a request may meet.
pub(super) fn shortest(config: &Config) -> Duration {
    let of_pools = config.pools.iter().flat_map(|pool| {
        let timeouts = &pool.timeouts;
        // Those who hold places are looked at oftener while others wait.
        let queue = pool.slots.as_ref().map(|slots| slots.queue_timeout / 4);
        [Some(timeouts.response), Some(timeouts.idle), timeouts.request, timeouts.tunnel_idle, queue]
            .into_iter()
            .flatten()
    });
    of_pools.min().unwrap_or(Duration::MAX)
}

/// Listeners, runtimes, logs, pipes of workers.
const RESERVED: u64 = 256;
/// Below it, half of the descriptors are for upstream connections; from it on, a sixteenth.
const FEW: usize = 4_096;
