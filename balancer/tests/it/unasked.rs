//! Connections to workers at rest: words that nobody asked for, and closes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::harness::{Balancer, Client, Gate, Origin, PATIENCE, ok, pool_of};

#[test]
fn what_a_worker_says_at_rest_poisons_no_request() {
    const ROUNDS: usize = 40;
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for said in [
        whole,
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n",
        "x",
        "\r\n",
    ] {
        for keys in ["", "slots = 1\n"] {
            let (asked, spoken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (count, go) = (Arc::clone(&spoken), Arc::clone(&asked));
            let origin = Origin::start(move |mut exchange| {
                exchange.request();
                exchange.send(ok("asked"));
                let number = exchange.number + 1;
                until(&go, number);
                exchange.send(said);
                count.fetch_add(1, Ordering::SeqCst);
                // And goes on as if nothing had been.
                while exchange.request().is_some() && exchange.send(ok("late")) {}
            });
            let pool = format!("{}{keys}keep_alive_timeout = \"1m\"\n", pool_of(&[&origin]));
            let balancer = Balancer::start("threads = 1", &pool);
            let mut client = Client::of(&balancer);
            for round in 1..=ROUNDS {
                let method = ["GET", "POST"][round % 2];
                client.send(format!("{method} /{round} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
                let response = client.response();
                assert_eq!((response.status(), response.text()), (200, "asked".into()), "{said:?}, {keys:?}, {round}");
                asked.store(round, Ordering::SeqCst);
                // On loopback it has arrived when it has been said; the next request follows at once.
                until(&spoken, round);
            }
            assert_eq!((origin.connections(), origin.requests().len()), (ROUNDS, ROUNDS), "{said:?}, {keys:?}");
        }
    }
}

#[test]
fn what_a_worker_says_at_rest_poisons_no_request_of_a_thread_that_is_busy() {
    const ROUNDS: usize = 300;
    let busy = Origin::named("busy");
    let (asked, spoken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, go) = (Arc::clone(&spoken), Arc::clone(&asked));
    let origin = Origin::start(move |mut exchange| {
        exchange.request();
        exchange.send(ok("asked"));
        let number = exchange.number + 1;
        until(&go, number);
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        count.fetch_add(1, Ordering::SeqCst);
        exchange.read_to_end();
    });
    let tables = format!(
        "{}keep_alive_timeout = \"1m\"\n[pool.busy]\nendpoints = [\"{}\"]\n\
         [[route]]\npath = \"/busy\"\npool = \"busy\"\n[[route]]\npath = \"/\"\npool = \"app\"\n",
        pool_of(&[&origin]),
        busy.address()
    );
    let balancer = Balancer::start("threads = 1", &tables);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            // New connections all the time.
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    assert_eq!(Client::of(&balancer).get("/busy").text(), "busy");
                }
            });
        }
        // However it ends: those who keep the thread busy end with it.
        let _over = Over(&over);
        let mut wrong = 0;
        for _ in 0..ROUNDS {
            // The word was said before the client was there.
            wrong += usize::from(Client::of(&balancer).get("/").text() != "asked");
            let connections = origin.connections();
            asked.store(connections, Ordering::SeqCst);
            until(&spoken, connections);
        }
        assert_eq!(wrong, 0, "of {ROUNDS}");
    });
}

/// Waits for a count, without a moment between it and what follows.
fn until(count: &AtomicUsize, reached: usize) {
    let begun = Instant::now();
    while count.load(Ordering::SeqCst) < reached {
        assert!(begun.elapsed() < PATIENCE, "{reached} is not reached");
        std::thread::yield_now();
    }
}

/// Says so when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn bytes_that_come_behind_an_answer_one_by_one_reach_nobody() {
    // The answer is complete before its worker is at its end: what follows comes while the connection is given back.
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send(ok("good"));
        for byte in ok("evil").bytes() {
            if !exchange.send([byte]) {
                return;
            }
        }
        exchange.read_to_end();
    });
    for keys in ["", "slots = 1\n"] {
        let balancer = Balancer::start("threads = 1", &format!("{}{keys}", pool_of(&[&origin])));
        let mut client = Client::of(&balancer);
        let mut bodies = BTreeMap::new();
        for _ in 0..100 {
            *bodies.entry(client.get("/").text()).or_insert(0) += 1;
            std::thread::park_timeout(Duration::from_millis(2));
        }
        assert_eq!(bodies, BTreeMap::from([("good".to_owned(), 100)]), "{keys:?}");
    }
}

#[test]
fn posts_around_the_moment_in_which_a_worker_closes_are_run_once_each_from_the_first_on() {
    const IDLE: Duration = Duration::from_millis(200);
    for keys in ["", "slots = 12\n"] {
        let origin = Origin::start(|mut exchange| {
            exchange.close_after(IDLE);
            while exchange.request().is_some() && exchange.send(ok("fine")) {}
        });
        let pool = format!("{}{keys}keep_alive_timeout = \"10m\"\n", pool_of(&[&origin]));
        let balancer = Balancer::start("threads = 1", &pool);
        let begin = Gate::default();
        std::thread::scope(|scope| {
            for thread in 0..12_u64 {
                let (balancer, begin) = (&balancer, begin.clone());
                scope.spawn(move || {
                    let mut client = Client::of(balancer);
                    let mut random = thread * 7 + 1;
                    begin.wait();
                    for number in 0..15 {
                        client.send(format!(
                            "POST /{thread}/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
                        ));
                        let response = client.response();
                        assert_eq!(response.status(), 200, "{thread}/{number} with {keys:?}: {response:?}");
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        // From 30 ms before the close to 10 ms behind it, to the microsecond.
                        let gap = IDLE - Duration::from_millis(30) + Duration::from_micros((random >> 33) % 40_000);
                        std::thread::park_timeout(gap);
                    }
                });
            }
            begin.open();
        });
        let mut ran = BTreeMap::new();
        for request in origin.requests() {
            *ran.entry(request.target().to_owned()).or_insert(0) += 1;
        }
        assert_eq!(ran.len(), 12 * 15, "{keys:?}");
        assert!(ran.values().all(|times| *times == 1), "{keys:?}: {ran:?}");
    }
}
