//! HTTP/2 to endpoints: few connections, many requests at once, and what refuses or resets a stream.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::harness::http2::Http2;
use super::harness::{Balancer, Client, Gate, Origin, eventually, pool_at, pool_of};
use super::streaming::pattern;

/// An endpoint that speaks HTTP/2, with a script for each request.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    /// Requests that have come: method, path, fields.
    requests: Arc<Mutex<Vec<Request<()>>>>,
}

pub(crate) type Answer = SendResponse<Bytes>;

impl Endpoint {
    /// `streams_max` is what it takes at once on a connection.
    pub(crate) fn start<F>(
        streams_max: u32,
        script: impl Fn(Request<h2::RecvStream>, Answer) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::ending(streams_max, |_| false, script)
    }

    /// The same, and it ends a connection at a request for which `ends` says so.
    pub(crate) fn ending<F>(
        streams_max: u32,
        ends: impl Fn(&Request<h2::RecvStream>) -> bool + Copy + Send + Sync + 'static,
        script: impl Fn(Request<h2::RecvStream>, Answer) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (counted, seen, script) = (Arc::clone(&connections), Arc::clone(&requests), Arc::new(script));
        let open = Arc::new(AtomicUsize::new(0));
        let open_now = Arc::clone(&open);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                let open = Open::one_of(&open_now);
                tokio::spawn(async move {
                    let _open = open;
                    let mut builder = h2::server::Builder::new();
                    builder.max_header_list_size(1 << 20);
                    let handshake = builder.max_concurrent_streams(streams_max).handshake::<_, Bytes>(socket);
                    let Ok(mut connection) = handshake.await else { return };
                    while let Some(Ok((request, answer))) = connection.accept().await {
                        let mut copy = Request::new(());
                        *copy.method_mut() = request.method().clone();
                        *copy.uri_mut() = request.uri().clone();
                        *copy.headers_mut() = request.headers().clone();
                        seen.lock().unwrap().push(copy);
                        if ends(&request) {
                            return;
                        }
                        tokio::spawn(script(request, answer));
                    }
                });
            }
        });
        Self { address, _runtime: runtime, connections, open, requests }
    }

    pub(crate) fn pool(&self) -> String {
        format!("{}http2 = true\n", pool_at(&[self.address.to_string()]))
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Those that have not ended.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<Request<()>> {
        let seen = self.requests.lock().unwrap();
        seen.iter().cloned().collect()
    }

    fn await_requests(&self, count: usize) {
        eventually(|| format!("{count} requests"), || (self.requests().len() >= count).then_some(()));
    }
}

/// A connection that is counted until it ends.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn one_of(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers with the body of the request, and its trailers.
pub(crate) async fn echo(request: Request<h2::RecvStream>, mut answer: Answer) {
    let mut body = request.into_body();
    let mut send = answer.send_response(Response::new(()), false).unwrap();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        if send.send_data(piece, false).is_err() {
            return;
        }
    }
    let trailers = body.trailers().await.ok().flatten().unwrap_or_default();
    let _ = send.send_trailers(trailers);
}

/// Answers with a text.
pub(crate) fn say(mut answer: Answer, text: &'static str) {
    let response = Response::builder().header("content-length", text.len()).body(()).unwrap();
    if let Ok(mut send) = answer.send_response(response, false) {
        let _ = send.send_data(Bytes::from_static(text.as_bytes()), true);
    }
}

#[test]
fn requests_of_http_1_share_a_connection_of_http_2() {
    let endpoint = Endpoint::start(100, |_, answer| async { say(answer, "hello") });
    let balancer = Balancer::start("threads = 1", &endpoint.pool());
    let mut client = Client::of(&balancer);
    for _ in 0..3 {
        let answer = client.get("/a?b");
        assert_eq!((answer.status(), answer.text(), answer.length()), (200, "hello".into(), Some(5)));
    }
    assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    assert_eq!(endpoint.connections(), 1);
    let request = &endpoint.requests()[0];
    assert_eq!(request.uri().to_string(), "http://app.test/a?b");
    assert_eq!(request.headers()["x-forwarded-for"], "127.0.0.1");
    for gone in ["host", "connection", "transfer-encoding", "te"] {
        assert!(!request.headers().contains_key(gone), "{gone}");
    }
}

#[test]
fn bodies_and_trailers_go_both_ways_over_two_connections_of_http_2() {
    let endpoint = Endpoint::start(100, echo);
    let balancer = Balancer::start("h2c = true", &endpoint.pool());
    let mut client = Http2::at(balancer.address());
    let body = pattern(2_000_000);
    let answer = client.post("/", &[("te", "trailers")], &[&body], &[("x-sum", "7")]);
    assert!(answer.body == body && answer.broken.is_none(), "{} {:?}", answer.body.len(), answer.broken);
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    assert_eq!(endpoint.requests()[0].headers()["te"], "trailers");
    // The same from HTTP/1, in chunks and counted.
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n");
    let answer = client.response();
    assert_eq!((answer.text(), answer.trailers), ("abc".into(), vec![("x-t".to_owned(), "1".to_owned())]));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.response().text(), "abc");
    assert_eq!(endpoint.requests()[2].headers()["content-length"], "3");
}

#[test]
fn no_more_streams_are_begun_than_an_endpoint_takes() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let release = Gate::default();
    let (counted, seen, opened) = (Arc::clone(&now), Arc::clone(&most), release.clone());
    let endpoint = Endpoint::start(4, move |_, answer| {
        let (counted, seen, opened) = (Arc::clone(&counted), Arc::clone(&seen), opened.clone());
        async move {
            seen.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::spawn_blocking(move || assert!(opened.wait())).await.unwrap();
            counted.fetch_sub(1, Ordering::SeqCst);
            say(answer, "done");
        }
    });
    let balancer = Balancer::start("h2c = true\nthreads = 1", &endpoint.pool());
    let mut client = Http2::at(balancer.address());
    let asked: Vec<_> = (0..12).map(|_| client.ask("GET", "http://a/", &[], true)).collect();
    endpoint.await_requests(12);
    release.open();
    for asked in asked {
        assert_eq!(client.answer(asked).text(), "done");
    }
    assert_eq!(endpoint.connections(), 3, "four on each");
}

#[test]
fn slots_count_streams() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let endpoint = Endpoint::start(100, move |_, answer| {
        let (now, seen) = (Arc::clone(&now), Arc::clone(&seen));
        async move {
            seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            say(answer, "done");
        }
    });
    let balancer = Balancer::start("h2c = true", &format!("{}slots = 2\n", endpoint.pool()));
    let mut client = Http2::at(balancer.address());
    let asked: Vec<_> = (0..50).map(|_| client.ask("GET", "http://a/", &[], true)).collect();
    for asked in asked {
        assert_eq!(client.answer(asked).text(), "done");
    }
    assert!(most.load(Ordering::SeqCst) <= 2, "{most:?}");
}

#[test]
fn a_refused_stream_is_tried_again_whatever_its_method() {
    let refused = Arc::new(AtomicUsize::new(0));
    let endpoint = Endpoint::start(100, move |_, mut answer| {
        let refused = Arc::clone(&refused);
        async move {
            match refused.fetch_add(1, Ordering::SeqCst) {
                0 | 2 => answer.send_reset(Reason::REFUSED_STREAM),
                _ => say(answer, "taken"),
            }
        }
    });
    let balancer = Balancer::start("", &endpoint.pool());
    let mut client = Client::of(&balancer);
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.response().text(), "taken");
    }
    assert_eq!(endpoint.requests().len(), 4);
}

#[test]
fn a_reset_before_the_answer_is_a_bad_gateway_and_no_post_is_tried_again() {
    let endpoint = Endpoint::start(100, |_, mut answer| async move { answer.send_reset(Reason::INTERNAL_ERROR) });
    let balancer = Balancer::start("", &endpoint.pool());
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let answer = client.response();
    assert_eq!((answer.status(), answer.text().contains("closed_early")), (502, true));
    assert_eq!(endpoint.requests().len(), 1);
}

#[test]
fn an_answer_that_is_reset_in_the_middle_breaks_off_visibly() {
    let endpoint = Endpoint::start(100, |_, mut answer| async move {
        let mut send = answer.send_response(Response::new(()), false).unwrap();
        send.send_data(Bytes::from_static(b"only this"), false).unwrap();
        // Once that has been written.
        send.reserve_capacity(100_000);
        let _ = std::future::poll_fn(|cx| send.poll_capacity(cx)).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        send.send_reset(Reason::CANCEL);
    });
    let balancer = Balancer::start("", &endpoint.pool());
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (said, _) = client.rest();
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && !said.ends_with("0\r\n\r\n"), "{said}");
    balancer.logged(&["\"reason\":\"truncated\""]);
}

#[test]
fn a_client_that_leaves_cancels_its_stream_and_no_other() {
    let cancelled = Gate::default();
    let told = cancelled.clone();
    let endpoint = Endpoint::start(100, move |request, mut answer| {
        let told = told.clone();
        async move {
            if request.uri().path() == "/other" {
                return say(answer, "other");
            }
            let reason = std::future::poll_fn(|cx| answer.poll_reset(cx)).await;
            assert_eq!(reason.unwrap(), Reason::CANCEL);
            told.open();
        }
    });
    let balancer = Balancer::start("threads = 1", &endpoint.pool());
    let mut leaving = Client::of(&balancer);
    leaving.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    endpoint.await_requests(1);
    drop(leaving);
    assert!(cancelled.wait());
    assert_eq!(Client::of(&balancer).get("/other").text(), "other");
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn an_endpoint_that_goes_away_costs_no_request() {
    // It takes three requests on each connection, and says so in the middle of them.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(socket).await else { return };
                let mut served = 0;
                while let Some(Ok((_, answer))) = connection.accept().await {
                    served += 1;
                    say(answer, "served");
                    if served == 3 {
                        connection.graceful_shutdown();
                    }
                }
            });
        }
    });
    let balancer = Balancer::start("threads = 1", &format!("{}http2 = true\n", pool_at(&[address.to_string()])));
    let mut client = Client::of(&balancer);
    for _ in 0..30 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.response().text(), "served");
    }
    assert!(connections.load(Ordering::SeqCst) >= 5);
}

#[test]
fn an_endpoint_that_speaks_http_1_is_a_bad_gateway() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("", &format!("{}http2 = true\n", pool_of(&[&origin])));
    let answer = Client::of(&balancer).get("/");
    assert_eq!(answer.status(), 502);
    balancer.await_end_of_log("does not speak HTTP/2");
}

#[test]
fn an_endpoint_that_accepts_and_says_nothing_is_waited_for_as_for_a_connection() {
    let origin = Origin::silent();
    let balancer = Balancer::start("", &format!("{}http2 = true\nconnect_timeout = \"100ms\"\n", pool_of(&[&origin])));
    let answer = Client::of(&balancer).get("/");
    assert_eq!((answer.status(), answer.text().contains("connect_timeout")), (502, true));
}

#[test]
fn requests_that_come_at_once_open_one_connection() {
    let endpoint = Endpoint::start(100, |_, answer| async { say(answer, "hello") });
    let balancer = Balancer::start("h2c = true\nthreads = 1", &endpoint.pool());
    let mut client = Http2::at(balancer.address());
    let asked: Vec<_> = (0..50).map(|_| client.ask("GET", "http://a/", &[], true)).collect();
    for asked in asked {
        assert_eq!(client.answer(asked).text(), "hello");
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn one_client_that_takes_nothing_stops_no_other() {
    let endpoint = Endpoint::start(100, |request, mut answer| async move {
        if request.uri().path() != "/large" {
            return say(answer, "small");
        }
        let mut send = answer.send_response(Response::new(()), false).unwrap();
        for _ in 0..1_000 {
            send.reserve_capacity(16_384);
            while send.capacity() == 0 {
                if !matches!(std::future::poll_fn(|cx| send.poll_capacity(cx)).await, Some(Ok(_))) {
                    return;
                }
            }
            let length = send.capacity().min(16_384);
            if send.send_data(vec![b'a'; length].into(), false).is_err() {
                return;
            }
        }
    });
    let balancer = Balancer::start("threads = 1", &endpoint.pool());
    let mut slow: Vec<Client> = (0..40).map(|_| Client::slow_reader(&balancer)).collect();
    slow.iter_mut().for_each(|client| client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n"));
    endpoint.await_requests(40);
    for _ in 0..10 {
        assert_eq!(Client::of(&balancer).get("/small").text(), "small");
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn an_answer_with_a_head_alone_has_no_body() {
    let endpoint = Endpoint::start(100, |_, mut answer| async move {
        let response = Response::builder().status(404).header("grpc-status", "5").body(()).unwrap();
        let _ = answer.send_response(response, true);
    });
    let balancer = Balancer::start("h2c = true", &endpoint.pool());
    let answer = Http2::at(balancer.address()).get("/");
    assert_eq!((answer.status, answer.field("grpc-status"), answer.body.len()), (404, Some("5"), 0));
    assert_eq!((answer.trailers, answer.broken), (vec![], None));
    let answer = Client::of(&balancer).get("/");
    assert_eq!((answer.status(), answer.body.len()), (404, 0));
}

#[test]
fn streams_of_grpc_outlast_the_limits_of_bodies() {
    let endpoint = Endpoint::start(100, |request, mut answer| async move {
        let mut body = request.into_body();
        let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut send = answer.send_response(response, false).unwrap();
        while let Some(Ok(piece)) = body.data().await {
            let _ = body.flow_control().release_capacity(piece.len());
            let _ = send.send_data(piece, false);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let _ = send.send_trailers(trailers);
    });
    let limits = "h2c = true\nbody_timeout = \"200ms\"";
    let balancer = Balancer::start(limits, &format!("{}idle_timeout = \"200ms\"\n", endpoint.pool()));
    let mut client = Http2::at(balancer.address());
    let fields = [("content-type", "application/grpc+proto"), ("te", "trailers")];
    let mut asked = client.ask("POST", "http://a/chat.Chat/Talk", &fields, false);
    asked.body.send_data(Bytes::from_static(b"one"), false).unwrap();
    endpoint.await_requests(1);
    // Longer than both; the same without gRPC is cut.
    let mut other = client.ask("POST", "http://a/other", &[], false);
    other.body.send_data(Bytes::from_static(b"one"), false).unwrap();
    balancer.logged(&["\"target\":\"/other\"", "\"reason\":\"slow_body\""]);
    asked.body.send_data(Bytes::from_static(b"two"), true).unwrap();
    let answer = client.answer(asked);
    assert_eq!((answer.text(), answer.broken), ("onetwo".into(), None));
    assert_eq!(answer.trailers, [("grpc-status".to_owned(), "0".to_owned())]);
}

/// An endpoint with the health service of gRPC.
fn healthy(name: &'static str, status: u8) -> Endpoint {
    Endpoint::start(100, move |request, mut answer| async move {
        if request.uri().path() != "/grpc.health.v1.Health/Check" {
            return say(answer, name);
        }
        let mut body = request.into_body();
        let mut asked = Vec::new();
        while let Some(Ok(piece)) = body.data().await {
            asked.extend_from_slice(&piece);
        }
        assert_eq!(asked, b"\0\0\0\0\x09\x0a\x07my.Shop");
        let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut send = answer.send_response(response, false).unwrap();
        send.send_data(vec![0, 0, 0, 0, 2, 8, status].into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        send.send_trailers(trailers).unwrap();
    })
}

#[test]
fn a_probe_in_grpc_takes_out_who_does_not_serve() {
    let (good, bad) = (healthy("good", 1), healthy("bad", 2));
    let addresses = [&good, &bad].map(|endpoint| endpoint.address.to_string());
    let probe = "[pool.app.probe]\ngrpc = \"my.Shop\"\ninterval = \"20ms\"\n";
    let mut balancer = Balancer::start("", &format!("{}http2 = true\n{probe}", pool_at(&addresses)));
    balancer.await_stderr_of(&addresses[1], "the service does not serve: health status 2");
    let mut client = Client::of(&balancer);
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "good");
    }
}

#[test]
fn a_probe_by_a_path_is_asked_in_http_2() {
    let endpoint = Endpoint::start(100, |request, answer| async move {
        say(answer, if request.uri().path() == "/health" { "well" } else { "hello" });
    });
    let probe = "[pool.app.probe]\npath = \"/health\"\ninterval = \"20ms\"\n";
    let balancer = Balancer::start("", &format!("{}{probe}", endpoint.pool()));
    endpoint.await_requests(3);
    assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    assert!(!balancer.said().contains("is down"));
}

/// A server of gRPC, without generated code, that says which port it has.
struct Python(Child, u16);

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SERVER: &str = r#"
import grpc, sys
from concurrent import futures

def fail(request, context):
    context.set_trailing_metadata((("x-why", "because"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "nothing here")

def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()

def total(requests, context):
    return str(sum(int(request) for request in requests)).encode()

def talk(requests, context):
    for request in requests:
        yield request.upper()

handlers = {
    "Echo": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Total": grpc.stream_unary_rpc_method_handler(total),
    "Talk": grpc.stream_stream_rpc_method_handler(talk),
}
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
sys.stdin.read()
"#;

const CLIENT: &str = r#"
import grpc, sys
channel = grpc.insecure_channel(sys.argv[1])
assert channel.unary_unary("/test.Test/Echo")(b"hello", timeout=10) == b"hello"
assert channel.unary_unary("/test.Test/Echo")(b"a" * 1000000, timeout=10) == b"a" * 1000000
try:
    channel.unary_unary("/test.Test/Fail")(b"", timeout=10)
    raise SystemExit("no error")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.NOT_FOUND and error.details() == "nothing here", error
    assert ("x-why", "because") in [tuple(pair) for pair in error.trailing_metadata()], error.trailing_metadata()
try:
    channel.unary_unary("/test.Test/Nothing")(b"", timeout=10)
    raise SystemExit("no error")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
assert [*channel.unary_stream("/test.Test/Count")(b"100", timeout=10)] == [str(n).encode() for n in range(100)]
assert channel.stream_unary("/test.Test/Total")((str(n).encode() for n in range(100)), timeout=10) == b"4950"
assert [*channel.stream_stream("/test.Test/Talk")(iter([b"a", b"b"]), timeout=10)] == [b"A", b"B"]
calls = [channel.unary_unary("/test.Test/Echo").future(str(n).encode(), timeout=10) for n in range(200)]
assert [call.result() for call in calls] == [str(n).encode() for n in range(200)]
print("all well")
"#;

fn grpc_server() -> Python {
    use std::io::BufRead as _;
    let mut server = Command::new("/usr/bin/python3");
    server.args(["-c", SERVER]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = server.spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Python(server, line.trim().parse().unwrap())
}

#[test]
#[cfg_attr(not(has = "grpc"), ignore = "needs /usr/bin/python3 with grpc")]
fn grpc_of_all_kinds_goes_end_to_end() {
    let server = grpc_server();
    let balancer =
        Balancer::start("h2c = true", &format!("{}http2 = true\n", pool_at(&[format!("127.0.0.1:{}", server.1)])));
    let mut client = Command::new("/usr/bin/python3");
    let said = client.args(["-c", CLIENT]).arg(balancer.address().to_string()).output().unwrap();
    let said = [said.stdout, said.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&said), "all well\n");
}
