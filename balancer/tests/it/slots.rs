//! Slots, the queue and the slow lane.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::admin::status;
use super::harness::{Balancer, Client, Exchange, Gate, Message, Origin, SOON, eventually, ok, pool_of};
use super::reload::{reload, rewrite};

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
pub(crate) const ONE_SLOT: &str = "slots = 1\n";

/// A pool with slots in front of `origins`; further keys may follow.
pub(crate) fn slots_of(origins: &[&Origin], keys: &str) -> String {
    format!("{}{keys}", pool_of(origins))
}

#[test]
fn a_worker_never_sees_a_second_request_nor_more_connections_than_slots() {
    for (slots, keeps) in [(1, true), (1, false), (3, true), (3, false)] {
        let busy = [(); 2].map(|()| Busy::default());
        let origins = busy.each_ref().map(|busy| busy.origin(keeps));
        let keys = format!("slots = {slots}\n");
        let balancer = Balancer::start("threads = 4", &slots_of(&[&origins[0], &origins[1]], &keys));
        let clients = (0..24).map(|_| {
            let address = balancer.address();
            std::thread::spawn(move || {
                let mut client = Client::at(address);
                (0..25).for_each(|_| assert_eq!(client.get("/").status(), 200));
            })
        });
        clients.collect::<Vec<_>>().into_iter().for_each(|client| client.join().unwrap());
        for (busy, origin) in busy.iter().zip(&origins) {
            assert!(busy.most() <= slots, "{} at once with {slots} slots", busy.most());
            assert!(origin.requests().len() > 100, "both take part");
            let connections = origin.connections();
            assert!(!keeps || connections <= slots, "{connections} connections with {slots} slots");
        }
    }
}

#[test]
fn the_first_place_that_comes_free_anywhere_is_the_next_ones() {
    let (gate, go) = (Gate::default(), Gate::default());
    let (held, quick) = (held_by(&gate), held_by(&go));
    let balancer = Balancer::start("threads = 2", &slots_of(&[&held, &quick], ONE_SLOT));
    let mut clients: Vec<Client> = (0..8).map(|_| Client::of(&balancer)).collect();
    clients.iter_mut().for_each(|client| client.send(GET));
    held.await_requests(1);
    quick.await_requests(1);
    go.open();
    // Whoever is not at the worker that is held gets its answer from the other.
    quick.await_requests(7);
    assert_eq!(held.requests().len(), 1);
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.response().status(), 200));
    let line = balancer.logged(&["\"qt\":0."]);
    assert!(line.contains("\"status\":200"), "{line}");
}

#[test]
fn a_full_queue_answers_503_with_retry_after_and_the_others_are_served() {
    let gate = Gate::default();
    let origin = held_by(&gate);
    let balancer = Balancer::start("", &slots_of(&[&origin], "slots = 1\nqueue_max = 2\n"));
    let mut serving = Client::of(&balancer);
    serving.send(GET);
    origin.await_requests(1);
    let mut clients: Vec<Client> = (2..7).map(|last| from(&balancer, &format!("127.0.0.{last}"))).collect();
    clients.iter_mut().for_each(|client| client.send(GET));
    let refused = || (count(&balancer, "\"reason\":\"queue_full\"") == 3).then_some(());
    eventually(|| "three of five refused".into(), refused);
    gate.open();
    assert_eq!(serving.response().status(), 200);
    let responses: Vec<Message> = clients.iter_mut().map(|client| client.response()).collect();
    for response in &responses {
        let retry_after = response.field("retry-after").map(|seconds| seconds.parse::<u32>().unwrap());
        assert_eq!(response.status() == 503, retry_after.is_some_and(|seconds| seconds >= 1), "{response:?}");
    }
    assert_eq!(responses.iter().filter(|response| response.status() == 200).count(), 2);
    balancer.logged(&["\"status\":503", "\"reason\":\"queue_full\"", "\"attempts\":0"]);
}

#[test]
fn one_address_fills_its_share_of_the_queue_and_others_still_get_in() {
    let gate = Gate::default();
    let origin = held_by(&gate);
    let balancer = Balancer::start("", &slots_of(&[&origin], "slots = 1\nqueue_max = 10\n"));
    let mut clients: Vec<Client> = (0..20).map(|_| Client::of(&balancer)).collect();
    clients.iter_mut().for_each(|client| client.send(GET));
    let refused = || (count(&balancer, "\"reason\":\"queue_full\"") == 14).then_some(());
    eventually(|| "20 requests of which 1 is served and 5 wait".into(), refused);
    let mut other = from(&balancer, "127.0.0.9");
    other.send(GET);
    gate.open();
    assert_eq!(other.response().status(), 200);
    let statuses: Vec<u16> = clients.iter_mut().map(|client| client.response().status()).collect();
    assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 6, "{statuses:?}");
}

#[test]
fn a_wait_that_is_too_long_ends_with_503_in_time() {
    let gate = Gate::default();
    let origin = held_by(&gate);
    let balancer = Balancer::start("", &slots_of(&[&origin], "slots = 1\nqueue_timeout = \"500ms\"\n"));
    let mut serving = Client::of(&balancer);
    serving.send(GET);
    origin.await_requests(1);
    let begun = Instant::now();
    let response = Client::of(&balancer).get("/");
    let waited = begun.elapsed();
    assert_eq!(response.status(), 503);
    let retry_after: u64 = response.field("retry-after").unwrap().parse().unwrap();
    assert!(retry_after >= 1, "{response:?}");
    assert!(waited >= Duration::from_millis(400) && waited < SOON, "{waited:?}");
    let line = balancer.logged(&["\"status\":503", "\"reason\":\"queue_timeout\""]);
    assert!(!line.contains("\"qt\":0,"), "{line}");
    gate.open();
    assert_eq!(serving.response().status(), 200);
}

#[test]
fn under_overload_those_who_would_wait_too_long_are_shed_at_once_and_the_worker_is_never_idle() {
    let busy = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&busy);
    let origin = Origin::start(move |mut exchange| {
        while exchange.request().is_some() {
            let begun = Instant::now();
            pause(Duration::from_millis(40));
            counted.fetch_add(begun.elapsed().as_micros() as usize, Ordering::SeqCst);
            if !exchange.send(ok("done")) {
                return;
            }
        }
    });
    let keys = "slots = 1\nqueue_max = 1000\nqueue_timeout = \"800ms\"\n";
    let balancer = Balancer::start("threads = 2", &slots_of(&[&origin], keys));
    let begun = Instant::now();
    let clients: Vec<_> = (0..60)
        .map(|_| {
            let address = balancer.address();
            std::thread::spawn(move || {
                let (mut statuses, mut client) = (Vec::new(), Client::at(address));
                while begun.elapsed() < Duration::from_secs(4) {
                    let sent = Instant::now();
                    let response = client.get("/");
                    statuses.push((response.status(), sent.elapsed()));
                    if response.status() == 503 {
                        assert!(response.field("retry-after").is_some());
                        pause(Duration::from_millis(20));
                    }
                }
                statuses
            })
        })
        .collect();
    let all: Vec<(u16, Duration)> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    // For a busy machine: on one at rest it has worked more than 0.8 of the time, and nobody waits for 1.5 s.
    let worked = busy.load(Ordering::SeqCst) as f64 / begun.elapsed().as_micros() as f64;
    assert!(worked > 0.5, "the worker has worked {worked} of the time");
    assert_eq!(all.iter().filter(|(status, _)| *status == 200).count(), origin.requests().len());
    assert!(all.iter().all(|(status, _)| matches!(status, 200 | 503)));
    let median = |status| {
        let mut times: Vec<Duration> = all.iter().filter(|one| one.0 == status).map(|one| one.1).collect();
        times.sort();
        times[times.len() / 2]
    };
    assert!(median(503) < Duration::from_millis(200), "{:?}", median(503));
    assert!(median(200) < Duration::from_millis(1_500), "{:?}", median(200));
    balancer.logged(&["\"reason\":\"shed\""]);
}

#[test]
fn a_client_that_expects_continue_is_told_by_the_buffer_before_a_worker_is_asked() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(ok(&format!("{} {:?}", request.text(), request.field("expect"))));
        }
    });
    let balancer = Balancer::start("", &slots_of(&[&origin], ONE_SLOT));
    let mut client = Client::of(&balancer);
    for _ in 0..2 {
        let seen = origin.requests().len();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
        assert_eq!(client.response().status(), 100);
        assert_eq!(origin.requests().len(), seen, "no worker is held while the body is on its way");
        client.send("body");
        let response = client.response();
        assert_eq!(response.status(), 200);
        assert!(response.text().starts_with("body "), "{response:?}");
        assert_eq!(origin.requests()[seen].text(), "body");
    }
}

#[test]
fn newest_first_lets_the_oldest_go_when_the_queue_is_full() {
    let gate = Gate::default();
    let origin = held_by(&gate);
    let keys = "slots = 1\nqueue_max = 2\nshed = \"newest_first\"\n";
    let balancer = Balancer::start("", &slots_of(&[&origin], keys));
    let mut serving = Client::of(&balancer);
    serving.send(GET);
    origin.await_requests(1);
    let mut clients: Vec<Client> = (2..5).map(|last| from(&balancer, &format!("127.0.0.{last}"))).collect();
    clients.iter_mut().for_each(|client| client.send(GET));
    balancer.logged(&["\"status\":503", "\"reason\":\"shed\""]);
    gate.open();
    assert_eq!(serving.response().status(), 200);
    let mut statuses: Vec<u16> = clients.iter_mut().map(|client| client.response().status()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503]);
}

#[test]
fn a_connection_goes_with_the_place_from_thread_to_thread() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("threads = 4", &slots_of(&[&origin], ONE_SLOT));
    let mut clients: Vec<Client> = (0..8).map(|_| Client::of(&balancer)).collect();
    for _ in 0..10 {
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
    }
    assert_eq!((origin.requests().len(), origin.connections()), (80, 1));
}

#[test]
fn a_connection_the_worker_has_closed_meanwhile_costs_no_request_whatever_its_method() {
    let closed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&closed);
    // Says nothing of closing, as textbook servers do.
    let origin = Origin::start(move |mut exchange| {
        if exchange.request().is_some() {
            exchange.send(ok("1"));
            exchange.half_close();
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let balancer = Balancer::start("threads = 2", &slots_of(&[&origin], ONE_SLOT));
    let mut clients: Vec<Client> = (0..4).map(|_| Client::of(&balancer)).collect();
    for round in 0..40 {
        let client = &mut clients[round % 4];
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(client.response().status(), 200);
        eventually(|| "a close".into(), || (closed.load(Ordering::SeqCst) > round).then_some(()));
    }
    assert_eq!(origin.requests().len(), 40);
}

#[test]
fn fast_requests_pass_slow_ones_by() {
    let serve = |mut exchange: Exchange| {
        while let Some(request) = exchange.request() {
            pause(Duration::from_millis(if request.target() == "/report" { 400 } else { 2 }));
            if !exchange.send(ok("done")) {
                return;
            }
        }
    };
    let origins = [(); 2].map(|()| Origin::start(serve));
    let mut worst = [Duration::ZERO; 2];
    for (lane, worst) in [false, true].into_iter().zip(&mut worst) {
        let keys = format!("slots = 1\nqueue_timeout = \"30s\"\nslow_lane = {lane}\n");
        let balancer = Balancer::start("threads = 2", &slots_of(&[&origins[0], &origins[1]], &keys));
        let mut client = Client::of(&balancer);
        // Enough for a forecast of both.
        (0..10).for_each(|_| assert_eq!(client.get("/page").status(), 200));
        (0..3).for_each(|_| assert_eq!(client.get("/report").status(), 200));
        let mut slow: Vec<Client> = (0..4).map(|_| Client::of(&balancer)).collect();
        slow.iter_mut().for_each(|client| client.send("GET /report HTTP/1.1\r\nHost: a\r\n\r\n"));
        for _ in 0..50 {
            let begun = Instant::now();
            assert_eq!(client.get("/page").status(), 200);
            *worst = (*worst).max(begun.elapsed());
        }
        slow.iter_mut().for_each(|client| assert_eq!(client.response().status(), 200));
    }
    assert!(worst[0] > Duration::from_millis(300), "{worst:?}: a plain queue makes it wait");
    assert!(worst[1] < Duration::from_millis(200), "{worst:?}");
}

/// How many requests an origin serves at once.
#[derive(Clone, Default)]
struct Busy(Arc<(AtomicUsize, AtomicUsize)>);

impl Busy {
    fn origin(&self, keeps: bool) -> Origin {
        let busy = Arc::clone(&self.0);
        Origin::start(move |mut exchange| {
            while exchange.head().is_some() {
                let now = busy.0.fetch_add(1, Ordering::SeqCst) + 1;
                busy.1.fetch_max(now, Ordering::SeqCst);
                pause(Duration::from_millis(1));
                busy.0.fetch_sub(1, Ordering::SeqCst);
                if !exchange.send(ok("done")) || !keeps {
                    return;
                }
            }
        })
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

/// Answers nothing before the gate is open.
pub(crate) fn held_by(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |mut exchange| {
        while exchange.request().is_some() {
            if !gate.wait() || !exchange.send(ok("done")) {
                return;
            }
        }
    })
}

/// A client with an address of its own.
pub(crate) fn from(balancer: &Balancer, address: &str) -> Client {
    Client::from(address.parse().unwrap(), balancer.address())
}

pub(crate) fn count(balancer: &Balancer, part: &str) -> usize {
    let log = std::fs::read_to_string(balancer.directory().join("access.log")).unwrap_or_default();
    log.lines().filter(|line| line.contains(part)).count()
}

#[expect(clippy::disallowed_methods, reason = "a worker that takes its time")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[test]
fn a_free_place_is_had_at_once_although_others_wait_for_another() {
    let gate = Gate::default();
    let origins = [(); 2].map(|()| held_at(&[("/held", gate.clone())]));
    let keys = "slots = 1\nqueue_max = 1\naffinity = { cookie = \"lb\" }\n";
    let balancer = Balancer::start("threads = 1", &slots_of(&[&origins[0], &origins[1]], keys));
    let mut first = from(&balancer, "127.0.0.2");
    let response = first.get("/");
    let cookie = response.field("set-cookie").unwrap().split(';').next().unwrap();
    let held = format!("GET /held HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n");
    first.send(&held);
    origins[0].await_requests(2);
    let mut waiting = from(&balancer, "127.0.0.3");
    waiting.send(&held);
    await_queued(&balancer, 1);
    assert_eq!(from(&balancer, "127.0.0.4").get("/").status(), 200, "the second endpoint is free");
    assert_eq!(origins[1].requests().len(), 1);
    gate.open();
    assert_eq!((first.response().status(), waiting.response().status()), (200, 200));
}

#[test]
fn those_who_wait_go_on_when_a_reload_takes_the_slots_away() {
    let gates = [Gate::default(), Gate::default()];
    let origin = held_at(&[("/", gates[0].clone()), ("/b", gates[1].clone())]);
    let balancer = Balancer::start("", &slots_of(&[&origin], "slots = 1\n"));
    let mut clients: Vec<Client> = (2..5).map(|last| from(&balancer, &format!("127.0.0.{last}"))).collect();
    clients[0].send(GET);
    origin.await_requests(1);
    clients[1].send(GET);
    await_queued(&balancer, 1);
    rewrite(&balancer, |text| text.replace("slots = 1\n", ""));
    reload(&balancer);
    clients[2].send("GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.await_requests(3);
    gates[0].open();
    assert_eq!((clients[0].response().status(), clients[1].response().status()), (200, 200));
    gates[1].open();
    assert_eq!(clients[2].response().status(), 200);
}

/// Holds requests for some targets until their gates open, and answers the others.
fn held_at(gates: &[(&'static str, Gate)]) -> Origin {
    let gates = gates.to_vec();
    Origin::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            let gate = gates.iter().find(|(target, _)| *target == request.target());
            if gate.is_some_and(|(_, gate)| !gate.wait()) || !exchange.send(ok("done")) {
                return;
            }
        }
    })
}

fn await_queued(balancer: &Balancer, count: u64) {
    let queued = || status(balancer)["pools"][0]["queue"]["length"].as_u64();
    eventually(|| format!("{count} wait, not {:?}", queued()), || (queued() == Some(count)).then_some(()));
}

#[test]
fn a_route_is_not_slow_because_clients_take_its_responses_slowly() {
    is_not_slow_after("GET", |balancer| {
        let mut slow = [(); 2].map(|()| {
            let mut client = Client::slow_reader(balancer);
            client.send("GET /file?large HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        });
        pause(Duration::from_secs(3));
        slow.iter_mut().for_each(|client| assert_eq!(client.response().body.len(), 8 << 20));
    });
}

#[test]
fn a_route_is_not_slow_because_clients_send_their_bodies_slowly() {
    is_not_slow_after("POST", |balancer| {
        let mut slow = [(); 2].map(|()| {
            let mut client = Client::of(balancer);
            client.send("POST /file HTTP/1.1\r\nHost: a\r\nContent-Length: 2097152\r\n\r\n");
            // More than is held of it.
            client.send(vec![b'a'; 3 << 19]);
            client
        });
        pause(Duration::from_secs(3));
        for client in &mut slow {
            client.send(vec![b'a'; 1 << 19]);
            assert_eq!(client.response().status(), 200);
        }
    });
}

/// Asserts that requests for `/file` get all places at once after what has happened.
fn is_not_slow_after(method: &str, happens: impl Fn(&Balancer)) {
    let gate = Gate::default();
    let origins = [(); 4].map(|()| {
        let gate = gate.clone();
        Origin::start(move |mut exchange: Exchange| {
            while let Some(request) = exchange.request() {
                let sent = match request.target() {
                    "/file?large" => {
                        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n") && exchange.pour(8 << 20)
                    }
                    "/file?held" => gate.wait() && exchange.send(ok("done")),
                    _ => {
                        // So that what is slow takes much longer than all that the machine does.
                        pause(Duration::from_millis(50));
                        exchange.send(ok("done"))
                    }
                };
                if !sent {
                    return;
                }
            }
        })
    });
    let all: Vec<&Origin> = origins.iter().collect();
    let keys = "slots = 1\nqueue_timeout = \"60s\"\nbuffer_response = \"64KiB\"\n";
    let balancer = Balancer::start("", &slots_of(&all, keys));
    let mut fast = Client::of(&balancer);
    (0..16).for_each(|_| assert_eq!(fast.get("/page").status(), 200));
    happens(&balancer);
    let mut asked: Vec<Client> = (0..4).map(|_| Client::of(&balancer)).collect();
    let held = format!("{method} /file?held HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    asked.iter_mut().for_each(|client| client.send(&held));
    let held = || origins.iter().flat_map(Origin::requests).filter(|request| request.target() == "/file?held").count();
    let queued = || status(&balancer)["pools"][0]["queue"]["length"].as_u64().unwrap() as usize;
    eventually(|| "four that are served or wait".into(), || (held() + queued() == 4).then_some(()));
    assert_eq!(held(), 4, "all places are for what is not slow");
    gate.open();
    asked.iter_mut().for_each(|client| assert_eq!(client.response().status(), 200));
}

#[test]
fn a_new_kind_that_is_slow_leaves_the_last_place_before_any_of_it_has_ended() {
    let gate = Gate::default();
    let origins = [(); 4].map(|()| held_at(&[("/report", gate.clone())]));
    let all: Vec<&Origin> = origins.iter().collect();
    let balancer = Balancer::start("", &slots_of(&all, "slots = 1\nqueue_timeout = \"60s\"\n"));
    let mut fast = Client::of(&balancer);
    (0..8).for_each(|_| assert_eq!(fast.get("/page").status(), 200));
    let mut reports: Vec<Client> = (0..6).map(|_| Client::of(&balancer)).collect();
    reports.iter_mut().for_each(|client| client.send("GET /report HTTP/1.1\r\nHost: a\r\n\r\n"));
    await_queued(&balancer, 3);
    (0..8).for_each(|_| assert_eq!(fast.get("/page").status(), 200));
    let reported = origins.iter().flat_map(Origin::requests).filter(|request| request.target() == "/report").count();
    assert_eq!(reported, 3);
    gate.open();
    reports.iter_mut().for_each(|client| assert_eq!(client.response().status(), 200));
}
