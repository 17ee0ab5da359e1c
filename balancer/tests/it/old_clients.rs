//! HTTP/1.0 clients that want to keep their connection, as `ab -k` does.

use super::harness::{Balancer, Client, Ended, Origin};

const ASK: &str = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nHost: a\r\n\r\n";

#[test]
fn an_answer_that_ends_by_close_says_so_once_and_nothing_else() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello\n",
        "HTTP/1.1 200 OK\r\nConnection: Keep-Alive, close\r\nKeep-Alive: timeout=5\r\n\r\nhello\n",
        "HTTP/1.1 200 OK\r\n\r\nhello\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n6\r\nhello\n\r\n0\r\n\r\n",
    ] {
        let origin = Origin::once(answer);
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        client.send(ASK);
        let (text, ended) = client.rest();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!((body, ended), ("hello\n", Ended::Close), "{answer:?}: {text}");
        assert_eq!(connection_fields(head), ["Connection: close"], "{answer:?}: {text}");
        let head = head.to_lowercase();
        assert!(!head.contains("keep-alive") && !head.contains("transfer-encoding"), "{answer:?}: {head}");
    }
}

#[test]
fn an_answer_that_is_framed_keeps_the_connection_and_says_so_once() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n",
        // What becomes of the worker's connection is not for the client.
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nhello\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n",
        "HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 6\r\n\r\nhello\n",
    ] {
        let origin = Origin::once(answer);
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        for round in 0..3 {
            client.send(ASK);
            let head = client.until("\r\n\r\n");
            assert_eq!(client.take(6), b"hello\n", "round {round}: {answer:?}");
            assert_eq!(connection_fields(&head), ["Connection: keep-alive"], "round {round}: {answer:?}: {head}");
        }
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        let (text, ended) = client.rest();
        assert_eq!(ended, Ended::Close);
        assert_eq!(connection_fields(&text), ["Connection: close"], "who does not ask is not kept: {text}");
    }
}

#[test]
fn an_answer_without_a_body_keeps_the_connection_too() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
        ("GET", "HTTP/1.0 304 Not Modified\r\n\r\n"),
    ] {
        let origin = Origin::once(answer);
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        for _ in 0..3 {
            client.send(ASK.replace("GET", method));
            let head = client.until("\r\n\r\n");
            assert!(head.starts_with("HTTP/1.1 2") || head.starts_with("HTTP/1.1 304"), "{head}");
            assert_eq!(connection_fields(&head), ["Connection: keep-alive"], "{method} {answer:?}: {head}");
        }
    }
}

/// Every line that says what becomes of the connection.
fn connection_fields(head: &str) -> Vec<&str> {
    head.split("\r\n").filter(|line| line.to_lowercase().starts_with("connection:")).collect()
}
