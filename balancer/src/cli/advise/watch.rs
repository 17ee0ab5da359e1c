//! What was seen of each pool while it was watched.
//!
//! Decides which figures follow from two states and the looks between them. Called by [`super`]. Pure: states are handed in.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::law::stay;

/// A pool over some seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct WatchedPool {
    pub(super) name: String,
    pub(super) seconds: f64,
    /// Requests a second that got a place.
    pub(super) rate: f64,
    /// Seconds that one takes at its endpoint.
    pub(super) service: Option<f64>,
    /// Requests at endpoints, and in the queue, on average.
    pub(super) busy: f64,
    pub(super) queued: f64,
    /// Requests that got no place, and are in no other figure.
    pub(super) refused: u64,
    /// Places in all; `None` without slots.
    pub(super) slots: Option<u64>,
    /// Endpoints that take requests.
    pub(super) up: usize,
    /// Whether processes of ours serve it.
    pub(super) has_workers: bool,
    /// CPUs that its workers have used, and bytes that the largest has.
    pub(super) cpus: f64,
    pub(super) largest: u64,
    pub(super) endpoints: Vec<WatchedEndpoint>,
}

/// An endpoint over some seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct WatchedEndpoint {
    pub(super) name: String,
    pub(super) rate: f64,
    pub(super) service: Option<f64>,
    pub(super) requests: u64,
}

/// Sums over all looks.
#[derive(Debug, Default)]
pub(super) struct Watch {
    begun: BTreeMap<String, Seen>,
    pools: BTreeMap<String, Sums>,
    elapsed: Duration,
}

/// What one look says of a pool.
#[derive(Debug, Default, Clone)]
struct Seen {
    slots: Option<u64>,
    queued: f64,
    /// Ever.
    refused: u64,
    has_workers: bool,
    cpu_seconds: BTreeMap<u64, f64>,
    largest: u64,
    /// By name: requests in flight, those it was ever given, and whether it takes some.
    endpoints: BTreeMap<String, (f64, u64, bool)>,
}

#[derive(Debug, Default)]
struct Sums {
    looks: f64,
    queued: f64,
    in_flight: BTreeMap<String, f64>,
    last: Seen,
}

impl Watch {
    /// From that state on.
    pub(super) fn begin(status: &Value) -> Self {
        Self { begun: seen(status), ..Self::default() }
    }

    /// The state so long after the begin.
    pub(super) fn look(&mut self, status: &Value, elapsed: Duration) {
        self.elapsed = elapsed;
        for (name, now) in seen(status) {
            let sums = self.pools.entry(name).or_default();
            sums.looks += 1.0;
            sums.queued += now.queued;
            for (endpoint, (in_flight, ..)) in &now.endpoints {
                *sums.in_flight.entry(endpoint.clone()).or_default() += in_flight;
            }
            sums.last = now;
        }
    }

    /// What follows, by pool; those that were there all the time.
    pub(super) fn pools(&self) -> Vec<WatchedPool> {
        let seconds = self.elapsed.as_secs_f64().max(0.001);
        let known = self.pools.iter().filter_map(|(name, sums)| Some((name, sums, self.begun.get(name)?)));
        known.map(|(name, sums, before)| pool(name, sums, before, seconds)).collect()
    }
}

fn pool(name: &str, sums: &Sums, before: &Seen, seconds: f64) -> WatchedPool {
    let (last, looks) = (&sums.last, sums.looks.max(1.0));
    let endpoints: Vec<WatchedEndpoint> = last
        .endpoints
        .iter()
        .map(|(endpoint, (_, given, _))| {
            // One that has come meanwhile begins at nothing, and so does one that has been replaced.
            let earlier = before.endpoints.get(endpoint).map_or(0, |(_, given, _)| *given);
            let requests = given.checked_sub(earlier).unwrap_or(*given);
            let (rate, mean) =
                (requests as f64 / seconds, sums.in_flight.get(endpoint).copied().unwrap_or_default() / looks);
            WatchedEndpoint { name: endpoint.clone(), rate, service: stay(mean, rate), requests }
        })
        .collect();
    let busy: f64 =
        last.endpoints.keys().map(|name| sums.in_flight.get(name).copied().unwrap_or_default() / looks).sum();
    let rate: f64 = endpoints.iter().map(|endpoint| endpoint.rate).sum();
    let used = last.cpu_seconds.iter().map(|(pid, now)| now - before.cpu_seconds.get(pid).copied().unwrap_or_default());
    WatchedPool {
        name: name.to_owned(),
        seconds,
        rate,
        service: stay(busy, rate),
        busy,
        queued: sums.queued / looks,
        refused: last.refused.saturating_sub(before.refused),
        slots: last.slots,
        up: last.endpoints.values().filter(|(.., up)| *up).count(),
        has_workers: last.has_workers,
        cpus: used.map(|used| used.max(0.0)).sum::<f64>() / seconds,
        largest: last.largest,
        endpoints,
    }
}

fn seen(status: &Value) -> BTreeMap<String, Seen> {
    let pools = status["pools"].as_array().into_iter().flatten();
    pools.filter_map(|pool| Some((pool["name"].as_str()?.to_owned(), of_pool(pool)))).collect()
}

fn of_pool(pool: &Value) -> Seen {
    let each = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut seen = Seen {
        slots: pool["queue"]["slots"].as_u64(),
        queued: pool["queue"]["length"].as_f64().unwrap_or_default(),
        refused: REFUSED.iter().filter_map(|reason| pool["errors_by_reason"][reason].as_u64()).sum(),
        has_workers: !pool["workers"].is_null(),
        ..Seen::default()
    };
    for worker in each(&pool["workers"]["all"]) {
        if let (Some(pid), Some(seconds)) = (worker["pid"].as_u64(), worker["cpu_seconds"].as_f64()) {
            seen.cpu_seconds.insert(pid, seconds);
        }
        seen.largest = seen.largest.max(worker["rss_bytes"].as_u64().unwrap_or_default());
    }
    for endpoint in each(&pool["endpoints"]) {
        let Some(name) = endpoint["name"].as_str() else { continue };
        // A worker and its replacement have one name for a moment, and are counted together.
        let entry = seen.endpoints.entry(name.to_owned()).or_default();
        entry.0 += endpoint["in_flight"].as_f64().unwrap_or_default();
        entry.1 = entry.1.max(endpoint["requests"].as_u64().unwrap_or_default());
        entry.2 |= endpoint["state"] == "up";
    }
    seen
}

/// Reasons of those that get no place.
const REFUSED: [&str; 3] = ["queue_full", "queue_timeout", "shed"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(in_flight: [u64; 2], requests: [u64; 2], queued: u64, cpu: f64) -> Value {
        let endpoint = |index: usize| json!({ "name": format!("app.{}", index + 1), "in_flight": in_flight[index], "requests": requests[index], "state": "up" });
        json!({ "pools": [{
            "name": "app",
            "queue": { "slots": 2, "length": queued },
            "endpoints": [endpoint(0), endpoint(1)],
            "workers": { "all": [{ "pid": 7, "cpu_seconds": cpu, "rss_bytes": 1_000 }, { "pid": null, "cpu_seconds": 0 }] },
        }] })
    }

    #[test]
    fn a_stay_is_what_is_there_over_what_comes() {
        let mut watch = Watch::begin(&status([0, 0], [100, 100], 0, 5.0));
        watch.look(&status([1, 1], [105, 101], 2, 6.0), Duration::from_secs(5));
        watch.look(&status([0, 1], [110, 102], 4, 7.0), Duration::from_secs(10));
        let pools = watch.pools();
        let [pool] = &pools[..] else { panic!("{pools:?}") };
        assert_eq!(
            (pool.rate, pool.busy, pool.queued, pool.slots, pool.up, pool.largest),
            (1.2, 1.5, 3.0, Some(2), 2, 1_000)
        );
        assert_eq!((pool.cpus, pool.service), (0.2, Some(1.25)));
        let stays: Vec<_> = pool.endpoints.iter().map(|one| (one.requests, one.service)).collect();
        // Half a request is there and one a second comes; one is there and one in five seconds comes.
        assert_eq!(stays, [(10, Some(0.5)), (2, Some(5.0))]);
    }

    #[test]
    fn requests_that_were_refused_meanwhile_are_counted() {
        let refused = |full: u64, shed: u64| {
            let mut status = status([0, 0], [100, 100], 0, 5.0);
            status["pools"][0]["errors_by_reason"] = json!({ "queue_full": full, "shed": shed, "closed_early": 99 });
            status
        };
        let mut watch = Watch::begin(&refused(7, 0));
        watch.look(&refused(27, 3), Duration::from_secs(1));
        assert_eq!(watch.pools()[0].refused, 23);
    }

    #[test]
    fn an_endpoint_that_began_anew_and_a_status_of_something_else_are_no_matter() {
        let mut watch = Watch::begin(&status([0, 0], [100, 100], 0, 5.0));
        watch.look(&status([0, 0], [3, 102], 0, 5.0), Duration::from_secs(1));
        assert_eq!(watch.pools()[0].endpoints[0].requests, 3);
        let mut odd = Watch::begin(&json!([1]));
        odd.look(&json!({ "pools": [{ "name": 7 }, { "name": "b", "endpoints": 3 }] }), Duration::ZERO);
        assert!(odd.pools().is_empty());
    }
}
