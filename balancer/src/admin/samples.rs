//! Counters of the last seconds, and what follows from them: rates, times and failures of each pool and endpoint.
//!
//! Decides how long the last seconds are. Called by [`super::Instance`]. Never looks at a clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::observe::{EndpointKey, EndpointTotals, Metrics, Times, Totals};

/// All counters at one moment.
#[derive(Debug)]
pub(super) struct Sample {
    at: Instant,
    pools: BTreeMap<Option<Arc<str>>, Totals>,
    endpoints: BTreeMap<EndpointKey, EndpointTotals>,
}

/// Those of the last seconds, oldest first.
#[derive(Debug, Default)]
pub(super) struct Samples(VecDeque<Arc<Sample>>);

/// What happened between two moments.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// How long that was, in seconds.
    pub(super) seconds: f64,
    pools: BTreeMap<Option<Arc<str>>, PoolFigures>,
    endpoints: BTreeMap<EndpointKey, EndpointFigures>,
}

/// What a pool did.
#[derive(Debug, Default, Clone)]
pub(super) struct PoolFigures {
    /// Requests.
    pub(super) requests: u64,
    /// How long clients waited.
    pub(super) times: Times,
    /// Failures that are no client's fault, by reason.
    pub(super) errors: BTreeMap<&'static str, u64>,
    /// All requests since the start.
    pub(super) requests_ever: u64,
    /// The same failures since the start.
    pub(super) errors_ever: BTreeMap<&'static str, u64>,
}

/// What the endpoints of one name did.
#[derive(Debug, Default, Clone)]
pub(super) struct EndpointFigures {
    pub(super) recent: EndpointTotals,
    pub(super) ever: EndpointTotals,
}

impl Sample {
    pub(super) fn of(metrics: &Metrics, now: Instant) -> Arc<Self> {
        Arc::new(Self { at: now, pools: metrics.totals(), endpoints: metrics.endpoints() })
    }

    /// What has happened since `before`.
    pub(super) fn since(&self, before: &Self) -> Recent {
        let seconds = self.at.saturating_duration_since(before.at).as_secs_f64();
        let pools = self.pools.iter().map(|(pool, totals)| {
            let nothing = Totals::default();
            (pool.clone(), PoolFigures::between(before.pools.get(pool).unwrap_or(&nothing), totals))
        });
        let endpoints = self.endpoints.iter().map(|(key, ever)| {
            let recent = before.endpoints.get(key).map_or_else(|| ever.clone(), |before| ever.since(before));
            (key.clone(), EndpointFigures { recent, ever: ever.clone() })
        });
        Recent { seconds, pools: pools.collect(), endpoints: endpoints.collect() }
    }
}

impl Samples {
    /// One more.
    pub(super) fn add(&mut self, sample: Arc<Sample>) {
        self.0.push_back(sample);
        while self.0.len() > SAMPLES {
            self.0.pop_front();
        }
    }

    /// The oldest.
    pub(super) fn first(&self) -> Option<&Arc<Sample>> {
        self.0.front()
    }
}

impl Recent {
    /// What a pool did.
    pub(super) fn pool(&self, name: &Arc<str>) -> PoolFigures {
        self.pools.get(&Some(Arc::clone(name))).cloned().unwrap_or_default()
    }

    /// What the endpoints of a name did.
    pub(super) fn endpoint(&self, pool: &Arc<str>, name: &Arc<str>) -> EndpointFigures {
        self.endpoints.get(&(Arc::clone(pool), Arc::clone(name))).cloned().unwrap_or_default()
    }

    /// Every pool of which something was counted.
    pub(super) fn pools(&self) -> impl Iterator<Item = (&Arc<str>, &PoolFigures)> {
        self.pools.iter().filter_map(|(name, figures)| Some((name.as_ref()?, figures)))
    }

    /// Whether something was counted of a pool.
    pub(super) fn has_pool(&self, name: &Arc<str>) -> bool {
        self.pools.contains_key(&Some(Arc::clone(name)))
    }

    /// Whether something was counted of an endpoint.
    pub(super) fn has_endpoint(&self, key: &EndpointKey) -> bool {
        self.endpoints.contains_key(key)
    }

    /// Every endpoint of which something was counted.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = (&EndpointKey, &EndpointFigures)> {
        self.endpoints.iter()
    }

    /// So many in that time, a second. One request right after the start is no thousand a second.
    pub(super) fn per_second(&self, count: u64) -> f64 {
        (count as f64 / self.seconds.max(1.0) * 10.0).round() / 10.0
    }
}

impl PoolFigures {
    fn between(before: &Totals, now: &Totals) -> Self {
        let (requests_ever, errors_ever) = (now.requests(), now.errors());
        let (requests_before, errors_before) = (before.requests(), before.errors());
        // A pool that was away has begun anew.
        let (requests_before, errors_before) = match requests_ever < requests_before {
            true => (0, BTreeMap::new()),
            false => (requests_before, errors_before),
        };
        let since = |(reason, count): (&&'static str, &u64)| {
            let more = count.saturating_sub(errors_before.get(reason).copied().unwrap_or_default());
            (more > 0).then_some((*reason, more))
        };
        Self {
            requests: requests_ever - requests_before,
            times: now.request.since(&before.request),
            errors: errors_ever.iter().filter_map(since).collect(),
            requests_ever,
            errors_ever,
        }
    }

    /// All failures.
    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Between the first and the last of them are ten seconds.
const SAMPLES: usize = 11;
/// What the oldest of them is old, in seconds, when they are all there.
pub(super) const WINDOW_SECONDS: u64 = SAMPLES as u64 - 1;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::observe::Word;

    fn sample(at: Instant, requests: u64, failed: u64) -> Arc<Sample> {
        let mut totals = Totals::default();
        totals.answers.insert(("GET", 200), requests);
        totals.words.insert((Word::Rejected, "closed_early"), failed);
        totals.words.insert((Word::Rejected, "client_gone"), 9);
        Arc::new(Sample { at, pools: BTreeMap::from([(Some("app".into()), totals)]), endpoints: BTreeMap::new() })
    }

    #[test]
    fn rates_and_failures_are_those_of_the_last_ten_seconds() {
        let (mut samples, begun) = (Samples::default(), Instant::now());
        for second in 0..30 {
            samples.add(sample(begun + Duration::from_secs(second), 100 + second * 5, second));
        }
        let recent = sample(begun + Duration::from_secs(29), 245, 29).since(samples.first().unwrap());
        assert_eq!(recent.seconds, WINDOW_SECONDS as f64);
        let app = recent.pool(&"app".into());
        assert_eq!((app.requests, recent.per_second(app.requests), app.failed()), (50, 5.0, 10));
        assert_eq!((app.requests_ever, app.errors_ever), (245, BTreeMap::from([("closed_early", 29)])));
        let anew = sample(begun + Duration::from_secs(29), 3, 1).since(samples.first().unwrap());
        assert_eq!((anew.pool(&"app".into()).requests, anew.pool(&"app".into()).failed()), (3, 1));
        assert_eq!(anew.pool(&"web".into()).requests, 0);
    }
}
