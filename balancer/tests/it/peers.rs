//! Clients that other people wrote, through the program, at the built-in worker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use crate::program::{PATIENCE, Program, curl, needs, repository, scratch, tool, workers};

#[test]
#[cfg_attr(not(has = "curl"), ignore = "needs curl")]
fn curl_gets_posts_and_asks_for_the_head() {
    let program = with("curl", "curl-plain");
    assert_eq!(curl(&[&program.url("/hello")]), "hello world");
    let echoed = curl(&["--data", "a=1&b=2", &program.url("/echo?x=%20y")]);
    assert!(echoed.starts_with("POST /echo?x=%20y HTTP/1.1\n") && echoed.ends_with("\n\na=1&b=2"), "{echoed}");
    assert!(echoed.contains("\ncontent-length: 7\n"), "{echoed}");
    let head = curl(&["-I", &program.url("/bytes?n=1000")]);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.to_lowercase().contains("\r\ncontent-length: 1000\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    // Two requests, one connection.
    let twice = curl(&["-w", "%{num_connects} ", &program.url("/hello"), &program.url("/hello")]);
    assert_eq!(twice, "hello world1 hello world0 ");
}

#[test]
#[cfg_attr(not(has = "curl"), ignore = "needs curl")]
fn curl_uploads_with_expect_100_continue() {
    let program = with("curl", "curl-expect");
    let file = scratch("curl-expect-file").join("upload");
    std::fs::write(&file, vec![b'x'; 3 << 20]).unwrap();
    let arguments = ["-v", "--expect100-timeout", "15", "-H", "Expect: 100-continue", "-T", file.to_str().unwrap()];
    let url = program.url("/upload");
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20"]).args(arguments).arg(url);
    let output = command.output().unwrap();
    assert!(output.status.success());
    let dialogue = String::from_utf8_lossy(&output.stderr);
    assert!(dialogue.contains("< HTTP/1.1 100 Continue"), "{dialogue}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("3145728 bytes"));
}

#[test]
#[cfg_attr(not(has = "curl"), ignore = "needs curl")]
fn curl_uploads_in_chunks() {
    let program = with("curl", "curl-chunked");
    let file = scratch("curl-chunked-file").join("upload");
    std::fs::write(&file, vec![b'y'; 300_000]).unwrap();
    let data = format!("@{}", file.display());
    let echoed = curl(&["-H", "Transfer-Encoding: chunked", "--data-binary", &data, &program.url("/echo")]);
    let (head, body) = echoed.split_once("\n\n").unwrap();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert!(body.len() == 300_000 && body.bytes().all(|byte| byte == b'y'), "{}", body.len());
}

#[test]
#[cfg_attr(not(has = "curl"), ignore = "needs curl")]
fn curl_speaks_http_1_0() {
    let program = with("curl", "curl-http10");
    // A chunked answer of the worker: this client knows no chunks.
    let answer = curl(&["--http1.0", "-i", &program.url("/bytes?n=50000&framing=chunked")]);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    assert_eq!(body.len(), 50_000);
    let echoed = curl(&["--http1.0", "--data", "a=1", &program.url("/echo")]);
    assert!(echoed.ends_with("a=1"), "{echoed}");
}

#[test]
#[cfg_attr(not(has = "node"), ignore = "needs node")]
fn a_node_agent_keeps_connections_alive_through_500_requests() {
    let program = with("node", "node-agent");
    let script = repository("balancer/tests/it/peers/keep_alive_client.js");
    let report = tool(Command::new("node").arg(script).arg(program.address().to_string()));
    assert_eq!(report, "500 answers, 500 right, at most 8 sockets, 8 connections\n");
}

#[test]
fn a_websocket_client_gets_every_message_back() {
    let program = with("sh", "websocket");
    let mut socket = WebSocket::open(&program);
    for number in 0..100 {
        let size = if number == 50 { 64 << 10 } else { number };
        let message: Vec<u8> = (0..size).map(|at| (at + number) as u8).collect();
        socket.send(BINARY, &message);
        assert_eq!(socket.receive(), (BINARY, message), "message {number}");
    }
    socket.send(PING, b"still there?");
    assert_eq!(socket.receive(), (PONG, b"still there?".to_vec()));
    socket.send(CLOSE, &1000_u16.to_be_bytes());
    let (kind, code) = socket.receive();
    assert_eq!((kind, &code[..2]), (CLOSE, &1000_u16.to_be_bytes()[..]));
    assert_eq!(socket.0.read(&mut [0]).unwrap(), 0, "then the connection ends");
}

#[test]
#[cfg_attr(not(has = "ab"), ignore = "needs ab")]
fn ab_without_keep_alive_sees_no_failure() {
    let program = with("ab", "ab");
    let report = tool(Command::new("ab").args(["-q", "-n", "2000", "-c", "50", &program.url("/hello")]));
    assert!(report.contains("Complete requests:      2000\n"), "{report}");
    assert!(report.contains("Failed requests:        0\n") && !report.contains("Non-2xx"), "{report}");
}

#[test]
#[cfg_attr(not(has = "ab"), ignore = "needs ab")]
fn ab_with_keep_alive_sees_no_failure() {
    let program = with("ab", "ab-keep-alive");
    let report = tool(Command::new("ab").args(["-q", "-k", "-n", "2000", "-c", "50", &program.url("/hello")]));
    assert!(report.contains("Failed requests:        0\n") && !report.contains("Non-2xx"), "{report}");
    assert!(report.contains("Keep-Alive requests:    2000\n"), "{report}");
}

#[test]
#[cfg_attr(not(has = "wrk"), ignore = "needs wrk")]
fn wrk_sees_no_failure() {
    let program = with("wrk", "wrk");
    let report = tool(Command::new("wrk").args(["-t1", "-c16", "-d1s", &program.url("/hello")]));
    assert!(report.contains(" requests in 1."), "{report}");
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
}

/// Two workers behind the program, where the peer is installed.
fn with(peer: &str, test: &str) -> Program {
    needs(peer);
    Program::serve_ready(test, &workers(2), 2)
}

/// A client's end of a WebSocket (RFC 6455), with no more than the test needs.
struct WebSocket(TcpStream);

impl WebSocket {
    fn open(program: &Program) -> Self {
        let mut stream = TcpStream::connect(program.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET /ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // The example of RFC 6455 section 1.3.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Self(stream)
    }

    fn send(&mut self, kind: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | kind];
        match payload.len() {
            0..126 => frame.push(0x80 | payload.len() as u8),
            126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((payload.len() as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((payload.len() as u64).to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
        self.0.write_all(&frame).unwrap();
    }

    fn receive(&mut self) -> (u8, Vec<u8>) {
        let [first, length] = self.take();
        assert_eq!(first & 0x80, 0x80, "the worker sends each message in one frame");
        let length = match length {
            126 => u16::from_be_bytes(self.take()).into(),
            127 => u64::from_be_bytes(self.take()),
            length => length.into(),
        };
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).unwrap();
        (first & 0x0f, payload)
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }
}

const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
