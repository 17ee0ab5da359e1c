//! Endpoints that are taken out of their pool, and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::harness::{Balancer, Client, Deaf, Exchange, Origin, Refusing, eventually, ok, pool_at, pool_of};
use super::program::{Program, get, workers};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// Of a test that does not wait for the end of an ejection.
const LONG: &str = "eject_time = \"5m\"\n";
/// Asked often enough for a test, and by one answer.
const PROBE: &str = "[pool.app.probe]\npath = \"/health\"\ninterval = \"20ms\"\nrise = 1\nfall = 1\n";

/// An origin whose answer to `/health` is set by the test, and whose answer to everything else is `name`.
fn probed(name: &'static str, health: &Arc<AtomicU16>) -> Origin {
    let health = Arc::clone(health);
    Origin::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            let status = health.load(Ordering::SeqCst);
            match request.target() {
                "/health" if status == 0 => drop(exchange.read_to_end()),
                "/health" => drop(exchange.send(format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n"))),
                _ => drop(exchange.send(ok(name))),
            }
        }
    })
}

/// Requests other than probes.
fn served(origin: &Origin) -> usize {
    origin.requests().iter().filter(|request| request.target() != "/health").count()
}

/// Statuses of so many requests on one connection.
fn statuses(balancer: &Balancer, count: usize) -> Vec<u16> {
    let mut client = Client::of(balancer);
    (0..count).map(|_| client.get("/").status()).collect()
}

#[test]
fn a_refusing_endpoint_is_ejected_and_asked_no_more() {
    let (refusing, origin) = (Refusing::start(), Origin::named("1"));
    let mut balancer = Balancer::start("", &(pool_at(&[refusing.address(), origin.address()]) + LONG));
    assert_eq!(statuses(&balancer, 40), [200; 40]);
    let log = balancer.await_stderr("is ejected");
    let line = format!(
        "pool app: {} is ejected for 5 min: 5 requests in a row failed (the last: connect_failed); then one request decides",
        refusing.address()
    );
    assert!(log.contains(&line), "{log}");
    assert_eq!(log.matches("connect_failed").count(), 1, "told once");
    // Lines are in order, so all are there with the last.
    Client::of(&balancer).get("/last");
    balancer.logged(&["/last"]);
    let access = std::fs::read_to_string(balancer.directory().join("access.log")).unwrap();
    assert_eq!(access.matches("\"attempts\":2").count(), 5);
}

#[test]
fn a_black_hole_costs_a_few_requests_their_connect_timeout_and_none_its_answer() {
    let (deaf, origin) = (Deaf::start(), Origin::named("1"));
    let balancer =
        Balancer::start("", &(pool_at(&[deaf.address(), origin.address()]) + "connect_timeout = \"50ms\"\n" + LONG));
    assert_eq!(statuses(&balancer, 40), [200; 40]);
    balancer.await_end_of_log("(the last: connect_timeout)");
}

#[test]
fn an_endpoint_that_accepts_and_never_answers_is_ejected() {
    let (silent, origin) = (Origin::silent(), Origin::named("1"));
    let balancer = Balancer::start("", &(pool_of(&[&silent, &origin]) + "response_timeout = \"500ms\"\n" + LONG));
    let statuses = statuses(&balancer, 40);
    assert_eq!(statuses.iter().filter(|status| **status == 504).count(), 5, "{statuses:?}");
    assert_eq!(statuses[10..], [200; 30]);
    balancer.await_end_of_log("(the last: response_timeout)");
}

#[test]
fn an_endpoint_that_breaks_off_wherever_is_ejected() {
    for (part, reason) in [
        ("", "closed_early"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "closed_early"),
        ("rubbish\r\n\r\n", "bad_response"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "truncated"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf", "truncated"),
    ] {
        for by_reset in [false, true] {
            let bad = Origin::start(move |mut exchange| {
                exchange.request();
                exchange.send(part);
                if by_reset {
                    exchange.reset();
                }
            });
            let good = Origin::named("good");
            let mut balancer = Balancer::start("", &(pool_of(&[&bad, &good]) + LONG));
            for _ in 0..20 {
                let mut client = Client::of(&balancer);
                client.send(GET);
                client.await_answer();
            }
            let log = balancer.await_stderr("is ejected");
            // A reset may overtake what was sent before it.
            assert!(by_reset || log.contains(&format!("(the last: {reason})")), "{part:?}: {log}");
            assert_eq!(bad.requests().len(), 5, "{part:?}");
        }
    }
}

#[test]
fn answers_that_tell_of_a_broken_endpoint_eject_it_and_others_do_not() {
    for (status, ejects) in
        [(500, true), (502, true), (503, true), (504, true), (501, false), (505, false), (404, false), (429, false)]
    {
        let bad = Origin::answering(format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n"));
        let good = Origin::named("good");
        let balancer = Balancer::start("", &(pool_of(&[&bad, &good]) + LONG));
        statuses(&balancer, 40);
        assert_eq!(bad.requests().len(), if ejects { 5 } else { 20 }, "{status}");
        if ejects {
            balancer.await_end_of_log(&format!("(the last: status {status})"));
        }
    }
}

#[test]
fn a_fast_failer_beside_three_good_ones_gets_hardly_anything() {
    for policy in ["round_robin", "least_connections", "two_choices", "random"] {
        let failing = Origin::answering("HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n");
        let worker = |mut exchange: Exchange| {
            while exchange.request().is_some() {
                std::thread::park_timeout(Duration::from_millis(5));
                exchange.send(ok("good"));
            }
        };
        let good = [Origin::start(worker), Origin::start(worker), Origin::start(worker)];
        let pool = pool_of(&[&failing, &good[0], &good[1], &good[2]]);
        let balancer = Balancer::start("", &format!("{pool}policy = {policy:?}\n"));
        let failed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let count = statuses(&balancer, 100).iter().filter(|status| **status == 500).count();
                    failed.fetch_add(count, Ordering::Relaxed);
                });
            }
        });
        // Five in a row, and what the other clients had under way there by then.
        assert!(failed.load(Ordering::Relaxed) <= 5 + 8, "{policy}: {failed:?} of 800");
    }
}

#[test]
fn an_ejected_endpoint_comes_back_by_one_request() {
    let well = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&well);
    let sick = Origin::start(move |mut exchange| {
        while exchange.request().is_some() {
            let answer = if state.load(Ordering::SeqCst) {
                ok("back")
            } else {
                "HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n".into()
            };
            exchange.send(answer);
        }
    });
    let good = Origin::named("good");
    let balancer = Balancer::start("", &(pool_of(&[&sick, &good]) + "eject_time = \"20ms\"\n"));
    let mut client = Client::of(&balancer);
    let again = " ms more: the request on probation failed (status 500)";
    eventually(
        || "two ejections".into(),
        || {
            client.get("/");
            (sick.requests().len() >= 7).then_some(())
        },
    );
    balancer.await_end_of_log(again);
    well.store(true, Ordering::SeqCst);
    eventually(|| "its answer".into(), || (client.get("/").text() == "back").then_some(()));
    balancer.await_end_of_log("is back after ");
    let texts: Vec<String> = (0..4).map(|_| client.get("/").text()).collect();
    assert_eq!(texts.iter().filter(|text| *text == "back").count(), 2, "{texts:?}");
}

#[test]
fn an_endpoint_that_restarts_on_the_same_port_loses_no_request_and_comes_back() {
    let (refusing, good) = (Refusing::start(), Origin::named("good"));
    let address = refusing.address();
    let balancer = Balancer::start(
        "",
        &(pool_at(&[address.clone(), good.address()]) + "eject_after = 2\neject_time = \"20ms\"\n"),
    );
    assert_eq!(statuses(&balancer, 10), [200; 10]);
    drop(refusing);
    let _restarted =
        Origin::start_at(&address, |mut exchange| while exchange.request().is_some() && exchange.send(ok("back")) {});
    let mut client = Client::of(&balancer);
    eventually(
        || "its return".into(),
        || {
            let response = client.get("/");
            assert_eq!(response.status(), 200);
            (response.text() == "back").then_some(())
        },
    );
}

#[test]
fn a_flapping_endpoint_is_out_for_longer_each_time() {
    let flapping = Origin::answering("HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n");
    let good = Origin::named("good");
    let balancer = Balancer::start("", &(pool_of(&[&flapping, &good]) + "eject_time = \"50ms\"\n"));
    let (mut client, begun) = (Client::of(&balancer), Instant::now());
    while begun.elapsed() < Duration::from_millis(800) {
        client.get("/");
    }
    // 50 + 100 + 200 + 400 ms are over after 750 ms: the first five requests, and one after each.
    assert!(flapping.requests().len() <= 9, "{}", flapping.requests().len());
}

#[test]
fn when_all_fail_all_are_asked_and_the_first_answer_is_passed_on() {
    let well = Arc::new(AtomicBool::new(false));
    let origin = || {
        let state = Arc::clone(&well);
        Origin::start(move |mut exchange| {
            while exchange.request().is_some() && state.load(Ordering::SeqCst) && exchange.send(ok("well")) {}
        })
    };
    let origins = [origin(), origin(), origin()];
    let balancer = Balancer::start("", &(pool_of(&[&origins[0], &origins[1], &origins[2]]) + LONG));
    assert_eq!(statuses(&balancer, 10), [502; 10]);
    balancer.await_end_of_log(" of 3 endpoints are available, fewer than 50%: all are used");
    well.store(true, Ordering::SeqCst);
    assert_eq!(statuses(&balancer, 10), [200; 10], "nobody waits for the end of an ejection");
    balancer.await_end_of_log("enough endpoints are available");
}

#[test]
fn clients_that_leave_and_requests_that_are_wrong_eject_nobody() {
    let slow = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            match request.target() {
                "/slow" => drop(exchange.read_to_end()),
                _ => drop(exchange.send(ok("fine"))),
            }
        }
    });
    let other = Origin::named("other");
    let balancer =
        Balancer::start("", &(pool_of(&[&slow, &other]) + "policy = \"hash\"\nhash_key = \"header:x-to\"\n" + LONG));
    // Some key leads to each.
    let mut client = Client::of(&balancer);
    let mut ask = |key: usize| {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-To: {key}\r\n\r\n"));
        client.response().text()
    };
    let key = (0..100).find(|key| ask(*key) == "fine").unwrap();
    for round in 0..8 {
        let mut leaver = Client::of(&balancer);
        leaver.send(format!("GET /slow HTTP/1.1\r\nHost: a\r\nX-To: {key}\r\n\r\n"));
        eventually(
            || "its request".into(),
            || (slow.requests().iter().filter(|request| request.target() == "/slow").count() > round).then_some(()),
        );
        drop(leaver);
        let mut broken = Client::of(&balancer);
        broken.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nX-To: {key}\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"));
        assert_eq!(broken.response().status(), 400);
    }
    slow.await_ends(8);
    assert_eq!(ask(key), "fine");
}

#[test]
fn a_name_that_is_gone_costs_no_request() {
    let origin = Origin::named("1");
    let gone = "no-such-name.invalid:80".to_owned();
    let balancer = Balancer::start("", &(pool_at(&[gone, origin.address()]) + "connect_timeout = \"100ms\"\n" + LONG));
    assert_eq!(statuses(&balancer, 20), [200; 20]);
    balancer.await_end_of_log("no-such-name.invalid:80 is ejected");
}

#[test]
fn a_probe_takes_an_endpoint_out_and_brings_it_back() {
    // 0 is no answer at all.
    for (sick, why) in [(404, "status 404"), (503, "status 503"), (0, "no answer within 100 ms")] {
        let health = Arc::new(AtomicU16::new(200));
        let (origin, good) = (probed("probed", &health), Origin::named("good"));
        let balancer = Balancer::start("", &(pool_of(&[&origin, &good]) + PROBE + "timeout = \"100ms\"\n"));
        eventually(|| "a first probe".into(), || (origin.requests().len() > served(&origin)).then_some(()));
        assert_eq!(statuses(&balancer, 4), [200; 4]);
        assert_eq!(served(&origin), 2);
        health.store(sick, Ordering::SeqCst);
        balancer.await_end_of_log(&format!("{} is down: its probe failed ({why})", origin.address()));
        assert_eq!(statuses(&balancer, 10), [200; 10]);
        assert_eq!(served(&origin), 2, "{why}");
        health.store(204, Ordering::SeqCst);
        balancer.await_end_of_log(&format!("{} is up after ", origin.address()));
        assert_eq!(statuses(&balancer, 4), [200; 4]);
        assert_eq!(served(&origin), 4, "{why}");
    }
}

#[test]
fn a_probe_without_a_path_asks_for_a_connection() {
    let (refusing, good) = (Refusing::start(), Origin::named("good"));
    let balancer = Balancer::start(
        "",
        &(pool_at(&[refusing.address(), good.address()]) + "[pool.app.probe]\ninterval = \"20ms\"\n"),
    );
    balancer.await_end_of_log("is down: its probe failed (Connection refused");
    assert_eq!(statuses(&balancer, 10), [200; 10]);
    balancer.logged(&["\"attempts\":1"]);
}

#[test]
fn a_probe_that_fails_everywhere_takes_nobody_out() {
    let health = Arc::new(AtomicU16::new(404));
    let origins = [probed("1", &health), probed("2", &health)];
    let balancer = Balancer::start("", &(pool_of(&[&origins[0], &origins[1]]) + PROBE));
    for origin in &origins {
        balancer.await_end_of_log(&format!("{} is down", origin.address()));
    }
    assert_eq!(statuses(&balancer, 10), [200; 10]);
    assert_eq!([served(&origins[0]), served(&origins[1])], [5, 5]);
}

#[test]
fn without_a_panic_threshold_a_pool_that_is_down_says_so_at_once() {
    let health = Arc::new(AtomicU16::new(404));
    let origin = probed("1", &health);
    let balancer = Balancer::start("", &(pool_of(&[&origin]) + "panic_threshold = \"0%\"\n" + PROBE));
    balancer.await_end_of_log(" is down");
    let response = Client::of(&balancer).get("/");
    assert_eq!((response.status(), response.field("retry-after")), (503, Some("1")));
    balancer.logged(&["\"reason\":\"no_endpoint\""]);
}

#[test]
fn a_worker_that_hangs_is_out_by_its_probe_and_back_when_it_goes_on() {
    let probe = "[pool.app.probe]\npath = \"/hello\"\ninterval = \"40ms\"\ntimeout = \"200ms\"\nrise = 1\n";
    let program = Program::serve_ready("hangs", &(workers(2) + probe), 2);
    let worker = program.until_ready(2).remove(0);
    let pid = Pid::from_raw(worker.pid);
    kill(pid, Signal::SIGSTOP).unwrap();
    program.stderr.until(&format!("{} is down: ", worker.name));
    for _ in 0..10 {
        assert_eq!(get(program.address(), "/").unwrap().0, 200);
    }
    kill(pid, Signal::SIGCONT).unwrap();
    program.stderr.until(&format!("{} is up after ", worker.name));
    let bodies: Vec<String> = (0..4).map(|_| get(program.address(), "/").unwrap().1).collect();
    assert!(bodies.contains(&"server 1\n".into()) && bodies.contains(&"server 2\n".into()), "{bodies:?}");
    assert!(!program.stderr.now().contains(" died"), "it was not killed for that");
}

#[test]
fn killing_one_worker_after_another_costs_no_get() {
    let program = Program::serve_ready("one-after-another", &workers(4), 4);
    let (address, done) = (program.address(), AtomicBool::new(false));
    let answered: [AtomicUsize; 6] = Default::default();
    let wrong: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = answered
            .iter()
            .map(|answered| {
                scope.spawn(|| {
                    let mut wrong = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        let answer = get(address, "/delay?ms=5");
                        if answer.as_ref().is_none_or(|(status, _)| *status != 200) {
                            wrong.push(answer);
                        }
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    wrong
                })
            })
            .collect();
        for round in 0..8 {
            let victim = program.until_ready(4 + round).remove(round);
            let before: Vec<usize> = answered.iter().map(|one| one.load(Ordering::Relaxed)).collect();
            kill(Pid::from_raw(victim.pid), Signal::SIGKILL).unwrap();
            program.until_ready(5 + round);
            // A request that two workers have cut goes to no third: none of them meets two deaths.
            let has_gone_on =
                || before.iter().zip(&answered).all(|(before, now)| now.load(Ordering::Relaxed) > *before);
            eventually(|| "an answer to each client".into(), || has_gone_on().then_some(()));
        }
        done.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} failed, such as {:?}", wrong.len(), wrong[0]);
}

#[test]
fn a_retry_goes_to_an_ejected_endpoint_before_the_one_that_has_just_failed_it() {
    for slots in ["", "slots = 1\n"] {
        let (first_fails, second_fails) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let script = |fails: &Arc<AtomicBool>, failing: &'static str| {
            let fails = Arc::clone(fails);
            Origin::start(move |mut exchange| {
                while exchange.request().is_some() {
                    let answer = if fails.load(Ordering::SeqCst) { failing.to_owned() } else { ok("well") };
                    // Nothing to say: it closes.
                    if answer.is_empty() || !exchange.send(answer) {
                        return;
                    }
                }
            })
        };
        let broken = "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n";
        let (first, second) = (script(&first_fails, ""), script(&second_fails, broken));
        let keys = format!("{slots}eject_after = 3\neject_time = \"300s\"\n");
        let mut balancer = Balancer::start("", &format!("{}{keys}", pool_of(&[&first, &second])));
        let mut client = Client::of(&balancer);
        while served(&second) < 3 {
            client.get("/");
        }
        balancer.await_stderr_of(&second.address(), "is ejected for 5 min");
        second_fails.store(false, Ordering::SeqCst);
        first_fails.store(true, Ordering::SeqCst);
        assert_eq!(client.get("/last").text(), "well", "{slots}");
        assert_eq!(second.requests().last().unwrap().target(), "/last");
        balancer.await_stderr_of(&second.address(), "is back after");
    }
}

#[test]
fn an_ejected_endpoint_that_takes_connections_again_is_asked_before_its_time_is_over() {
    for slots in ["", "slots = 1\n"] {
        let well = Origin::named("well");
        let address = {
            let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            nobody.local_addr().unwrap().to_string()
        };
        let keys = format!("{slots}eject_after = 1\neject_time = \"300s\"\n");
        let pool = format!("{}{keys}", pool_at(&[well.address(), address.clone()]));
        let mut balancer = Balancer::start("", &pool);
        let mut client = Client::of(&balancer);
        (0..4).for_each(|_| assert_eq!(client.get("/").text(), "well"));
        balancer.await_stderr_of(&address, "is ejected for 5 min");
        let again = Origin::start_at(
            &address,
            |mut exchange| while exchange.request().is_some() && exchange.send(ok("again")) {},
        );
        let asked = || (client.get("/").text() == "again").then_some(());
        eventually(|| "an answer of the other".into(), asked);
        balancer.await_stderr_of(&address, "takes connections again");
        balancer.await_stderr_of(&address, "is back after");
        drop(again);
    }
}

#[test]
fn with_nobody_else_left_an_ejected_endpoint_is_asked_at_once() {
    for slots in ["", "slots = 1\n"] {
        let broken = Arc::new(AtomicBool::new(true));
        let is_broken = Arc::clone(&broken);
        let origin = Origin::start(move |mut exchange| {
            while exchange.request().is_some() {
                let broken = "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n".to_owned();
                exchange.send(if is_broken.load(Ordering::SeqCst) { broken } else { ok("well") });
            }
        });
        let refusing = Refusing::start();
        let keys = format!("{slots}eject_after = 1\neject_time = \"300s\"\npanic_threshold = \"0%\"\n");
        let pool = format!("{}{keys}", pool_at(&[origin.address(), refusing.address()]));
        let mut balancer = Balancer::start("", &pool);
        let mut client = Client::of(&balancer);
        while client.get("/").status() != 500 {}
        balancer.await_stderr_of(&origin.address(), "is ejected for 5 min");
        client.get("/");
        balancer.await_stderr_of(&refusing.address(), "is ejected for 5 min");
        broken.store(false, Ordering::SeqCst);
        // One that is asked early and refuses costs a retry, and no answer.
        for _ in 0..6 {
            assert_eq!(client.get("/").text(), "well", "{slots}");
        }
        balancer.await_stderr_of(&origin.address(), "is back after");
    }
}
