use std::io::{ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;

use crate::support::{LIMIT, Worker, pattern};

#[test]
fn a_reset_comes_before_a_byte_of_the_answer() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    client.send("GET /reset HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn half_a_counted_body_ends_cleanly_in_the_middle() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    client.send("GET /half?n=100000 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.head().contains("Content-Length: 100000"));
    assert!(client.rest() == pattern(50_000));
}

#[test]
fn half_a_chunked_body_is_cut_in_a_chunk_or_between_two() {
    let worker = Worker::start(&[]);
    for (cut, expected) in [("inside", "14\r\n0123456789"), ("between", "a\r\n0123456789\r\n")] {
        let mut client = worker.connect();
        client.send(format!("POST /half-chunk?n=20&cut={cut} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"));
        assert!(client.head().contains("chunked"));
        assert_eq!(String::from_utf8(client.rest()).unwrap(), expected);
    }
}

#[test]
fn rubbish_is_no_http() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    client.send("GET /rubbish HTTP/1.1\r\nHost: a\r\n\r\n");
    let bytes = client.rest();
    assert!(!bytes.is_empty() && !bytes.starts_with(b"HTTP"));
}

#[test]
fn ambiguous_framing_is_sent_as_it_is() {
    let worker = Worker::start(&[]);
    for (path, expected) in [
        ("/two-lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
        (
            "/both-framings",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let mut client = worker.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(String::from_utf8(client.rest()).unwrap(), expected);
    }
}

#[test]
fn trailers_follow_the_last_chunk_and_the_connection_goes_on() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    for _ in 0..2 {
        client.send("POST /trailers HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        let answer = client.answer();
        assert_eq!(
            (answer.text().as_str(), answer.trailers.as_str()),
            ("hello world", "x-checksum: 779a65e7023cd2e7\r\n\r\n")
        );
    }
    client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().text(), "hello world");
}

#[test]
fn interim_answers_come_before_the_final_one() {
    let (_worker, mut client) = Worker::start(&["--name", "n"]).connect_held();
    client.send("GET /interim?n=2 HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..2 {
        assert_eq!(client.head(), "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload");
    }
    assert_eq!(client.answer().text(), "n\n");
    client.send("GET /interim?final=0&code=102 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 102 "));
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_hang_lasts_until_its_client_leaves() {
    let worker = Worker::start(&[]);
    let mut client = worker.connect();
    client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    worker.await_info("in_flight", "1");
    drop(client);
    worker.await_info("in_flight", "0");
    worker.stop();
}

#[test]
fn a_crash_is_an_abort_and_an_exit_has_its_code() {
    for (path, code, signal) in [("/crash", None, Some(6)), ("/exit", Some(3), None), ("/exit?code=0", Some(0), None)] {
        let worker = Worker::start(&[]);
        // Held until the end: a request whose client has left is not run.
        let mut client = worker.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let status = worker.ended();
        assert_eq!((status.code(), status.signal()), (code, signal), "{path}");
    }
}

#[test]
fn a_worker_can_be_told_to_crash_at_a_request() {
    let worker = Worker::start(&["--crash-after", "2"]);
    let mut client = worker.connect();
    for path in ["/", "/hello"] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.answer().status(), 200);
    }
    assert_eq!(worker.info("served"), "2");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(worker.ended().signal(), Some(6));
}

#[test]
fn clients_that_leave_at_any_point_leave_no_trace() {
    let worker = Worker::start(&[]);
    for request in [
        "",
        "GET",
        "GET /hello HTTP/1.1\r\nHost",
        "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "POST /trailers HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        "GET /bytes?n=1000000000 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /bytes?n=1000000000&framing=close HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /half?n=1000000000 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /sse?interval_ms=1&n=1000000 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nabc",
        "GET /delay?ms=600000 HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        for reset in [false, true] {
            let mut client = worker.connect();
            client.send(request);
            if reset {
                socket2::SockRef::from(client.stream.get_ref()).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            }
            drop(client);
        }
    }
    worker.await_info("connections", "1");
    worker.await_info("in_flight", "0");
    worker.stop();
}

#[test]
fn what_is_no_http_gets_a_400_and_a_close() {
    let worker = Worker::start(&[]);
    for request in
        ["rubbish\r\n\r\n", "GET / HTTP/1.1\r\nBad Name: x\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"]
    {
        let mut client = worker.connect();
        client.stream.get_ref().set_read_timeout(Some(LIMIT)).unwrap();
        client.send(request);
        assert!(client.rest().starts_with(b"HTTP/1.1 400 "), "{request}");
    }
    worker.stop();
}
