//! What the figures of a pool advise, in sentences with what to type.
//!
//! Decides from when on something is worth a sentence. Called by [`super`]. Pure.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::law::{servers_for, wait_p95};
use super::watch::{Endpoint, Pool};
use crate::shown;

/// For people.
pub(super) fn text(pools: &[Pool], wish: Duration) -> String {
    let mut out = String::new();
    for pool in pools {
        // Writing to memory does not fail, here and below.
        let _ = writeln!(out, "pool {}: {}", pool.name, figures(pool));
        for one in advice(pool, wish) {
            let _ = writeln!(out, "  {}", one.why);
            one.type_this.iter().for_each(|text| _ = writeln!(out, "    type: {text}"));
        }
    }
    out
}

/// For machines.
pub(super) fn json(pools: &[Pool], wish: Duration) -> Value {
    let one = |pool: &Pool| {
        let advice: Vec<Value> =
            advice(pool, wish).iter().map(|one| json!({ "why": one.why, "type": one.type_this })).collect();
        let needed = pool.service.and_then(|service| servers_for(pool.rate, service, wish));
        json!({
            "name": pool.name, "seconds": pool.seconds, "per_second": pool.rate, "service_seconds": pool.service,
            "busy": pool.busy, "queued": pool.queued, "slots": pool.slots, "places_for_wish": needed, "advice": advice,
        })
    };
    json!({ "version": 1, "wish_seconds": wish.as_secs_f64(), "pools": pools.iter().map(one).collect::<Vec<_>>() })
}

/// A sentence, and what to type.
#[derive(Debug, PartialEq)]
struct Advice {
    why: String,
    type_this: Option<String>,
}

fn figures(pool: &Pool) -> String {
    let Some(service) = pool.service else {
        return format!(
            "no request in {}, so nothing can be advised",
            shown::time(Duration::from_secs_f64(pool.seconds))
        );
    };
    let places = match pool.slots {
        Some(slots) => format!(
            "{:.1} of {slots} slots busy ({:.0} %), {:.1} waiting",
            pool.busy,
            share(pool.busy, slots),
            pool.queued
        ),
        None => format!("{:.1} in flight at {} endpoints", pool.busy, pool.up),
    };
    format!("{:.1} requests/s, each {} at its endpoint (Little: in flight / rate), {places}", pool.rate, time(service))
}

fn advice(pool: &Pool, wish: Duration) -> Vec<Advice> {
    let Some(service) = pool.service else { return Vec::new() };
    if pool.endpoints.iter().map(|one| one.requests).sum::<u64>() < REQUESTS_MIN {
        let why =
            format!("fewer than {REQUESTS_MIN} requests were seen: watch longer (--for 1m), or when there is traffic");
        return vec![Advice { why, type_this: None }];
    }
    let mut all: Vec<Advice> = match pool.slots {
        Some(slots) => vec![of_slots(pool, service, slots, wish)],
        None => of_no_slots(pool).into_iter().collect(),
    };
    all.extend(outlier(pool, service));
    all
}

/// How many places a wish needs.
fn of_slots(pool: &Pool, service: f64, slots: u64, wish: Duration) -> Advice {
    let now = wait_p95(pool.rate, service, usize::try_from(slots).unwrap_or(usize::MAX));
    let waits = match now {
        None => "more comes than is served: the queue only grows".to_owned(),
        Some(wait) => format!("95 of 100 wait {} or less", time(wait.as_secs_f64())),
    };
    let Some(needed) = servers_for(pool.rate, service, wish) else {
        return Advice { why: format!("{waits}; no number of slots holds {}", shown::time(wish)), type_this: None };
    };
    let slots = usize::try_from(slots).unwrap_or(usize::MAX);
    let wished = format!("for {} it needs {needed} slots at this rate, and has {slots}", shown::time(wish));
    let each = (slots / pool.up.max(1)).max(1);
    let (workers, saved) = (needed.div_ceil(each).max(1), pool.up.saturating_sub(needed.div_ceil(each).max(1)));
    // A prediction has an error, and traffic has hours: one worker of reserve is not too many.
    match (needed > slots, saved > 1 && pool.has_workers) {
        (true, _) if pool.has_workers => Advice {
            why: format!(
                "{waits}; {wished}{}",
                if is_full(pool) {
                    ". Its workers use all of their CPUs already: more slots help only with more CPUs"
                } else {
                    ""
                }
            ),
            type_this: Some(format!("balancer scale {} {workers}", pool.name)),
        },
        (true, _) => Advice {
            why: format!("{waits}; {wished}"),
            type_this: Some(format!("{workers} endpoints of {each} slots")),
        },
        (false, true) => Advice {
            why: format!(
                "{waits}; {wished}. With {} workers, one in reserve, about {} would be free",
                workers + 1,
                shown::size(pool.largest * (saved as u64 - 1))
            ),
            type_this: Some(format!("balancer scale {} {}", pool.name, workers + 1)),
        },
        (false, false) => Advice { why: format!("{waits}; {wished}: leave it"), type_this: None },
    }
}

/// Where nobody knows how much an endpoint does at once.
fn of_no_slots(pool: &Pool) -> Option<Advice> {
    let each = pool.busy / pool.up.max(1) as f64;
    (each > 1.0).then(|| Advice {
        why: format!("{each:.1} requests are at each endpoint: one that serves one at a time keeps the others waiting, where nobody sees it"),
        type_this: Some(format!("slots = 1 in [pool.{}], if that is so", pool.name)),
    })
}

/// The endpoint that takes longest, where it takes twice as long as the others.
fn outlier(pool: &Pool, service: f64) -> Option<Advice> {
    let asked: Vec<(&Endpoint, f64)> = pool
        .endpoints
        .iter()
        .filter(|one| one.requests >= REQUESTS_MIN / 2)
        .filter_map(|one| Some((one, one.service?)))
        .collect();
    let (slowest, took) = asked.iter().max_by(|a, b| a.1.total_cmp(&b.1)).copied()?;
    let mut others: Vec<f64> =
        asked.iter().filter(|(one, _)| one.name != slowest.name).map(|(_, took)| *took).collect();
    others.sort_by(f64::total_cmp);
    let usual = *others.get(others.len() / 2)?;
    if took < TWICE * usual || took - usual < FELT {
        return None;
    }
    let saved = slowest.rate / pool.rate * (took - usual);
    let why = format!(
        "{} takes {} for a request, the others {}: if it were as quick, a request would take {} less on average ({:.0} %)",
        slowest.name,
        time(took),
        time(usual),
        time(saved),
        saved / service * 100.0
    );
    let type_this = match pool.has_workers {
        true => format!("balancer logs {}", slowest.name),
        false => format!("balancer drain {}/{}", pool.name, slowest.name),
    };
    Some(Advice { why, type_this: Some(type_this) })
}

fn is_full(pool: &Pool) -> bool {
    pool.has_workers && pool.cpus > 0.9 * pool.up as f64
}

fn share(part: f64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part / whole as f64 * 100.0 }
}

fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 0.1 => format!("{:.1} ms", seconds * 1e3),
        seconds => shown::time(Duration::from_secs_f64(seconds.clamp(0.0, 1e9))),
    }
}

/// Fewer say nothing.
const REQUESTS_MIN: u64 = 20;
const TWICE: f64 = 2.0;
/// Seconds that nobody misses.
const FELT: f64 = 0.002;

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str, rate: f64, service: f64) -> Endpoint {
        Endpoint { name: name.into(), rate, service: Some(service), requests: (rate * 10.0) as u64 }
    }

    fn pool(slots: Option<u64>, rate: f64, service: f64, endpoints: Vec<Endpoint>) -> Pool {
        let (busy, up) = (rate * service, endpoints.len());
        let service = Some(service);
        Pool {
            name: "app".into(),
            seconds: 10.0,
            rate,
            service,
            busy,
            slots,
            up,
            has_workers: true,
            largest: 50 << 20,
            endpoints,
            ..Pool::default()
        }
    }

    fn even(count: usize, rate: f64, service: f64) -> Vec<Endpoint> {
        (1..=count).map(|index| endpoint(&format!("app.{index}"), rate / count as f64, service)).collect()
    }

    const WISH: Duration = Duration::from_millis(100);

    #[test]
    fn too_few_slots_are_told_with_the_number_that_is_needed() {
        let all = advice(&pool(Some(2), 15.0, 0.1, even(2, 15.0, 0.1)), WISH);
        let needed = servers_for(15.0, 0.1, WISH).unwrap();
        assert!(
            needed > 2 && all[0].why.contains(&format!("for 100 ms it needs {needed} slots at this rate, and has 2")),
            "{all:?}"
        );
        assert_eq!(all[0].type_this, Some(format!("balancer scale app {needed}")));
        let over = advice(&pool(Some(2), 30.0, 0.1, even(2, 30.0, 0.1)), WISH);
        assert!(over[0].why.starts_with("more comes than is served"), "{over:?}");
    }

    #[test]
    fn too_many_are_told_with_what_would_be_free_and_enough_are_left() {
        let many = advice(&pool(Some(8), 4.0, 0.01, even(8, 4.0, 0.01)), WISH);
        assert!(
            many[0].why.contains("would be free") && many[0].type_this == Some("balancer scale app 2".into()),
            "{many:?}"
        );
        let enough = advice(&pool(Some(3), 10.0, 0.1, even(3, 10.0, 0.1)), WISH);
        assert!(enough[0].why.ends_with(": leave it") && enough[0].type_this.is_none(), "{enough:?}");
    }

    #[test]
    fn the_endpoint_that_is_slow_beside_the_others_is_named_with_what_it_costs() {
        let mut endpoints = even(3, 30.0, 0.005);
        endpoints.push(endpoint("app.4", 10.0, 0.4));
        let all = advice(&pool(Some(8), 40.0, 0.104, endpoints), WISH);
        let last = all.last().unwrap();
        assert!(last.why.starts_with("app.4 takes 400 ms for a request, the others 5.0 ms"), "{last:?}");
        assert!(
            last.why.contains("98.8 ms less on average (95 %)") && last.type_this == Some("balancer logs app.4".into()),
            "{last:?}"
        );
        assert!(advice(&pool(None, 30.0, 0.005, even(3, 30.0, 0.005)), WISH).is_empty(), "nothing is wrong");
    }

    #[test]
    fn little_traffic_advises_nothing() {
        let quiet = Pool { name: "app".into(), seconds: 10.0, ..Pool::default() };
        assert!(advice(&quiet, WISH).is_empty() && text(&[quiet], WISH).contains("no request in 10 s"));
        let few = advice(&pool(Some(1), 0.5, 0.1, even(1, 0.5, 0.1)), WISH);
        assert!(few.len() == 1 && few[0].why.contains("watch longer"), "{few:?}");
    }

    #[test]
    fn requests_that_pile_up_at_endpoints_without_slots_are_told() {
        let all = advice(&pool(None, 100.0, 0.1, even(2, 100.0, 0.1)), WISH);
        assert!(all[0].why.starts_with("5.0 requests are at each endpoint"), "{all:?}");
    }
}
