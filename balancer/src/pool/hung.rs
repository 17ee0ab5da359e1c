//! Requests that made their workers count as hung, by client and kind.
//!
//! Decides when a request is the reason and not the worker: then the worker stays. Called by the pool for each answer that came too late.
//! Never judges a worker.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::deadly::Asked;
use super::queue::forecast::Kind;
use crate::net::Client;

/// Those of the last minute, of which there are few.
#[derive(Debug, Default)]
pub(super) struct Hung(Mutex<Vec<(Client, Kind, Instant)>>);

impl Hung {
    /// Counts one; whether its worker is to be replaced for it. Of clients without an address nobody knows how many they are: theirs always
    /// count.
    pub(super) fn count(&self, asked: &Asked<'_>, now: Instant) -> bool {
        let Some(client) = asked.client else { return true };
        let kind = Kind::of(asked.method, asked.path);
        let mut hung = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hung.retain(|(_, _, at)| now.saturating_duration_since(*at) < COUNTED_FOR);
        let same = hung.iter().filter(|(who, what, _)| (*who, *what) == (client, kind)).count();
        if same >= HANGS_MAX {
            return false;
        }
        if same + 1 == HANGS_MAX {
            tracing::warn!(
                "{} {} of client {client} was answered too late {HANGS_MAX} times within a minute, and each time its worker was \
                 replaced: for a minute the like of it gets 504 and replaces no worker",
                asked.method,
                asked.path
            );
        }
        if hung.len() >= HUNG_MAX {
            hung.remove(0);
        }
        hung.push((client, kind, now));
        true
    }
}

/// Workers that one client's requests of a kind replace within a minute.
const HANGS_MAX: usize = 3;
const COUNTED_FOR: Duration = Duration::from_secs(60);
/// Far more than workers that are started again in a minute.
const HUNG_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn one_client_replaces_three_workers_a_minute_with_requests_of_a_kind() {
        let (hung, now) = (Hung::default(), Instant::now());
        let asked = |path: &'static str, last: u8| Asked {
            method: &Method::GET,
            path,
            client: (last > 0).then(|| Client::of([192, 0, 2, last].into())),
        };
        assert_eq!([(); 5].map(|()| hung.count(&asked("/slow", 1), now)), [true, true, true, false, false]);
        assert!(hung.count(&asked("/slow", 2), now) && hung.count(&asked("/other", 1), now));
        assert_eq!([(); 5].map(|()| hung.count(&asked("/slow", 0), now)), [true; 5]);
        assert!(hung.count(&asked("/slow", 1), now + COUNTED_FOR));
    }
}
