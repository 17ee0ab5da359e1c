//! Endpoints that fail, and what becomes of their requests.

use std::time::Instant;

use super::harness::{Balancer, Client, Ended, Gate, Origin, Refusing, SOON, eventually, ok, pool_at, pool_of};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_refusing_endpoint_costs_no_request_whatever_its_method() {
    let (refusing, origin) = (Refusing::start(), Origin::named("1"));
    let balancer = Balancer::start("", &pool_at(&[refusing.address(), origin.address()]));
    let mut client = Client::of(&balancer);
    for request in
        [GET, POST, "PATCH / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"].repeat(4)
    {
        client.send(request);
        assert_eq!(client.response().status(), 200, "{request:?}");
    }
    assert_eq!(origin.requests().len(), 12);
    assert!(origin.requests().iter().all(|request| request.ended == Ended::Framed));
    let line = balancer.logged(&["\"attempts\":2"]);
    assert!(line.contains(&format!("\"endpoint\":\"{}\"", origin.address())) && !line.contains("reason"), "{line}");
}

#[test]
fn when_all_refuse_the_answer_comes_at_once() {
    let refusing = [Refusing::start(), Refusing::start()];
    let balancer = Balancer::start("", &pool_at(&[refusing[0].address(), refusing[1].address()]));
    let begun = Instant::now();
    let mut client = Client::of(&balancer);
    assert_eq!(client.get("/").status(), 502);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    balancer.logged(&["\"status\":502", "\"reason\":\"connect_failed\"", "\"attempts\":3"]);
    assert_eq!(client.get("/").status(), 502, "the client's connection goes on");
}

#[test]
fn a_pool_without_a_ready_worker_is_503_with_retry_after() {
    let balancer =
        Balancer::start("", "[pool.app.workers]\ncommand = [\"sleep\", \"1000\"]\nready = { line = \"never said\" }\n");
    let response = Client::of(&balancer).get("/");
    assert_eq!((response.status(), response.field("retry-after")), (503, Some("1")));
    balancer.logged(&["\"status\":503", "\"reason\":\"no_endpoint\"", "\"attempts\":0"]);
}

#[test]
fn an_endpoint_that_closes_before_its_answer_is_replaced_for_a_safe_method_only() {
    for by_reset in [false, true] {
        let bad = Origin::start(move |mut exchange| {
            exchange.request();
            if by_reset {
                exchange.reset();
            }
        });
        let good = Origin::named("good");
        let balancer = Balancer::before(&[&bad, &good]);
        let mut client = Client::of(&balancer);
        for _ in 0..4 {
            let response = client.get("/");
            assert_eq!((response.status(), response.text()), (200, "good".into()));
        }
        assert_eq!((bad.requests().len(), good.requests().len()), (2, 4));
        balancer.logged(&["\"attempts\":2", "\"status\":200"]);
    }
}

#[test]
fn a_post_reaches_at_most_one_worker_once() {
    // What has no body could be sent once more; it is the method that forbids it.
    let empty = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    for (by_reset, request) in [(false, POST), (true, POST), (false, empty), (true, empty)] {
        let bad = || {
            Origin::start(move |mut exchange| {
                exchange.request();
                if by_reset {
                    exchange.reset();
                }
            })
        };
        let (one, two) = (bad(), bad());
        let balancer = Balancer::before(&[&one, &two]);
        let mut client = Client::of(&balancer);
        client.send(request);
        assert_eq!(client.response().status(), 502);
        assert_eq!(one.requests().len() + two.requests().len(), 1);
        balancer.logged(&["\"status\":502", "\"reason\":\"closed_early\"", "\"attempts\":1"]);
    }
}

#[test]
fn no_more_attempts_are_made_than_configured() {
    for attempts in [1, 2, 5] {
        let bad = Origin::start(|mut exchange| drop(exchange.request()));
        let balancer = Balancer::start("", &format!("{}attempts_max = {attempts}\n", pool_of(&[&bad])));
        assert_eq!(Client::of(&balancer).get("/").status(), 502);
        assert_eq!(bad.requests().len(), attempts);
        balancer.logged(&["\"status\":502", &format!("\"attempts\":{attempts}")]);
    }
}

#[test]
fn endpoints_that_refuse_are_no_attempts_while_another_one_accepts() {
    let good = Origin::named("good");
    let refusing: Vec<Refusing> = (0..7).map(|_| Refusing::start()).collect();
    let mut addresses: Vec<String> = refusing.iter().map(Refusing::address).collect();
    addresses.push(good.address());
    for more in ["eject_after = 0\n", "eject_after = 0\nslots = 4\n"] {
        let balancer = Balancer::start("", &format!("{}{more}", pool_at(&addresses)));
        let mut client = Client::of(&balancer);
        for _ in 0..16 {
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
            let response = client.response();
            assert_eq!(response.status(), 200, "{}", response.text());
        }
    }
}

#[test]
fn retries_stay_within_their_budget() {
    let bad = Origin::start(|mut exchange| drop(exchange.request()));
    let balancer = Balancer::start("", &format!("{}retry_budget = \"0%\"\n", pool_of(&[&bad])));
    let begun = Instant::now();
    let mut client = Client::of(&balancer);
    for _ in 0..100 {
        assert_eq!(client.get("/").status(), 502);
    }
    // Ten a second are always allowed, and what was saved up before.
    let retries = bad.requests().len() - 100;
    assert!(retries as f64 <= 20.0 + 10.0 * begun.elapsed().as_secs_f64(), "{retries} in {:?}", begun.elapsed());
}

#[test]
fn rubbish_is_a_bad_gateway() {
    for rubbish in [
        "rubbish\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "\u{15}\u{3}\u{3}\u{0}\u{2}\u{2}\u{16}",
    ] {
        let origin = Origin::once(rubbish);
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        assert_eq!(client.get("/").status(), 502, "{rubbish:?}");
        assert_eq!(origin.requests().len(), 1, "answered, so not tried again: {rubbish:?}");
        balancer.logged(&["\"status\":502", "\"reason\":\"bad_response\""]);
    }
}

#[test]
fn an_end_within_the_head_is_a_bad_gateway() {
    for part in ["HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
        let origin = Origin::once(part);
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        client.send(POST);
        let response = std::iter::repeat_with(|| client.response()).find(|response| response.status() >= 200).unwrap();
        assert_eq!(response.status(), 502, "{part:?}");
        assert_eq!(origin.requests().len(), 1);
    }
}

#[test]
fn a_body_cut_short_is_visibly_cut_short() {
    for (head, part) in [
        ("Content-Length: 9", "half"),
        ("Transfer-Encoding: chunked", "4\r\nhalf\r\n"),
        ("Transfer-Encoding: chunked", "8\r\nhalf"),
        ("Transfer-Encoding: chunked", "4\r\nhalf\r\nxyz\r\n"),
    ] {
        for version in ["1.1", "1.0"] {
            let origin = Origin::once(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{part}"));
            let balancer = Balancer::before(&[&origin]);
            let mut client = Client::of(&balancer);
            client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
            let response = client.response();
            let case = format!("{head} {part:?} for {version}: {response:?}");
            assert_eq!((response.status(), response.text()), (200, "half".into()), "{case}");
            match response.is_chunked() || response.length().is_some() {
                true => assert!(matches!(response.ended, Ended::Close | Ended::Reset), "{case}"),
                false => assert_eq!(response.ended, Ended::Reset, "only a reset tells it from the end: {case}"),
            }
            balancer.logged(&["\"status\":200", "\"reason\":\"truncated\""]);
        }
    }
}

#[test]
fn a_reset_in_a_framed_body_is_no_end() {
    for (head, part, half) in [
        ("Content-Length: 9", "half", "half"),
        ("Transfer-Encoding: chunked", "4\r\nhalf\r\n", "4\r\nhalf\r\n"),
        ("Transfer-Encoding: chunked", "8\r\nhalf", "4\r\nhalf\r\n"),
    ] {
        let gone = Gate::default();
        let go = gone.clone();
        let origin = Origin::start(move |mut exchange| {
            exchange.request();
            exchange.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{part}"));
            // A reset overtakes what has not been read.
            go.wait();
            exchange.reset();
        });
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        client.send(GET);
        assert_eq!(client.head().status(), 200);
        assert_eq!(client.take(half.len()), half.as_bytes(), "{head} {part:?}");
        gone.open();
        let (rest, ended) = client.rest();
        assert_eq!(rest, "", "no last chunk, no padding: {head} {part:?}");
        assert!(matches!(ended, Ended::Close | Ended::Reset), "{head} {part:?}: {ended:?}");
        balancer.logged(&["\"status\":200", "\"reason\":\"truncated\""]);
        assert_eq!(origin.requests().len(), 1, "what has begun is not asked for again");
    }
}

#[test]
fn a_reset_within_the_head_is_a_bad_gateway_for_what_cannot_be_repeated() {
    let (gone, origin) = {
        let gone = Gate::default();
        let go = gone.clone();
        let origin = Origin::start(move |mut exchange| {
            exchange.request();
            exchange.send("HTTP/1.1 200 OK\r\nX-Half: ");
            go.wait();
            exchange.reset();
        });
        (gone, origin)
    };
    let other = Origin::named("other");
    let balancer = Balancer::before(&[&origin, &other]);
    let mut client = Client::of(&balancer);
    client.send(POST);
    origin.await_requests(1);
    gone.open();
    assert_eq!(client.response().status(), 502);
    balancer.logged(&["\"status\":502", "\"attempts\":1"]);
    assert_eq!((origin.requests().len(), other.requests().len()), (1, 0), "a POST reaches one worker, once");
}

#[test]
fn a_reset_in_a_body_that_ends_by_close_is_no_clean_end() {
    for version in ["1.1", "1.0"] {
        let gone = Gate::default();
        let go = gone.clone();
        let origin = Origin::start(move |mut exchange| {
            exchange.request();
            exchange.send("HTTP/1.1 200 OK\r\n\r\nhalf");
            // A reset overtakes what has not been read.
            go.wait();
            exchange.reset();
        });
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
        let head = client.head();
        if head.is_chunked() {
            assert_eq!(client.take(9), b"4\r\nhalf\r\n");
        } else {
            assert_eq!(client.take(4), b"half");
        }
        gone.open();
        let (rest, ended) = client.rest();
        assert_eq!(rest, "", "no last chunk");
        if !head.is_chunked() {
            assert_eq!(ended, Ended::Reset);
        }
    }
}

#[test]
fn a_retry_sends_the_same_request_again() {
    let bad = Origin::start(|mut exchange| drop(exchange.request()));
    let good = Origin::named("good");
    let balancer = Balancer::before(&[&bad, &good]);
    assert_eq!(Client::of(&balancer).get("/x?y=z").text(), "good");
    assert_eq!(bad.bytes(0), good.bytes(0).replace(&good.address(), &bad.address()));
}

#[test]
fn a_body_that_was_sent_is_not_sent_again() {
    let bad = Origin::start(|mut exchange| drop(exchange.request()));
    let good = Origin::named("good");
    let balancer = Balancer::before(&[&bad, &good]);
    let mut client = Client::of(&balancer);
    // Idempotent, but its body is gone.
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client.response().status(), 502);
    assert_eq!(good.requests().len(), 0);
}

#[test]
fn an_unasked_answer_reaches_nobody() {
    let idle = Gate::default();
    let go = idle.clone();
    let origin = Origin::start(move |mut exchange| {
        exchange.request();
        exchange.send(ok("asked"));
        if go.wait() {
            exchange.send(ok("unasked"));
        }
        exchange.read_to_end();
    });
    let balancer = Balancer::start("threads = 1", &format!("{}keep_alive_timeout = \"1m\"\n", pool_of(&[&origin])));
    let mut client = Client::of(&balancer);
    assert_eq!(client.get("/").text(), "asked");
    idle.open();
    assert_ne!(origin.await_end(), Ended::Silence, "such a connection is closed");
    assert_eq!(client.get("/").text(), "asked");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn an_answer_that_two_readers_would_end_in_two_places_is_502() {
    for head in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip",
        "Content-Length: 5, 5",
    ] {
        let origin = Origin::once(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\n01234\r\n0\r\n\r\n"));
        let balancer = Balancer::before(&[&origin]);
        assert_eq!(Client::of(&balancer).get("/").status(), 502, "{head}");
        balancer.logged(&["\"reason\":\"bad_response\"", "\"attempts\":1"]);
    }
}

#[test]
fn a_body_that_goes_wrong_behind_an_early_answer_is_its_clients_fault() {
    for keys in ["", "slots = 1\nbuffer_request = \"0B\"\n"] {
        let origin = Origin::start(|mut exchange| {
            if exchange.head().is_some_and(|head| head.line.starts_with("POST")) {
                exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
                exchange.read_to_end();
            } else {
                exchange.send(ok("1"));
            }
        });
        let mut balancer = Balancer::start("", &format!("{}{keys}", pool_of(&[&origin])));
        for _ in 0..6 {
            let mut client = Client::of(&balancer);
            client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
            client.until("hello\r\n");
            client.send("zz\r\n");
            client.rest();
        }
        let log = || std::fs::read_to_string(balancer.directory().join("access.log")).unwrap_or_default();
        let told = || (log().matches("\"reason\":\"bad_body\"").count() == 6).then_some(());
        eventually(|| format!("six bad bodies in {}", log()), told);
        assert!(!balancer.await_stderr("listening on").contains("is ejected"));
    }
}

#[test]
fn a_client_that_says_nothing_is_late_whatever_endpoint_it_is_for() {
    let closes = Origin::start(|mut exchange| {
        exchange.head();
    });
    let reads = Origin::start(|mut exchange| {
        exchange.request();
        exchange.read_to_end();
    });
    let pool = pool_at(&[closes.address(), reads.address()]);
    let balancer = Balancer::start("body_timeout = \"500ms\"", &format!("{pool}idle_timeout = \"20s\"\n"));
    let mut client = Client::of(&balancer);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(client.response().status(), 408);
    balancer.logged(&["\"reason\":\"slow_body\"", "\"attempts\":2"]);
}
