use std::io::{Read as _, Write as _};
use std::{net::TcpListener, sync::mpsc};

use super::{answer::Fault, get::Get, *};

/// Answers connections one after the other with what `script` returns for the request's first line; `None` closes.
fn server(script: impl Fn(&str) -> Option<&'static str> + Send + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut bytes) = (stream.unwrap(), [0; 1024]);
            let length = stream.read(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if let Some(answer) = script(text.lines().next().unwrap_or_default()) {
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    port
}

fn at(milliseconds: u64, kind: usize) -> Arrival {
    Arrival { due: Duration::from_millis(milliseconds), kind }
}

fn sent(arrivals: Vec<Arrival>, clients: Clients, patience: Duration, get: Get) -> Vec<Sent> {
    let load = Load::start(Plan { pace: Pace::at(arrivals), clients, patience }, get).unwrap();
    let mut sent = load.wait(&[], &Events::default()).unwrap().unwrap();
    sent.sort_by_key(|one| one.number);
    sent
}

fn get(port: u16, paths: &'static [&'static str]) -> Get {
    Get { address: local(port), paths, keep: false }
}

const PATIENCE: Duration = Duration::from_secs(20);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn each_client_tells_what_became_of_it() {
    let port = server(|line| match line {
        "GET /fast HTTP/1.1" => Some(OK),
        "GET /full HTTP/1.1" => Some("HTTP/1.1 503 No\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n"),
        "GET /cut HTTP/1.1" => Some("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
        "GET /rubbish HTTP/1.1" => Some("SSH-2.0-x\r\n\r\n"),
        _ => None,
    });
    let arrivals = (0..5).map(|kind| at(kind as u64, kind)).collect();
    let get = get(port, &["/fast", "/full", "/cut", "/rubbish", "/closed"]);
    let ends: Vec<End> = sent(arrivals, Clients::Fresh(100), PATIENCE, get).iter().map(|one| one.end).collect();
    let answered = |status, retry_after| End::Answered { status, retry_after };
    let [cut, rubbish] = [Fault::Cut, Fault::Rubbish].map(End::Failed);
    assert_eq!(ends, [answered(200, false), answered(503, true), cut, rubbish, cut]);
}

#[test]
fn latency_counts_from_when_a_request_was_due() {
    let (released, gate) = mpsc::channel::<()>();
    let port = server(move |_| {
        gate.recv().unwrap();
        Some(OK)
    });
    // The first is held until the third has long been due; the server serves one after the other.
    let holder = thread::spawn(move || {
        let until = Instant::now() + Duration::from_millis(150);
        while Instant::now() < until {
            thread::yield_now();
        }
        (0..3).for_each(|_| released.send(()).unwrap());
    });
    let sent = sent(vec![at(0, 0), at(10, 0), at(50, 0)], Clients::Fresh(100), PATIENCE, get(port, &["/"]));
    holder.join().unwrap();
    let mut latencies: Vec<_> = sent.iter().map(|one| one.latency().as_millis()).collect();
    latencies.sort_unstable();
    assert!(latencies[0] >= 90 && latencies[1] >= 130 && latencies[2] >= 140, "{latencies:?}");
}

#[test]
fn nobody_waits_for_ever_and_no_more_come_than_allowed() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let arrivals = vec![at(0, 0), at(0, 0), at(0, 0)];
    let silent = sent(arrivals.clone(), Clients::Fresh(2), Duration::from_millis(50), get(port, &["/"]));
    let count = |fault| silent.iter().filter(|one| one.end == End::Failed(fault)).count();
    assert_eq!((count(Fault::TimedOut), count(Fault::NotSent)), (2, 1));
    drop(listener);
    let refused = sent(arrivals[..1].to_vec(), Clients::Fresh(2), PATIENCE, get(port, &["/"]));
    assert_eq!(refused[0].end, End::Failed(Fault::Unconnected));
}

#[test]
fn a_late_answer_delays_what_was_due_meanwhile_and_counts_or_is_left_out() {
    for (clients, left_out) in [(Clients::Kept(1), false), (Clients::Forgetful(1, Duration::from_millis(50)), true)] {
        // One connection, and an origin that takes its time with the first answer.
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let origin = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut piece, mut pause) = ([0; 512], Duration::from_millis(300));
            while stream.read(&mut piece).unwrap() > 0 {
                let until = Instant::now() + std::mem::take(&mut pause);
                while Instant::now() < until {
                    thread::yield_now();
                }
                stream.write_all(OK.as_bytes()).unwrap();
            }
        });
        let arrivals: Vec<Arrival> = arrivals::evenly(100.0).take(60).collect();
        let plan = Plan { pace: Pace::at(arrivals), clients, patience: PATIENCE };
        let load = Load::start(plan, Get { address, paths: &["/"], keep: true }).unwrap();
        let sent = load.wait(&[], &Events::default()).unwrap().unwrap();
        let skipped = load.skipped();
        drop(load);
        origin.join().unwrap();
        assert!(sent.iter().all(Sent::is_served), "{sent:?}");
        assert_eq!(sent.len() as u64 + skipped, 60);
        // About 30 were due during the pause; a closed loop would have noticed one.
        let late = sent.iter().filter(|one| one.latency() > Duration::from_millis(100)).count();
        assert!(if left_out { skipped > 10 && late < 10 } else { skipped == 0 && late > 10 }, "{late} {skipped}");
    }
}

#[test]
fn clients_that_ask_again_and_again_end_when_they_are_stopped_and_with_the_load() {
    let port = server(|_| Some(OK));
    let plan = || Plan { pace: Pace::CLOSED, clients: Clients::Kept(3), patience: PATIENCE };
    let load = Load::start(plan(), get(port, &["/"])).unwrap();
    while load.sent().len() < 20 {
        thread::yield_now();
    }
    load.stop();
    let sent = load.wait(&[], &Events::default()).unwrap().unwrap();
    assert!(load.has_ended() && sent.len() as u64 == load.issued() && sent.iter().all(Sent::is_served));
    let load = Load::start(plan(), get(port, &["/"])).unwrap();
    let shared = Arc::clone(&load.shared);
    drop(load);
    while Arc::strong_count(&shared) > 1 {
        thread::yield_now();
    }
}
