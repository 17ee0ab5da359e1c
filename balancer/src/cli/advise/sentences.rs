//! What the figures of a pool advise, in sentences with what to type: what was measured, and what is predicted from it, each called so.
//!
//! Decides from when on something is worth a sentence. Called by [`super`]. Pure.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::law::{servers_for, stay, wait_p95};
use super::watch::{WatchedEndpoint, WatchedPool};
use crate::cli::text::wrapped_after;
use crate::shown;

/// What is wished, and what there is for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// Of 100 requests, 95 are to wait no longer than this.
    pub(super) wait: Duration,
    /// CPUs of this machine.
    pub(super) cpus: usize,
}

/// For people.
pub(super) fn text(pools: &[WatchedPool], wish: Wish) -> String {
    let watched = pools.first().map_or_else(Duration::default, |pool| Duration::from_secs_f64(pool.seconds));
    let mut out = format!(
        "measured for {}; times by Little's law (how many are there / how many come a second)\n",
        shown::time(watched)
    );
    for pool in pools {
        out.push_str(&wrapped_after("", "  ", &format!("pool {}: {}", pool.name, figures(pool))));
        for one in advice(pool, wish) {
            out.push_str(&wrapped_after("  ", "  ", &one.why));
            // Writing to memory does not fail.
            one.type_this.iter().for_each(|text| _ = writeln!(out, "    type: {text}"));
        }
    }
    out
}

/// For machines.
pub(super) fn json(pools: &[WatchedPool], wish: Wish) -> Value {
    let one = |pool: &WatchedPool| {
        let advice: Vec<Value> =
            advice(pool, wish).iter().map(|one| json!({ "why": one.why, "type": one.type_this })).collect();
        json!({
            "name": pool.name, "seconds": pool.seconds, "per_second": pool.rate, "service_seconds": pool.service,
            "busy": pool.busy, "queued": pool.queued, "wait_seconds": stay(pool.queued, pool.rate), "slots": pool.slots, "refused": pool.refused,
            "predicted": predicted_json(pool, wish), "advice": advice,
        })
    };
    let pools: Vec<Value> = pools.iter().map(one).collect();
    json!({ "version": 1, "wish_seconds": wish.wait.as_secs_f64(), "pools": pools })
}

/// A sentence, and what to type.
#[derive(Debug, PartialEq)]
pub(super) struct Advice {
    pub(super) why: String,
    pub(super) type_this: Option<String>,
}

fn predicted_json(pool: &WatchedPool, wish: Wish) -> Value {
    let (Some(service), Some(slots)) = (pool.service, places(pool)) else { return Value::Null };
    if is_saturated(pool, slots) {
        return Value::Null;
    }
    json!({
        "by": "erlang_c",
        "wait_p95_seconds": wait_p95(pool.rate, service, slots).map(|wait| wait.as_secs_f64()),
        "slots_for_wish": servers_for(pool.rate, service, wish.wait),
    })
}

fn figures(pool: &WatchedPool) -> String {
    let Some(service) = pool.service else { return "no request, so nothing can be advised".to_owned() };
    let places = match pool.slots {
        Some(slots) => {
            let share = if slots == 0 { 0.0 } else { pool.busy / slots as f64 * 100.0 };
            let waiting = match stay(pool.queued, pool.rate) {
                Some(wait) if wait > 0.0 => format!("{:.1} waiting, {} on average", pool.queued, time(wait)),
                _ => "none waiting".to_owned(),
            };
            format!("{:.1} of {slots} slots busy ({share:.0} %), {waiting}", pool.busy)
        }
        None => format!("{:.1} in flight at {} endpoints", pool.busy, pool.up),
    };
    format!("{:.1} requests/s, {} each; {places}", pool.rate, time(service))
}

pub(super) fn advice(pool: &WatchedPool, wish: Wish) -> Vec<Advice> {
    let Some(service) = pool.service else { return Vec::new() };
    if pool.endpoints.iter().map(|one| one.requests).sum::<u64>() < REQUESTS_MIN {
        let why =
            format!("fewer than {REQUESTS_MIN} requests were seen: watch longer (--for 1m), or when there is traffic");
        return vec![Advice { why, type_this: None }];
    }
    let outlier = outlier(pool, service);
    let of_places = match places(pool) {
        Some(slots) if is_saturated(pool, slots) => Some(of_too_few(pool, slots, wish)),
        Some(slots) => Some(of_slots(pool, service, slots, wish)),
        None => of_no_slots(pool, outlier.as_ref().map(|(name, _)| name.as_str())),
    };
    let of_places = of_places.map(|one| Advice { why: format!("{}{}", one.why, refused(pool)), ..one });
    // One that is slow is the cause of much else.
    outlier.map(|(_, advice)| advice).into_iter().chain(of_places).collect()
}

/// Whoever was refused had no stay that could be measured.
fn refused(pool: &WatchedPool) -> String {
    match pool.refused {
        0 => String::new(),
        count => format!(
            ". {count} requests were refused meanwhile (queue_full, queue_timeout or shed) and are in no figure here: take the number for \
             the least"
        ),
    }
}

/// How many places a wish needs.
fn of_slots(pool: &WatchedPool, service: f64, slots: usize, wish: Wish) -> Advice {
    let shown_wish = shown::time(wish.wait);
    let by = format!(
        "predicted (Erlang's C formula, from {:.1} requests/s, {} each, {slots} slots)",
        pool.rate,
        time(service)
    );
    let told = |wait: Duration| match wait {
        Duration::ZERO => "95 of 100 do not wait".to_owned(),
        wait => format!("95 of 100 wait {} or less", time(wait.as_secs_f64())),
    };
    let now = wait_p95(pool.rate, service, slots).map_or_else(|| "the queue only grows".to_owned(), told);
    let Some(needed) = servers_for(pool.rate, service, wish.wait) else {
        return Advice { why: format!("{by}: {now}; no number of slots holds {shown_wish}"), type_this: None };
    };
    let each = (slots / pool.up.max(1)).max(1);
    let workers = needed.div_ceil(each).max(1);
    let saved = pool.up.saturating_sub(workers);
    if needed > slots {
        let then = wait_p95(pool.rate, service, needed).map_or_else(String::new, told);
        let why = format!("{by}: {now}; with {needed} slots, {then}. Wished is {shown_wish}");
        return more(pool, why, workers, each, wish);
    }
    // A prediction has an error, and traffic has hours: one worker of reserve is not too many.
    if saved > 1 && pool.has_workers {
        let why = format!(
            "{by}: {now}. {needed} hold the wished {shown_wish}: with {} workers, one in reserve, about {} would be free",
            workers + 1,
            shown::size(pool.largest * (saved as u64 - 1))
        );
        return Advice { why, type_this: Some(format!("balancer scale {} {}", pool.name, workers + 1)) };
    }
    Advice { why: format!("{by}: {now}. Wished is {shown_wish}: leave it"), type_this: None }
}

/// Where all are busy and some wait: what comes is more than what is measured, so that no law says how many are needed.
fn of_too_few(pool: &WatchedPool, slots: usize, wish: Wish) -> Advice {
    let at_once = (pool.busy + pool.queued).ceil() as usize;
    let needed = at_once.max(slots + 1);
    let why = format!(
        "measured: all {slots} slots are busy and {:.1} requests wait, so more comes than is served, and waits cannot be \
         predicted. With {needed} slots nobody of those would wait",
        pool.queued
    );
    let each = (slots / pool.up.max(1)).max(1);
    more(pool, why, needed.div_ceil(each), each, wish)
}

/// More places, by whoever can give them.
fn more(pool: &WatchedPool, why: String, workers: usize, each: usize, wish: Wish) -> Advice {
    if !pool.has_workers {
        return Advice { why, type_this: Some(format!("{workers} endpoints of {each} slots")) };
    }
    let why = match pool.cpus > FULL * wish.cpus as f64 {
        true => format!(
            "{why}. But its workers use {:.1} of the {} CPUs here: more workers would only wait for each other",
            pool.cpus, wish.cpus
        ),
        false => why,
    };
    Advice { why, type_this: Some(format!("balancer scale {} {workers}", pool.name)) }
}

/// Where nobody knows how much an endpoint does at once.
fn of_no_slots(pool: &WatchedPool, outlier: Option<&str>) -> Option<Advice> {
    let usual: Vec<&WatchedEndpoint> = pool.endpoints.iter().filter(|one| Some(one.name.as_str()) != outlier).collect();
    let there: f64 = usual.iter().filter_map(|one| Some(one.rate * one.service?)).sum();
    let each = there / usual.len().max(1) as f64;
    (each > 1.0).then(|| Advice {
        why: format!(
            "measured: {each:.1} requests are at each endpoint{}: one that serves one at a time keeps the others waiting, where nobody \
             sees it",
            outlier.map(|name| format!(" but {name}")).unwrap_or_default()
        ),
        type_this: Some(format!("slots = 1 in [pool.{}], if that is so", pool.name)),
    })
}

/// The endpoint that takes longest, where it takes twice as long as the others.
fn outlier(pool: &WatchedPool, service: f64) -> Option<(String, Advice)> {
    let asked: Vec<(&WatchedEndpoint, f64)> = pool
        .endpoints
        .iter()
        .filter(|one| one.requests >= REQUESTS_MIN / 4)
        .filter_map(|one| Some((one, one.service?)))
        .collect();
    let (slowest, took) = asked.iter().max_by(|a, b| a.1.total_cmp(&b.1)).copied()?;
    // Of few requests, or few looks at them, one takes longer by chance.
    let chance = |one: &WatchedEndpoint, took: f64| {
        let seen = one.rate * took * pool.seconds * LOOKS_A_SECOND;
        DEVIATIONS / seen.min(one.requests as f64).max(1.0).sqrt()
    };
    let mut others: Vec<(f64, f64)> = asked
        .iter()
        .filter(|(one, _)| one.name != slowest.name)
        .map(|(one, took)| (*took, chance(one, *took)))
        .collect();
    others.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (usual, chance_of_usual) = *others.get(others.len() / 2)?;
    let (at_least, at_most) = (took * (1.0 - chance(slowest, took)), usual * (1.0 + chance_of_usual));
    if at_least < TWICE * at_most || took - usual < FELT {
        return None;
    }
    let saved = slowest.rate / pool.rate * (took - usual);
    let why = format!(
        "measured: {} takes {} for a request, the others {}. If it were as quick, a request would take {} less on average ({:.0} %)",
        slowest.name,
        time(took),
        time(usual),
        time(saved),
        saved / service * 100.0
    );
    let type_this = match pool.has_workers {
        true => format!("balancer logs {0}; balancer restart {0}", slowest.name),
        false => format!("balancer drain {}/{}", pool.name, slowest.name),
    };
    Some((slowest.name.clone(), Advice { why, type_this: Some(type_this) }))
}

fn places(pool: &WatchedPool) -> Option<usize> {
    pool.slots.map(|slots| usize::try_from(slots).unwrap_or(usize::MAX))
}

fn is_saturated(pool: &WatchedPool, slots: usize) -> bool {
    let free = slots as f64 - pool.busy;
    free <= 0.0 || free < (1.0 - FULL) * slots as f64 && pool.queued >= 1.0
}

fn time(seconds: f64) -> String {
    match seconds {
        // Of so short ones, too few are seen by looks now and then.
        seconds if seconds < 0.001 => "less than 1 ms".to_owned(),
        seconds if seconds < 0.1 => format!("{:.1} ms", seconds * 1e3),
        seconds => shown::time(Duration::from_secs_f64(seconds.clamp(0.0, 1e9))),
    }
}

/// Fewer say nothing.
const REQUESTS_MIN: u64 = 20;
const TWICE: f64 = 2.0;
/// Within so many standard deviations, a difference is chance (of a Poisson process: one over the root of what was counted).
const DEVIATIONS: f64 = 2.0;
/// As [`super::run`] does it.
const LOOKS_A_SECOND: f64 = 10.0;
/// Seconds that nobody misses.
const FELT: f64 = 0.002;
/// So much in use is all: a sample now and then falls between two requests.
const FULL: f64 = 0.95;
