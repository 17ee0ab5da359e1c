//! What a running balancer tells of its workers.
//!
//! Decides what is read of it. Called by [`super::site`]. Never asks: pure.

use serde_json::Value;

/// A worker of a pool, as `balancer status --json` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Worker {
    pub(super) name: String,
    /// `None`: there is no process.
    pub(super) pid: Option<u32>,
    pub(super) ready: bool,
}

/// The workers of all pools; `None` where the text is no status.
pub(super) fn workers(status: &[u8]) -> Option<Vec<Worker>> {
    let status: Value = serde_json::from_slice(status).ok()?;
    let mut workers = Vec::new();
    for pool in status["pools"].as_array()? {
        for worker in pool["workers"]["all"].as_array().into_iter().flatten() {
            workers.push(Worker {
                name: worker["name"].as_str()?.to_owned(),
                pid: worker["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()),
                ready: worker["state"] == "ready",
            });
        }
    }
    Some(workers)
}

/// Reloads done and failed since the start; `None` where the text is no status.
pub(super) fn reloads(status: &[u8]) -> Option<[u64; 2]> {
    let reloads = &serde_json::from_slice::<Value>(status).ok()?["reloads"];
    Some([reloads["done"].as_u64()?, reloads["failed"].as_u64()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reloads_are_read() {
        assert_eq!(reloads(br#"{"reloads":{"done":3,"failed":1,"last_ok":true}}"#), Some([3, 1]));
        assert_eq!(reloads(b"{}"), None);
    }

    #[test]
    fn workers_of_all_pools_are_read() {
        let text = r#"{"pools":[{"name":"app","workers":{"all":[{"name":"app.1","pid":7,"state":"ready"},
            {"name":"app.2","pid":null,"state":"backoff"}],"count":2}},{"name":"fixed","workers":null}]}"#;
        let worker = |name: &str, pid, ready| Worker { name: name.to_owned(), pid, ready };
        assert_eq!(workers(text.as_bytes()), Some(vec![worker("app.1", Some(7), true), worker("app.2", None, false)]));
        assert_eq!(workers(b"{}"), None);
        assert_eq!(workers(b"not found"), None);
    }
}
