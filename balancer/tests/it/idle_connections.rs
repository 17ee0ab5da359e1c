//! Connections to workers that are kept, and closed by the worker meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use super::harness::{Balancer, Client, Origin, ok, pool_of};

/// A worker that closes a connection which has been idle for that long.
fn closing_after(idle: Duration) -> Origin {
    Origin::start(move |mut exchange| {
        exchange.close_after(idle);
        while exchange.request().is_some() && exchange.send(ok("fine")) {}
    })
}

#[test]
fn workers_that_close_idle_connections_cost_no_request_and_run_none_twice() {
    // Far longer than any of them keeps a connection: what they do has to be learned.
    let origins = [100, 200, 400].map(|millis| closing_after(Duration::from_millis(millis)));
    let pool = pool_of(&[&origins[0], &origins[1], &origins[2]]);
    let balancer = Balancer::start("", &(pool + "keep_alive_timeout = \"10m\"\n"));
    std::thread::scope(|scope| {
        for thread in 0..24_u64 {
            let balancer = &balancer;
            scope.spawn(move || {
                let mut client = Client::of(balancer);
                let mut random = thread * 7 + 1;
                for number in 0..50 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let method = ["GET", "POST", "PUT", "DELETE"][(random >> 60) as usize % 4];
                    let body = ["", "x", "hello"][(random >> 40) as usize % 3];
                    let length = body.len();
                    client.send(format!(
                        "{method} /{thread}/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
                    ));
                    let response = client.response();
                    assert_eq!(response.status(), 200, "{method} {body:?}: {response:?}");
                    // The gap is what is tested.
                    std::thread::park_timeout(Duration::from_millis((random >> 32) % 500));
                }
            });
        }
    });
    let mut posts = BTreeMap::new();
    for request in origins.iter().flat_map(Origin::requests).filter(|request| request.line.starts_with("POST")) {
        *posts.entry(request.target().to_owned()).or_insert(0) += 1;
    }
    assert!(posts.len() > 100 && posts.values().all(|times| *times == 1), "{posts:?}");
    let connections: usize = origins.iter().map(Origin::connections).sum();
    assert!(connections < 1_200, "some were used again: {connections}");
}

#[test]
fn a_worker_that_closes_after_every_answer_without_saying_so_costs_no_request() {
    let origin = Origin::once(ok("fine"));
    let balancer = Balancer::start("threads = 1", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    for number in 0..100 {
        let method = ["GET", "POST"][number % 2];
        client.send(format!("{method} /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(client.response().status(), 200, "{method} {number}");
    }
    assert_eq!(origin.requests().len(), 100);
}
