//! Names of the configuration: whether DNS answers, and how soon.
//!
//! Decides from when on an answer is late. Called by [`super`]. Asks for each name once, all at once, for a few seconds at most.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::finding::{Finding, fine, note, warning};
use crate::config::{Address, Config, DnsName, Host};
use crate::discover::{Resolve, Resolver};
use crate::shown;

/// One finding, where the file has names.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut names: Vec<DnsName> = Vec::new();
    for pool in &config.pools {
        let of_endpoints = pool.endpoints.iter().filter_map(|endpoint| match &endpoint.address {
            Address::Tcp { host: Host::Name(name), port } => Some(DnsName { name: name.clone(), port: Some(*port) }),
            Address::Tcp { .. } | Address::Unix(_) => None,
        });
        names.extend(of_endpoints.chain(pool.dns.name.clone()));
    }
    if names.is_empty() {
        return Vec::new();
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let answers = runtime.block_on(async {
        let (resolver, mut asked) = (Arc::new(Resolver::default()), JoinSet::new());
        for name in names {
            let (resolver, begun) = (Arc::clone(&resolver), Instant::now());
            asked.spawn(async move {
                let problem = match timeout(PATIENCE, resolver.places(&name)).await {
                    Ok(answer) => answer.problem(),
                    Err(_) => Some(format!("no answer within {}", shown::time(PATIENCE))),
                };
                (name.to_string(), begun.elapsed(), problem)
            });
        }
        asked.join_all().await
    });
    judged(answers)
}

/// What the answers, or their want, say.
fn judged(mut answers: Vec<(String, Duration, Option<String>)>) -> Vec<Finding> {
    answers.sort();
    let failed: Vec<String> =
        answers.iter().filter_map(|(name, _, problem)| Some(format!("{name}: {}", problem.as_ref()?))).collect();
    if !failed.is_empty() {
        let why = format!("{} of {} names have no address: {}", failed.len(), answers.len(), failed.join("; "));
        return vec![warning("DNS", why, vec!["getent ahosts NAME, and the servers in /etc/resolv.conf".to_owned()])];
    }
    let slowest = answers.iter().map(|(_, took, _)| *took).max().unwrap_or_default();
    let known = format!("{} names resolve, the slowest in {}", answers.len(), shown::time(slowest));
    vec![match slowest {
        slowest if slowest >= LATE => note(
            "DNS",
            format!("{known}: changes of addresses are seen late"),
            vec!["a server nearer by in /etc/resolv.conf (nameserver)".to_owned()],
        ),
        _ => fine("DNS", known),
    }]
}

/// Somebody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// As `dns_interval` is two seconds, that is half of it.
const LATE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn names_without_an_address_and_late_answers_are_told() {
        let answer = |name: &str, millis, problem: Option<&str>| {
            (name.to_owned(), Duration::from_millis(millis), problem.map(str::to_owned))
        };
        let level = |answers: Vec<_>| judged(answers)[0].level;
        assert_eq!(level(vec![answer("a:1", 3, None), answer("b:1", 20, None)]), Severity::Fine);
        assert_eq!(level(vec![answer("a:1", 3, None), answer("b:1", 1_000, None)]), Severity::Note);
        let failed = judged(vec![answer("a:1", 3, None), answer("b:1", 20, Some("no such name"))]);
        assert!(
            failed[0].level == Severity::Warning && failed[0].why == "1 of 2 names have no address: b:1: no such name"
        );
    }
}
