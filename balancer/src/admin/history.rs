//! What each pool and endpoint did in each five seconds of the last quarter of an hour, for the charts of the page.
//!
//! Decides how much is kept: so many points, whatever happens. Called by [`super::Instance`] with each sample. Never looks at a clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::samples::{Recent, Sample};
use crate::observe::{EndpointKey, Times};

/// The last points.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The sample at which the last point ended, and how many have come since.
    last: Option<(Arc<Sample>, u32)>,
    /// How many points there ever were.
    number: u64,
    pools: BTreeMap<Arc<str>, VecDeque<PoolPoint>>,
    endpoints: BTreeMap<EndpointKey, VecDeque<EndpointPoint>>,
}

/// Five seconds of a pool.
#[derive(Debug, Clone, Copy, Default)]
struct PoolPoint {
    per_second: f32,
    errors: f32,
    /// p50, p95, p99 in milliseconds; below nought where there was nothing.
    millis: [f32; 3],
    queue: u32,
}

/// Five seconds of an endpoint.
#[derive(Debug, Clone, Copy, Default)]
struct EndpointPoint {
    per_second: f32,
    errors: f32,
}

impl History {
    /// Another sample; each fifth ends a point. `queued` says how many wait in a pool.
    pub(super) fn add(&mut self, sample: &Arc<Sample>, queued: impl Fn(&str) -> usize) {
        let Some((last, count)) = &mut self.last else {
            self.last = Some((Arc::clone(sample), 0));
            return;
        };
        *count += 1;
        if *count < SAMPLES_A_POINT {
            return;
        }
        let recent = sample.since(last);
        self.last = Some((Arc::clone(sample), 0));
        self.number += 1;
        self.add_pools(&recent, queued);
        self.add_endpoints(&recent);
    }

    fn add_pools(&mut self, recent: &Recent, queued: impl Fn(&str) -> usize) {
        self.pools.retain(|name, _| recent.has_pool(name));
        for (name, figures) in recent.pools() {
            let point = PoolPoint {
                per_second: recent.per_second(figures.requests) as f32,
                errors: recent.per_second(figures.failed()) as f32,
                millis: millis(&figures.times),
                queue: u32::try_from(queued(name)).unwrap_or(u32::MAX),
            };
            push(self.pools.entry(Arc::clone(name)).or_default(), point, POINTS);
        }
    }

    fn add_endpoints(&mut self, recent: &Recent) {
        self.endpoints.retain(|key, _| recent.has_endpoint(key));
        for (key, figures) in recent.endpoints() {
            let point = EndpointPoint {
                per_second: recent.per_second(figures.recent.requests) as f32,
                errors: recent.per_second(figures.recent.failed()) as f32,
            };
            push(self.endpoints.entry(key.clone()).or_default(), point, POINTS_OF_ENDPOINTS);
        }
    }

    /// How many points there ever were.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The last of them, so many at most: columns, oldest first.
    pub(super) fn json(&self, points: u64) -> Value {
        let points = usize::try_from(points).unwrap_or(usize::MAX);
        let pools = self.pools.iter().map(|(name, all)| {
            let of = |of: fn(&PoolPoint) -> Value| last(all, points).map(of).collect::<Vec<_>>();
            let pool = json!({
                "per_second": of(|one| number(one.per_second)),
                "errors_per_second": of(|one| number(one.errors)),
                "millis_p50": of(|one| number(one.millis[0])),
                "millis_p95": of(|one| number(one.millis[1])),
                "millis_p99": of(|one| number(one.millis[2])),
                "queue": of(|one| json!(one.queue)),
                "endpoints": self.of_endpoints(name, points),
            });
            (name.to_string(), pool)
        });
        let pools: Map<String, Value> = pools.collect();
        json!({ "number": self.number, "step_seconds": SAMPLES_A_POINT, "points_max": POINTS, "pools": pools })
    }

    fn of_endpoints(&self, pool: &Arc<str>, points: usize) -> Map<String, Value> {
        let own = self.endpoints.iter().filter(|((of, _), _)| of == pool);
        own.map(|((_, name), all)| {
            let of = |of: fn(&EndpointPoint) -> Value| last(all, points).map(of).collect::<Vec<_>>();
            let (rate, errors) = (of(|one| number(one.per_second)), of(|one| number(one.errors)));
            (name.to_string(), json!({ "per_second": rate, "errors_per_second": errors }))
        })
        .collect()
    }
}

fn push<T>(points: &mut VecDeque<T>, point: T, max: usize) {
    points.push_back(point);
    while points.len() > max {
        points.pop_front();
    }
}

fn last<T>(all: &VecDeque<T>, points: usize) -> impl Iterator<Item = &T> {
    all.iter().skip(all.len().saturating_sub(points))
}

fn millis(times: &Times) -> [f32; 3] {
    [0.5, 0.95, 0.99].map(|share| times.quantile(share).map_or(NOTHING, |seconds| (seconds * 1_000.0) as f32))
}

/// A figure of a chart; `null` where there was nothing.
fn number(figure: f32) -> Value {
    if figure < 0.0 { Value::Null } else { json!((f64::from(figure) * 10.0).round() / 10.0) }
}

/// Samples come once a second.
const SAMPLES_A_POINT: u32 = 5;
/// A quarter of an hour.
const POINTS: usize = 180;
/// Five minutes: what a line beside a name shows.
const POINTS_OF_ENDPOINTS: usize = 60;
const NOTHING: f32 = -1.0;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::observe::Metrics;

    #[test]
    fn no_more_is_kept_than_a_quarter_of_an_hour() {
        let (mut history, metrics, begun) = (History::default(), Metrics::default(), Instant::now());
        for second in 0..2_000 {
            history.add(&Sample::of(&metrics, begun + Duration::from_secs(second)), |_| 0);
        }
        assert_eq!(history.number(), 399);
        assert!(history.json(7)["pools"].as_object().unwrap().is_empty());
        let mut points = VecDeque::new();
        (0..500).for_each(|number| push(&mut points, number, POINTS));
        assert_eq!((points.len(), points[0]), (POINTS, 320));
        assert_eq!(last(&points, 2).copied().collect::<Vec<_>>(), [498, 499]);
        assert_eq!((number(NOTHING), number(2.54)), (Value::Null, json!(2.5)));
    }
}
