use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use nix::sys::signal::Signal;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

use crate::support::{LIMIT, Worker};

fn websocket(worker: &Worker, path: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(worker.socket_address()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    client(format!("ws://{}{path}", worker.address), stream).unwrap().0
}

fn close_code(socket: &mut WebSocket<TcpStream>) -> CloseCode {
    loop {
        match socket.read().unwrap() {
            Message::Close(frame) => return frame.unwrap().code,
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_tunnel_sends_every_byte_back_and_honours_a_half_close() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    // The first bytes come with the request: they are the tunnel's, not the parser's.
    client.send("GET /upgrade?proto=echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nGET / ");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: echo"), "{head}");
    client.send("HTTP/1.1\r\n\r\n\0");
    client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"GET / HTTP/1.1\r\n\r\n\0");
}

#[test]
fn nothing_is_upgraded_that_did_not_ask() {
    let (_worker, mut client) = Worker::start(&[]).connect_held();
    for (path, fields) in [
        ("/upgrade", ""),
        ("/upgrade", "Upgrade: other\r\nConnection: upgrade\r\n"),
        ("/upgrade", "Upgrade: echo\r\n"),
        ("/ws", ""),
        ("/ws", "Upgrade: websocket\r\nConnection: keep-alive\r\n"),
        ("/ws", "Upgrade: websocket\r\nConnection: keep-alive\r\nSec-WebSocket-Version: 13\r\n"),
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(client.answer().status(), 426, "{path} {fields}");
        // On the same connection, ordinary HTTP goes on.
    }
}

#[test]
fn a_websocket_gets_its_accept_key_or_a_reason() {
    let worker = Worker::start(&[]);
    let open = |fields: &str| {
        let mut client = worker.connect();
        client
            .send(format!("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n{fields}\r\n"));
        client.head()
    };
    // The example of RFC 6455 section 1.3.
    let head = open("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    let head = open("Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    assert!(head.starts_with("HTTP/1.1 426 ") && head.contains("sec-websocket-version: 13"), "{head}");
    assert!(open("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n").starts_with("HTTP/1.1 400 "));
}

#[test]
fn a_websocket_echoes_answers_pings_and_closes() {
    let worker = Worker::start(&[]);
    let mut socket = websocket(&worker, "/ws");
    for message in [Message::text("héllo"), Message::binary(vec![7; 1024 * 1024]), Message::text("")] {
        socket.send(message.clone()).unwrap();
        assert!(socket.read().unwrap() == message);
    }
    socket.send(Message::Ping("p".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("p".into()));
    socket.close(None).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Close(None));
    // The server closes the connection first, RFC 6455 section 7.1.1.
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    worker.await_info("in_flight", "0");
    worker.stop();
}

#[test]
fn a_websocket_message_over_the_bound_is_refused_with_its_code() {
    let worker = Worker::start(&[]);
    let mut socket = websocket(&worker, "/ws");
    // Its head alone says so (RFC 6455 §5.2); whoever sends all of it may be cut off before it reads the answer.
    let head = [&[0x82, 0xff][..], &(1024 * 1024 + 1_u64).to_be_bytes(), &[0; 4]].concat();
    socket.get_ref().write_all(&head).unwrap();
    assert_eq!(close_code(&mut socket), CloseCode::Size);
}

#[test]
fn a_websocket_pings_and_leaves_a_client_that_does_not_answer() {
    let worker = Worker::start(&[]);
    let mut socket = websocket(&worker, "/ws?ping_ms=400");
    for _ in 0..2 {
        // Reading on answers the ping before.
        assert_eq!(socket.read().unwrap(), Message::Ping(Vec::new().into()));
    }
    let silent = websocket(&worker, "/ws?ping_ms=20");
    let mut bytes = [0; 6];
    silent.get_ref().read_exact(&mut bytes).unwrap();
    // A ping, unanswered, then a close with 1008.
    assert_eq!(bytes, [0x89, 0, 0x88, 2, 0x03, 0xf0]);
}

#[test]
fn a_drain_says_going_away_to_a_websocket() {
    let worker = Worker::start(&[]);
    let mut socket = websocket(&worker, "/ws");
    worker.signal(Signal::SIGTERM);
    assert_eq!(close_code(&mut socket), CloseCode::Away);
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    assert_eq!(worker.ended().code(), Some(0));
}
