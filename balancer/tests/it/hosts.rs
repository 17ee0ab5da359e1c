//! Several hosts, and what happens to the network between them: cut, lossy, slow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::harness::hosts::{Host, far};
use super::harness::{Balancer, Client, Origin, eventually, pool_at, pool_of};

/// Some hosts with an origin each: `one`, `two`, …
fn some(count: usize) -> (Vec<Host>, Vec<Origin>) {
    let hosts: Vec<Host> = (0..count).map(|_| Host::start()).collect();
    let origins = hosts.iter().zip(["one", "two", "three"]).map(|(host, name)| host.origin(name)).collect();
    (hosts, origins)
}

/// A request: when it began, and what came of it.
type Asked = (Instant, Result<String, u16>);

/// Asks again and again on a connection that is kept until `over`.
fn ask(balancer: &Balancer, over: &AtomicBool) -> Vec<Asked> {
    let (mut client, mut asked) = (Client::of(balancer), Vec::new());
    while !over.load(Ordering::SeqCst) {
        let begun = Instant::now();
        let response = client.get("/");
        let served = response.status() == 200;
        asked.push((begun, if served { Ok(response.text()) } else { Err(response.status()) }));
    }
    asked
}

fn names(balancer: &Balancer) -> Vec<String> {
    let mut client = Client::of(balancer);
    let mut names: Vec<String> = (0..12).map(|_| client.get("/").text()).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
#[cfg_attr(not(all(has = "root", has = "ip", has = "iptables")), ignore = "needs root and ip and iptables")]
fn a_partitioned_host_of_three_costs_no_get_after_the_first_probe_interval() {
    let (hosts, origins) = some(3);
    let origins: Vec<&Origin> = origins.iter().collect();
    let pool = format!("{}response_timeout = \"4s\"\n[pool.app.probe]\npath = \"/\"\n", pool_of(&origins));
    let balancer = Balancer::start("", &pool);
    eventually(|| "all three".into(), || (names(&balancer).len() == 3).then_some(()));
    let state = || {
        let status: Value = serde_json::from_str(&balancer.run(&["status", "--json"]).1).unwrap();
        status["pools"][0]["endpoints"][2]["state"].as_str().unwrap().to_owned()
    };
    let over = AtomicBool::new(false);
    let (asked, cut, back) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..6).map(|_| scope.spawn(|| ask(&balancer, &over))).collect();
        eventually(|| "traffic".into(), || (origins[2].requests().len() > 20).then_some(()));
        hosts[2].unplug();
        let cut = Instant::now();
        eventually(|| "it is found out".into(), || (state() == "down" && cut.elapsed() > 2 * INTERVAL).then_some(()));
        hosts[2].plug();
        let before = origins[2].requests().len();
        eventually(|| "it is back".into(), || (origins[2].requests().len() > before + 20).then_some(()));
        let back = Instant::now();
        over.store(true, Ordering::SeqCst);
        (clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<Asked>>(), cut, back)
    });
    let failed: Vec<&Asked> = asked.iter().filter(|(_, answer)| answer.is_err()).collect();
    let later: Vec<&&Asked> = failed.iter().filter(|(begun, _)| *begun > cut + INTERVAL).collect();
    assert!(later.is_empty(), "{later:?} of {} in {:?}", asked.len(), back - cut);
    // What was on its way to the host that is gone, one a client at most, has no answer that could come.
    assert!(failed.len() <= 6 && failed.iter().all(|(_, answer)| *answer == Err(504)), "{failed:?}");
}

#[test]
#[cfg_attr(not(all(has = "root", has = "ip", has = "iptables")), ignore = "needs root and ip and iptables")]
fn a_host_that_loses_a_tenth_of_what_arrives_costs_no_get() {
    let (hosts, origins) = some(3);
    hosts[1].lose(0.1);
    let balancer = Balancer::start("", &pool_of(&origins.iter().collect::<Vec<_>>()));
    let over = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..6).map(|_| scope.spawn(|| ask(&balancer, &over))).collect();
        eventually(|| "many".into(), || (origins[1].requests().len() > 300).then_some(()));
        over.store(true, Ordering::SeqCst);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<Asked>>()
    });
    let failed: Vec<&Asked> = asked.iter().filter(|(_, answer)| answer.is_err()).collect();
    assert!(failed.is_empty(), "of {}: {failed:?}", asked.len());
}

#[test]
fn a_host_that_is_far_away_gets_fewer_requests_by_least_connections_and_fails_none() {
    let (near, distant) = (Origin::named("near"), Origin::named("far"));
    let pool = pool_at(&[near.address(), far(&distant, Duration::from_millis(50))]);
    for more in ["policy = \"least_connections\"\n", "slots = 4\n"] {
        let balancer = Balancer::start("", &format!("{pool}{more}"));
        let (over, before) = (AtomicBool::new(false), distant.requests().len());
        let asked = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..6).map(|_| scope.spawn(|| ask(&balancer, &over))).collect();
            eventually(|| "many".into(), || (distant.requests().len() > before + 40).then_some(()));
            over.store(true, Ordering::SeqCst);
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<Asked>>()
        });
        let mut by_name = BTreeMap::<String, usize>::new();
        for (_, answer) in asked {
            *by_name.entry(answer.unwrap()).or_default() += 1;
        }
        assert!(by_name["near"] > 3 * by_name["far"], "{more}: {by_name:?}");
    }
}

/// What `interval` of a probe is where nothing is said.
const INTERVAL: Duration = Duration::from_secs(2);
