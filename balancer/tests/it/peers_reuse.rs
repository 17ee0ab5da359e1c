//! Workers of `deploy/examples/` that close idle connections: no request meets a closing one.
//!
//! `REUSE_SECONDS=120` makes the traffic longer than it is in every run of the tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::harness::Client;
use crate::program::{Program, eventually, example, scratch};

#[test]
#[cfg_attr(not(has = "gunicorn"), ignore = "needs gunicorn")]
fn gunicorn_closes_no_connection_under_a_request() {
    // Its own log says what it ran.
    let program = example("gunicorn", "python-gunicorn", &[("GUNICORN_CMD_ARGS", "--access-logfile -")]);
    program.until_ready(2);
    serves_with_gaps_around(&program, Duration::from_secs(2));
}

#[test]
#[cfg_attr(not(has = "node"), ignore = "needs node")]
fn node_closes_no_connection_under_a_request() {
    let hook = scratch("reuse-node").join("log.js");
    std::fs::write(&hook, LOG_JS).unwrap();
    let options = format!("--require {}", hook.display());
    let program = example("node", "node", &[("NODE_OPTIONS", &options)]);
    program.until_ready(std::thread::available_parallelism().unwrap().get());
    serves_with_gaps_around(&program, Duration::from_secs(5));
}

/// Clients ask together, so that there is an upstream connection for each, and then not at all for a random time up to more
/// than the worker keeps an idle one. Each request must be answered 200, and each POST must have run once.
fn serves_with_gaps_around(program: &Program, idle: Duration) {
    let seconds = std::env::var("REUSE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let (address, begun) = (program.address(), Instant::now());
    let posts: usize = std::thread::scope(|scope| {
        let client = |number: u64| {
            scope.spawn(move || {
                let mut client = Client::at(address);
                let (mut common, mut own) = (Random(number / CLIENTS), Random(1_000 + number));
                let (mut due, mut posts) = (Duration::ZERO, 0);
                for round in 0.. {
                    for part in 0..=own.below(2) {
                        let method = if own.below(2) == 0 { "POST" } else { "GET" };
                        posts += usize::from(method == "POST");
                        client.send(format!(
                            "{method} /{number}/{round}/{part} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                        ));
                        let response = client.response();
                        assert_eq!(response.status(), 200, "{method} of {number} in round {round}: {response:?}");
                    }
                    // The same for all of a group.
                    due += idle.mul_f64(1.25 * common.below(1_000) as f64 / 1_000.0);
                    if due > Duration::from_secs(seconds) {
                        break;
                    }
                    // The gap is what is tested.
                    let gap = (begun + due).saturating_duration_since(Instant::now());
                    std::thread::park_timeout(gap + Duration::from_millis(own.below(20)));
                }
                posts
            })
        };
        let clients: Vec<_> = (0..GROUPS * CLIENTS).map(client).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    let mut ran = BTreeMap::new();
    eventually("all that the workers said", || {
        ran = ran_posts(&program.stdout.now());
        ran.values().sum::<usize>() >= posts
    });
    let twice: Vec<_> = ran.iter().filter(|(_, times)| **times != 1).collect();
    assert!(
        posts > CLIENTS as usize && ran.len() == posts && twice.is_empty(),
        "{posts} sent, {} ran; {twice:?}",
        ran.len()
    );
}

/// How often each POST stands in what the workers said; our own access log is in that text too, but without a prefix.
fn ran_posts(said: &str) -> BTreeMap<String, usize> {
    let mut ran = BTreeMap::new();
    for line in said.lines().filter(|line| line.starts_with("app.")) {
        if let Some(target) = line.split_once("\"POST ").and_then(|(_, rest)| rest.split(' ').next()) {
            *ran.entry(target.to_owned()).or_default() += 1;
        }
    }
    ran
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Makes any server say each request, in the words of an access log.
const LOG_JS: &str = "'use strict';
const { Server } = require('node:http');
const emit = Server.prototype.emit;
Server.prototype.emit = function (event, ...rest) {
  if (event === 'request') console.log(`\"${rest[0].method} ${rest[0].url} HTTP/1.1\"`);
  return emit.call(this, event, ...rest);
};
";
const GROUPS: u64 = 3;
const CLIENTS: u64 = 12;
