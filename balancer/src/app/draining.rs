//! Endpoints that an operator takes out, and gives back. Decides which are meant by a name; called as soon as somebody asks, for it waits
//! beside what is carried out. Never ends a request.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::act::unknown;
use crate::admin::{Instance, Outcome, Reporter, Served, note};
use crate::endpoint::Endpoint;
use crate::pool::Pool;
use crate::shown;

/// Takes endpoints out, and waits in a task of its own until they are empty.
pub(super) fn drain(instance: &Arc<Instance>, name: &str, yes: bool, patience: Duration, reporter: Reporter) {
    let served = instance.served.load_full();
    let found = find(&served, name);
    if found.is_empty() {
        return reporter.done(unknown_endpoint(&served, name));
    }
    let last = found.iter().find(|(pool, endpoint)| {
        let is_other = |other: &Arc<Endpoint>| other.accepts() && other.id() != endpoint.id();
        endpoint.accepts() && !pool.endpoints().iter().any(is_other)
    });
    if let Some((pool, _)) = last.filter(|_| !yes) {
        let text = format!("{name} is the last endpoint of pool {} that takes requests: --yes to go on", pool.name());
        return reporter.done(Outcome::wrong(text));
    }
    for (pool, endpoint) in &found {
        pool.hold(endpoint.name());
        let text = format!("{} is drained by an operator", endpoint.name());
        tracing::info!("{text}");
        note(&instance.events, "drained", Some(pool.name()), Some(endpoint.name()), &text);
    }
    let name = name.to_owned();
    tokio::spawn(async move {
        let until = Instant::now() + patience;
        for (_, endpoint) in &found {
            reporter.progress(format!("{}: waiting for {} requests", endpoint.name(), endpoint.in_flight()));
            let _ = timeout_at(until, endpoint.drained_or_released()).await;
        }
        if found.iter().any(|(_, endpoint)| !endpoint.is_held()) {
            return reporter.done(Outcome::failed(format!("{name}: was taken back before it was drained")));
        }
        let left: usize = found.iter().map(|(_, endpoint)| endpoint.in_flight()).sum();
        reporter.done(match left {
            0 => Outcome::done(format!("{name}: drained")),
            _ => Outcome::failed(format!(
                "{name}: takes no new request; still in flight after {}: {left}",
                shown::time(patience)
            )),
        });
    });
}

/// Takes that back.
pub(super) fn undrain(instance: &Instance, name: &str, reporter: &Reporter) {
    let served = instance.served.load_full();
    let mut changed = false;
    // Not by its endpoint: a worker that is being started again has none.
    for (pool, own) in within(&served, name).filter(|(pool, own)| pool.unhold(own)) {
        changed = true;
        let text = format!("{own} is back");
        tracing::info!("{text}");
        note(&instance.events, "undrained", Some(pool.name()), Some(own), &text);
    }
    if !changed && find(&served, name).is_empty() {
        return reporter.done(unknown_endpoint(&served, name));
    }
    reporter.done(Outcome::done(match changed {
        true => format!("{name}: takes requests again"),
        false => format!("{name}: was not drained"),
    }));
}

/// Endpoints of that name, in every pool unless one stands in front.
fn find(served: &Served, name: &str) -> Vec<(Arc<Pool>, Arc<Endpoint>)> {
    let in_pool = |(pool, own): (&Arc<Pool>, &str)| {
        let named: Vec<_> = pool.endpoints().into_iter().filter(|endpoint| **endpoint.name() == *own).collect();
        let pool = Arc::clone(pool);
        named.into_iter().map(move |endpoint| (Arc::clone(&pool), endpoint))
    };
    within(served, name).flat_map(in_pool).collect()
}

/// Each pool, and what an endpoint of that name is called there.
fn within<'s>(served: &'s Served, name: &'s str) -> impl Iterator<Item = (&'s Arc<Pool>, &'s str)> {
    served.pools.iter().map(move |served| {
        let own = name.strip_prefix(&**served.pool.name()).and_then(|rest| rest.strip_prefix('/'));
        (&served.pool, own.unwrap_or(name))
    })
}

fn unknown_endpoint(served: &Served, name: &str) -> Outcome {
    let all: Vec<Arc<Endpoint>> = served.pools.iter().flat_map(|served| served.pool.endpoints()).collect();
    Outcome::wrong(unknown("endpoint", name, all.iter().map(|endpoint| &**endpoint.name())))
}
