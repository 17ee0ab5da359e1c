//! Whether workers fit into memory, also while they are replaced.
//!
//! Decides what a pool may take at most. Called by [`super`]. Pure: what was measured is handed in.

use serde_json::Value;

use super::finding::{Finding, fine, note, warning};
use super::machine::Machine;
use crate::config::{Config, Roll};
use crate::shown::size;

/// One finding, where there are workers.
pub(super) fn findings(machine: &Machine, config: Option<&Config>, status: Option<&Value>) -> Option<Finding> {
    let (config, available) = (config?, machine.memory_available?);
    let (mut more, mut parts, mut unknown) = (0, Vec::new(), Vec::new());
    for pool in &config.pools {
        let Some(workers) = &pool.workers else { continue };
        let taken = status.map(|status| taken(status, &pool.name)).unwrap_or_default();
        let Some(each) = workers.recycle.memory_max.or_else(|| taken.iter().copied().max()) else {
            unknown.push(pool.name.as_str());
            continue;
        };
        // A roll that starts first has so many twice.
        let twice = if workers.roll == Roll::StartFirst { workers.roll_parallel.min(workers.count) } else { 0 };
        let all = each * (workers.count + twice) as u64;
        more += all.saturating_sub(taken.iter().sum());
        let why = if workers.recycle.memory_max.is_some() { "memory_max" } else { "the largest now" };
        let roll = if twice > 0 { format!(" and {twice} more in a roll") } else { String::new() };
        parts.push(format!("{}: {} workers{roll} of {} ({why}), {}", pool.name, workers.count, size(each), size(all)));
    }
    let of = if machine.memory_of_group { "the control group" } else { "the machine" };
    if parts.is_empty() {
        let names = unknown.join(", ");
        let why = format!("{of} has {} left; what the workers of {names} take is known once they run", size(available));
        return (!unknown.is_empty()).then(|| note("memory", why, vec!["balancer doctor, once it runs".to_owned()]));
    }
    let known =
        format!("{of} has {} left, workers may take {} more ({})", size(available), size(more), parts.join("; "));
    Some(match more {
        more if more > available => warning(
            "memory",
            format!("{known}: the kernel would kill some of them"),
            vec![
                "fewer workers (`count`), or memory_max in [pool.NAME.workers], which replaces a worker before"
                    .to_owned(),
            ],
        ),
        more if more > available / 4 * 3 => {
            note("memory", format!("{known}: little is left for anything else"), Vec::new())
        }
        _ => fine("memory", known),
    })
}

/// What each worker of a pool takes now.
fn taken(status: &Value, pool: &str) -> Vec<u64> {
    let pools = status["pools"].as_array().into_iter().flatten();
    let workers = pools.filter(|one| one["name"] == pool).filter_map(|one| one["workers"]["all"].as_array()).flatten();
    workers.filter_map(|worker| worker["rss_bytes"].as_u64()).filter(|bytes| *bytes > 0).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Severity;
    use super::*;
    use crate::config::{ListenAddress, Pool, Workers};

    #[test]
    fn workers_are_counted_twice_where_a_roll_starts_first() {
        let level = |available: u64, memory_max: Option<u64>, status: Option<&Value>| {
            let mut workers = Workers { count: 4, ..Workers::new(vec!["a".into()]) };
            workers.recycle.memory_max = memory_max;
            let pool = Pool { workers: Some(workers), ..Pool::new("app") };
            let config = Config::new(ListenAddress::Tcp("127.0.0.1:80".parse().unwrap()), pool);
            let machine = Machine { memory_available: Some(available << 20), ..Machine::default() };
            findings(&machine, Some(&config), status).unwrap()
        };
        let running =
            json!({ "pools": [{ "name": "app", "workers": { "all": vec![json!({ "rss_bytes": 100 << 20 }); 4] } }] });
        // Four are there, and a fifth for a moment.
        assert_eq!(level(99, None, Some(&running)).level, Severity::Warning);
        assert_eq!(level(110, None, Some(&running)).level, Severity::Note);
        assert_eq!(level(1_000, None, Some(&running)).level, Severity::Fine);
        assert_eq!(level(999, Some(300 << 20), Some(&running)).level, Severity::Warning);
        assert_eq!(level(999, Some(300 << 20), None).level, Severity::Warning);
        assert!(level(999, None, None).why.contains("is known once they run"));
    }
}
