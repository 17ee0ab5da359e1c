use std::time::{Duration, Instant};

use crate::support::{Worker, pattern};

#[test]
fn every_other_path_answers_with_the_name() {
    let worker = Worker::start(&["--instance", "1"]);
    for path in ["/", "/no/such/path?x=1", "/hello/"] {
        let answer = worker.get(path);
        assert_eq!((answer.status(), answer.text().as_str()), (200, "server 1\n"), "{path}");
        assert!(answer.has("content-type: text/plain") && answer.has("content-length: 9"), "{}", answer.head);
    }
    worker.stop();
}

#[test]
fn hello_is_eleven_bytes() {
    let answer = Worker::start(&[]).get("/hello");
    assert_eq!(answer.text(), "hello world");
    assert!(answer.has("content-length: 11"));
}

#[test]
fn echo_tells_a_counted_request_line_by_line() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    client.send("POST /echo?a=%20b HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nX-two:  two \r\nX-One: 3\r\nContent-Length: 4\r\n\r\nbody");
    let answer = client.answer();
    let expected = "POST /echo?a=%20b HTTP/1.1\nhost: a\nx-one: 1\nx-one: 3\nx-two: two\ncontent-length: 4\n\nbody";
    assert_eq!(answer.text(), expected);
    assert!(answer.has(&format!("content-length: {}", expected.len())));
}

#[test]
fn echo_streams_a_chunked_request_and_tells_its_trailers() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    client.send("PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n");
    assert!(client.head().to_ascii_lowercase().contains("transfer-encoding: chunked"));
    // Before the client has sent the rest.
    let expected = "PUT /echo HTTP/1.1\nhost: a\ntransfer-encoding: chunked\ntrailer: X-Sum\n\nhello";
    assert_eq!(String::from_utf8(client.chunk().unwrap()).unwrap(), expected);
    client.send("3\r\n, w\r\n0\r\nX-Sum: 1\r\n\r\n");
    assert_eq!(client.chunk().unwrap(), b", w");
    assert_eq!(client.chunk().unwrap(), b"\ntrailer x-sum: 1\n");
    assert_eq!(client.chunk(), None);
}

#[test]
fn echo_tells_a_request_without_a_body() {
    let worker = Worker::start(&[]);
    assert_eq!(worker.get("http://b/echo").text(), "GET http://b/echo HTTP/1.1\nhost: a\n\n");
    let (_worker, mut client) = worker.connect_held();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n");
    let expected = "POST /echo HTTP/1.1\nhost: a\ntransfer-encoding: chunked\n\n\ntrailer a: b\n";
    assert_eq!(client.answer().text(), expected);
}

#[test]
fn echo_asks_for_the_body_a_client_holds_back() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue");
    client.send("ok");
    assert!(client.answer().text().ends_with("\n\nok"));
}

#[test]
fn an_upload_is_counted_and_hashed() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    client.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world");
    assert_eq!(client.answer().text(), "11 bytes, fnv1a 779a65e7023cd2e7\n");
    client.send(
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n",
    );
    assert_eq!(client.answer().text(), "11 bytes, fnv1a 779a65e7023cd2e7\n");
    client.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().text(), "0 bytes, fnv1a cbf29ce484222325\n");
}

#[test]
fn bytes_are_the_same_in_every_framing() {
    let worker = Worker::start(&[]);
    for (framing, line) in [
        ("length", "content-length: 100001"),
        ("chunked", "transfer-encoding: chunked"),
        ("close", "connection: close"),
    ] {
        let answer = worker.get(&format!("/bytes?n=100001&chunk=1000&framing={framing}"));
        assert!(answer.has(line), "{}", answer.head);
        assert!(answer.body == pattern(100_001), "{framing}: {} bytes", answer.body.len());
    }
    assert_eq!(worker.get("/bytes").body.len(), 102_400);
    for framing in ["length", "chunked", "close"] {
        assert_eq!(worker.get(&format!("/bytes?n=0&framing={framing}")).body, b"");
    }
}

#[test]
fn paused_bytes_come_piece_by_piece() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    client.send("GET /bytes?n=20&chunk=10&framing=chunked&pause_ms=600000 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    assert_eq!(client.chunk().unwrap(), b"0123456789");
}

#[test]
fn a_status_is_the_one_asked_for() {
    let worker = Worker::start(&[]);
    for code in [200, 404, 503, 999] {
        assert_eq!(worker.get(&format!("/status?code={code}")).status(), code);
    }
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    for code in [204, 304] {
        client
            .send(format!("GET /status?code={code} HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(client.head().contains(&format!(" {code} ")));
        assert_eq!(client.answer().text(), "hello world", "after {code}");
    }
}

#[test]
fn a_parameter_out_of_bounds_is_a_400_that_names_it() {
    let worker = Worker::start(&[]);
    for (target, parameter) in [
        ("/status?code=101", "code"),
        ("/bytes?n=-1", "n"),
        ("/bytes?framing=x", "framing"),
        ("/delay?ms=9999999999", "ms"),
        ("/ws?ping_ms=x", "ping_ms"),
        ("/half-chunk?n=1", "n"),
        ("/exit?code=256", "code"),
    ] {
        let answer = worker.get(target);
        assert_eq!(answer.status(), 400, "{target}");
        assert!(answer.text().starts_with(&format!("{parameter} must be ")), "{}", answer.text());
    }
}

#[test]
fn a_delay_and_work_take_their_time() {
    let worker = Worker::start(&[]);
    for target in ["/delay?ms=60", "/work?us=60000"] {
        let begun = Instant::now();
        assert_eq!(worker.get(target).status(), 200);
        assert!(begun.elapsed() >= Duration::from_millis(60), "{target}");
    }
}

#[test]
fn the_time_of_every_request_can_be_set() {
    for option in ["--delay-ms=60", "--work-us=60000"] {
        let worker = Worker::start(&[option]);
        for target in ["/hello", "/"] {
            let begun = Instant::now();
            assert_eq!(worker.get(target).status(), 200);
            assert!(begun.elapsed() >= Duration::from_millis(60), "{option} {target}");
        }
    }
}

#[test]
fn events_come_one_at_a_time() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    client.send("GET /sse?n=3&interval_ms=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer();
    assert!(answer.has("content-type: text/event-stream"));
    assert_eq!(answer.text(), "data: 1\n\ndata: 2\n\ndata: 3\n\n");
    client.send("GET /sse?n=2&interval_ms=600000 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    assert_eq!(client.chunk().unwrap(), b"data: 1\n\n");
}

#[test]
fn fields_are_the_ones_asked_for() {
    let worker = Worker::start(&[]);
    let answer = worker.get("/headers?Set-Cookie=a%3D1&set-cookie=b%3D2&x-y=z+z&content-type=a/b");
    for line in ["set-cookie: a=1", "set-cookie: b=2", "x-y: z z", "content-type: a/b"] {
        assert!(answer.has(line), "{line} in {}", answer.head);
    }
    assert!(!answer.has("content-type: text/plain"));
    for bad in ["content-length=1", "Transfer-Encoding=chunked", "a%20b=c", "x=%0d%0ay:z"] {
        assert_eq!(worker.get(&format!("/headers?{bad}")).status(), 400, "{bad}");
    }
}

#[test]
fn a_header_bomb_has_the_size_asked_for() {
    let worker = Worker::start(&[]);
    let answer = worker.get("/header-bomb?n=300");
    let bomb: usize =
        answer.head.split_inclusive("\r\n").filter(|line| line.starts_with("x-bomb-")).map(str::len).sum();
    assert!((300 * 1024 - 2..=300 * 1024).contains(&bomb), "{bomb}");
}

#[test]
fn close_closes() {
    let (_worker, mut client) = Worker::start(&["--name", "n"]).connect_held();
    client.send("GET /close HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer();
    assert!(answer.has("connection: close"));
    assert_eq!((answer.text().as_str(), client.rest().len()), ("n\n", 0));
}

#[test]
fn early_answers_while_the_body_is_still_to_come() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    client.send("POST /early?code=401 HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\nsome");
    let answer = client.answer();
    assert_eq!(answer.status(), 401);
    assert!(answer.has("connection: close"));
    // The worker takes the rest without a reset, and ends its side.
    client.send(vec![b'x'; 29_999_996]);
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_logged_line_is_printed_where_asked() {
    let worker = Worker::start(&[]);
    assert_eq!(worker.get("/log?line=hello+out").status(), 200);
    assert_eq!(worker.line(), "hello out");
    assert_eq!(worker.get("/log?line=hello%20err&to=stderr").status(), 200);
    assert_eq!(worker.error_line(), "hello err");
}

#[test]
fn info_tells_the_process_and_what_it_counted() {
    let worker = Worker::start(&["--instance", "7", "--name", "it"]);
    let mut client = worker.connect();
    client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.answer();
    client.answer();
    for (key, value) in [("name", "it"), ("index", "7"), ("served", "2"), ("in_flight", "0")] {
        assert_eq!(worker.info(key), value, "{key}");
    }
    assert_eq!(worker.info("connections_max"), "2");
    assert!(worker.info("args").ends_with("--instance 7 --name it --port 0"));
    assert!(worker.info("env").split(' ').any(|name| name == "PATH"));
    let text = worker.get("/info?env=NO_SUCH_NAME&env=PATH&env=A%3DB&env=").text();
    assert!(text.contains("env: NO_SUCH_NAME is not set\n"), "{text}");
    assert!(text.contains(&format!("env: PATH={}\n", std::env::var("PATH").unwrap())), "{text}");
    drop(client);
    worker.await_info("connections", "1");
}

#[test]
fn a_request_with_an_id_is_counted_each_time_it_runs() {
    let worker = Worker::start(&[]);
    for _ in 0..2 {
        let mut client = worker.connect();
        client.send("POST /upload HTTP/1.1\r\nHost: a\r\nX-Test-Id: order 1\r\nContent-Length: 1\r\n\r\nx");
        client.answer();
    }
    assert_eq!(worker.get("/seen?id=order%201").text(), "2\n");
    assert_eq!(worker.get("/seen?id=other").text(), "0\n");
}

#[test]
fn head_and_old_clients_get_what_they_can_take() {
    let (_worker, mut client) = Worker::start(&["--name", "n"]).connect_held();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD /bytes?n=7 HTTP/1.1\r\nHost: a\r\n\r\nGET /bytes?n=3&framing=chunked HTTP/1.0\r\n\r\n");
    assert!(client.head().contains("content-length: 2"));
    assert!(client.head().contains("content-length: 7"));
    let answer = client.answer();
    assert!(!answer.head.contains("transfer-encoding"));
    assert_eq!(answer.body, b"012");
}
