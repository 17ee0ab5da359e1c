//! Clients that are slow while others wait for the places they hold, and slow clients where nobody waits.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::harness::{Balancer, Client, Ended, Origin, eventually, ok};
use super::slots::{GET, count, from, slots_of};

const MIB: usize = 1 << 20;
/// Without pressure from the queue, those who hold the places would hold them for minutes: then others get 503 after this time.
pub(super) const PATIENT: &str = "slots = 1\nqueue_timeout = \"15s\"\n";

#[test]
fn slow_uploads_that_do_not_fit_into_the_buffer_make_room_for_those_who_wait() {
    for (framing, begin) in [("Content-Length: 2097152", ""), ("Transfer-Encoding: chunked", "200000\r\n")] {
        let origins = [reading(), reading()];
        let balancer = Balancer::start("", &slots_of(&[&origins[0], &origins[1]], PATIENT));
        let head = format!("POST /up HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{begin}");
        let uploads = [(); 2].map(|()| Dripping::start(&balancer, head.clone(), 1_150_000, 300));
        origins.iter().for_each(|origin| origin.await_requests(1));
        for _ in 0..3 {
            assert_eq!(Client::of(&balancer).get("/").status(), 200);
        }
        balancer.logged(&["\"target\":\"/up\"", "\"status\":408", "\"reason\":\"slow_body\""]);
        drop(uploads);
    }
}

#[test]
fn many_slow_uploads_keep_nobody_for_long() {
    let origins = [reading(), reading()];
    let keys = "slots = 1\nqueue_timeout = \"6s\"\n";
    let balancer = Balancer::start("threads = 2", &slots_of(&[&origins[0], &origins[1]], keys));
    let head = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 2097152\r\n\r\n";
    let uploads: Vec<_> = (0..12).map(|_| Dripping::start(&balancer, head.into(), 1_150_000, 300)).collect();
    origins.iter().for_each(|origin| origin.await_requests(1));
    for _ in 0..20 {
        assert_eq!(Client::of(&balancer).get("/").status(), 200);
    }
    drop(uploads);
}

#[test]
fn a_slow_upload_keeps_its_place_while_nobody_waits_for_it() {
    let origin = reading();
    let balancer = Balancer::start("", &slots_of(&[&origin], PATIENT));
    let head = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1060000\r\n\r\n";
    let upload = Dripping::start(&balancer, head.into(), 1_050_000, 300);
    // 3 KB a second.
    eventually(|| "the end of the upload".into(), || (count(&balancer, "\"target\":\"/up\"") == 1).then_some(()));
    balancer.logged(&["\"target\":\"/up\"", "\"status\":200"]);
    drop(upload);
}

#[test]
fn a_client_that_takes_another_path_slowly_each_time_is_remembered_for_all() {
    let origin = pouring("", 8 * MIB);
    let balancer = Balancer::start("", &slots_of(&[&origin], PATIENT));
    for number in 0..5 {
        let mut slow = Client::slow_reader(&balancer);
        // No two are of one kind: what looks like a number would be.
        slow.send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(number + 1)));
        eventually(|| "a response".into(), || (origin.requests().len() > 2 * number).then_some(()));
        assert_eq!(from(&balancer, "127.0.0.2").get("/").text(), "small", "{number}");
    }
    // It gets the only place once nobody else has asked for a while, and no sooner.
    let mut again = Client::slow_reader(&balancer);
    again.send("GET /something/else HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..20 {
        assert_eq!(from(&balancer, "127.0.0.2").get("/").text(), "small");
    }
    assert!(origin.requests().iter().all(|request| request.target() != "/something/else"));
}

#[test]
fn slow_readers_of_large_responses_make_room_for_those_who_wait() {
    let origins = [pouring("", 48 * MIB), pouring("", 48 * MIB)];
    let keys = format!("{PATIENT}buffer_response = \"64KiB\"\n");
    let balancer = Balancer::start("", &slots_of(&[&origins[0], &origins[1]], &keys));
    let readers: Vec<Client> = (0..4).map(|_| reader(&balancer)).collect();
    origins.iter().for_each(|origin| origin.await_requests(1));
    for _ in 0..3 {
        assert_eq!(Client::of(&balancer).get("/").text(), "small");
    }
    balancer.logged(&["\"target\":\"/large\"", "\"status\":200", "\"reason\":\"client_slow\""]);
    drop(readers);
}

#[test]
fn many_slow_readers_keep_nobody_for_long() {
    let origins = [pouring("", 48 * MIB), pouring("", 48 * MIB)];
    let keys = "slots = 1\nqueue_timeout = \"6s\"\n";
    let balancer = Balancer::start("threads = 2", &slots_of(&[&origins[0], &origins[1]], keys));
    let readers: Vec<Client> = (0..20).map(|_| reader(&balancer)).collect();
    origins.iter().for_each(|origin| origin.await_requests(1));
    for _ in 0..30 {
        assert_eq!(Client::of(&balancer).get("/").text(), "small");
    }
    drop(readers);
}

#[test]
fn an_idle_backup_helps_nobody_who_may_not_have_it_and_keeps_no_slow_client() {
    let (origin, backup) = (reading(), Origin::named("backup"));
    let pool = format!(
        "[pool.app]\nendpoints = [\"{}\", {{ address = \"{}\", backup = true }}]\n{PATIENT}",
        origin.address(),
        backup.address()
    );
    let balancer = Balancer::start("", &pool);
    let head = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 2097152\r\n\r\n";
    let upload = Dripping::start(&balancer, head.into(), 1_150_000, 300);
    origin.await_requests(1);
    assert_eq!(Client::of(&balancer).get("/").status(), 200);
    balancer.logged(&["\"target\":\"/up\"", "\"status\":408"]);
    assert_eq!(backup.connections(), 0);
    drop(upload);
}

#[test]
fn fifty_slow_uploads_and_fifty_slow_readers_have_nobody_refused() {
    let origins = [(); 4].map(|()| pouring("", 10 * MIB));
    let all: Vec<&Origin> = origins.iter().collect();
    let balancer = Balancer::start("threads = 2", &slots_of(&all, "slots = 1\n"));
    let head = "POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 2097152\r\n\r\n";
    let uploads: Vec<_> = (0..50).map(|_| Dripping::start(&balancer, head.into(), 1_150_000, 300)).collect();
    let readers: Vec<Client> = (0..50).map(|_| reader(&balancer)).collect();
    origins.iter().for_each(|origin| origin.await_requests(1));
    for _ in 0..100 {
        assert_eq!(from(&balancer, "127.0.0.2").get("/").text(), "small");
    }
    drop((uploads, readers));
}

#[test]
fn a_client_that_has_kept_the_only_place_gets_it_again_when_nobody_else_asks() {
    let origin = reading();
    let balancer = Balancer::start("", &slots_of(&[&origin], "slots = 1\nqueue_timeout = \"4s\"\n"));
    let head = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 2097152\r\n\r\n";
    let upload = || Dripping::start(&balancer, head.into(), 1_150_000, 300);
    let innocent = || assert_eq!(from(&balancer, "127.0.0.2").get("/").status(), 200);
    let first = upload();
    origin.await_requests(1);
    innocent();
    balancer.logged(&["\"target\":\"/up\"", "\"status\":408"]);
    let second = upload();
    while count(&balancer, "\"reason\":\"queue_timeout\"") == 0 {
        innocent();
    }
    let before = origin.requests().len();
    let third = upload();
    origin.await_requests(before + 1);
    let uploads = origin.requests().iter().filter(|request| request.target() == "/up").count();
    assert_eq!(uploads, 2, "the second never had a place");
    drop((first, second, third));
}

#[test]
fn who_waits_for_its_own_endpoint_presses_whoever_keeps_that_one() {
    let origins = [reading(), reading()];
    let keys = format!("{PATIENT}affinity = {{ cookie = \"lb\" }}\n");
    let balancer = Balancer::start("", &slots_of(&[&origins[0], &origins[1]], &keys));
    let mut client = Client::of(&balancer);
    let first = client.get("/");
    let cookie = first.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let head = format!("POST /up HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\nContent-Length: 2097152\r\n\r\n");
    let seen: usize = origins.iter().map(|origin| origin.requests().len()).sum();
    let upload = Dripping::start(&balancer, head, 1_150_000, 300);
    let held = || (origins.iter().map(|origin| origin.requests().len()).sum::<usize>() > seen).then_some(());
    eventually(|| "an upload that holds an endpoint".into(), held);
    // The other one is free, and not what this client waits for.
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n"));
    assert_eq!(client.response().status(), 200);
    balancer.logged(&["\"target\":\"/up\"", "\"status\":408"]);
    drop(upload);
}

#[test]
fn a_response_that_is_cut_for_others_does_not_look_complete() {
    let origin = pouring("", 48 * MIB);
    let balancer = Balancer::start("", &slots_of(&[&origin], PATIENT));
    let mut reader = reader(&balancer);
    origin.await_requests(1);
    assert_eq!(Client::of(&balancer).get("/").text(), "small");
    assert_eq!(reader.rest().1, Ended::Reset);
}

#[test]
fn an_event_stream_is_not_cut_for_those_who_wait() {
    let origin = pouring("Content-Type: text/event-stream; charset=utf-8\r\n", 24 * MIB);
    let balancer = Balancer::start("", &slots_of(&[&origin], "slots = 1\nqueue_timeout = \"2s\"\n"));
    let mut reader = reader(&balancer);
    origin.await_requests(1);
    assert_eq!(Client::of(&balancer).get("/").status(), 503);
    let head = reader.head();
    let response = reader.body(head);
    assert_eq!((response.body.len(), response.ended), (24 * MIB, Ended::Framed));
}

#[test]
fn a_client_that_takes_a_little_now_and_then_is_cut_below_the_floor() {
    let origin = pouring("", 48 * MIB);
    let balancer = Balancer::start("response_rate_min = \"200KiB\"", &slots_of(&[&origin], ""));
    let mut reader = Trickle::start(&balancer);
    // 10 KB a second: never silent, and far too slow.
    let cut = (0..100).any(|_| {
        pause(Duration::from_millis(400));
        reader.take(4_096);
        count(&balancer, "\"reason\":\"client_slow\"") == 1
    });
    assert!(cut);
}

#[test]
fn a_client_that_takes_a_little_now_and_then_is_not_taken_for_one_that_takes_nothing() {
    let origin = pouring("", 48 * MIB);
    let balancer = Balancer::start("body_timeout = \"1s\"\nresponse_rate_min = \"0B\"", &slots_of(&[&origin], ""));
    let mut reader = Trickle::start(&balancer);
    // Our kernel holds more of the response than is taken meanwhile: nothing is written in all that time.
    let taken = |reader: &mut Trickle| {
        pause(Duration::from_millis(100));
        reader.take(16_384)
    };
    assert!((0..30).map(|_| taken(&mut reader)).sum::<usize>() > 16_384);
    assert_eq!(count(&balancer, "\"reason\""), 0);
}

/// A client that takes a response byte by byte.
struct Trickle(TcpStream);

impl Trickle {
    fn start(balancer: &Balancer) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        socket.connect(&balancer.address().into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_nonblocking(true).unwrap();
        stream.write_all(GET.replace("GET / ", "GET /large ").as_bytes()).unwrap();
        Self(stream)
    }

    /// Takes at most so many bytes of what is there; how many.
    fn take(&mut self, length: usize) -> usize {
        // An error is a client that was cut, of which the log tells, or that nothing is there.
        self.0.read(&mut vec![0; length]).unwrap_or(0)
    }
}

/// An origin that answers what it has read whole.
pub(super) fn reading() -> Origin {
    Origin::start(|mut exchange| {
        while let Some(head) = exchange.head() {
            if exchange.body(head).ended != Ended::Framed {
                return;
            }
            exchange.send(ok("read"));
        }
    })
}

/// An origin that sends so many bytes for `/large`.
fn pouring(fields: &'static str, length: usize) -> Origin {
    Origin::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            if request.target() == "/" {
                exchange.send(ok("small"));
                continue;
            }
            exchange.send(format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n"));
            if !exchange.pour(length) {
                return;
            }
            exchange.send("\r\n0\r\n\r\n");
        }
    })
}

/// A client that asks for a large response, and has taken none of it yet.
fn reader(balancer: &Balancer) -> Client {
    let mut reader = Client::slow_reader(balancer);
    reader.send(GET.replace("GET / ", "GET /large "));
    reader
}

/// A client that sends much of a body at once and then a little ten times a second, until it is dropped or cut.
struct Dripping(Arc<AtomicBool>);

impl Dripping {
    fn start(balancer: &Balancer, head: String, first: usize, then: usize) -> Self {
        let (stop, address) = (Arc::new(AtomicBool::new(false)), balancer.address());
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut client = TcpStream::connect(address).unwrap();
            let (first, then) = (vec![b'a'; first], vec![b'a'; then]);
            let mut sent = client.write_all(head.as_bytes()).and_then(|()| client.write_all(&first));
            while sent.is_ok() && !stopped.load(Ordering::SeqCst) {
                pause(Duration::from_millis(100));
                sent = client.write_all(&then);
            }
        });
        Self(stop)
    }
}

impl Drop for Dripping {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[expect(clippy::disallowed_methods, reason = "a client that is slow on purpose")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
