//! The workers of `deploy/examples/`, each started from its own folder with its own file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use crate::program::{PATIENCE, balancer, curl, example, get, repository};

#[test]
#[cfg_attr(not(has = "python3"), ignore = "needs python3")]
fn the_sequential_python_server_answers_every_request_although_it_closes_after_each() {
    let mut program = example("python3", "python-sequential", &[]);
    program.until_ready(4);
    let address = program.address();
    let clients: Vec<_> = (0..8).map(|_| thread::spawn(move || (0..25).map(|_| get(address, "/")).collect())).collect();
    let mut answers: BTreeMap<_, usize> = BTreeMap::new();
    for client in clients {
        let got: Vec<_> = client.join().unwrap();
        got.into_iter().for_each(|answer| *answers.entry(answer).or_default() += 1);
    }
    assert_eq!(answers.values().sum::<usize>(), 200);
    let servers: Vec<_> = (1..=4).map(|index| Some((200, format!("server {index}\n")))).collect();
    assert!(answers.keys().eq(&servers), "{answers:?}");
    assert_eq!(program.stop(), Some(0));
}

#[test]
#[cfg_attr(not(all(has = "python3", has = "curl")), ignore = "needs python3 and curl")]
fn pythons_http_server_answers_get_and_post() {
    let mut program = example("python3", "python-http-server", &[]);
    program.until_ready(2);
    let mut answers: Vec<_> = (0..10).map(|_| get(program.address(), "/").unwrap()).collect();
    answers.sort();
    let expected = [1, 2].into_iter().flat_map(|index| vec![(200, format!("server {index}\n")); 5]);
    assert!(answers.into_iter().eq(expected));
    let sent = "z".repeat(100_000);
    assert_eq!(curl(&["--data", &sent, &program.url("/")]), sent);
    let chunked = ["-H", "Transfer-Encoding: chunked", "--data", &sent, &program.url("/")];
    assert_eq!(curl(&chunked), sent);
    assert_eq!(program.stop(), Some(0));
    assert!(program.stderr.now().contains("stopped: exit code 0"), "TERM ended the workers, not KILL");
}

#[test]
#[cfg_attr(not(all(has = "node", has = "curl")), ignore = "needs node and curl")]
fn a_node_worker_keeps_connections_streams_chunks_and_finishes_on_term() {
    let mut program = example("node", "node", &[]);
    program.until_ready(thread::available_parallelism().unwrap().get());
    let address = program.address();
    for _ in 0..50 {
        let (status, body) = get(address, "/").unwrap();
        assert!(status == 200 && body.starts_with("server "), "{status} {body}");
    }
    let echoed = curl(&["-i", "--data", "by chunks", &program.url("/")]);
    let (head, body) = echoed.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("\r\ntransfer-encoding: chunked"), "{head}");
    assert_eq!(body, "by chunks");
    let mut slow = TcpStream::connect(address).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.windows(7).any(|part| part == b"server ") {
        let mut byte = [0];
        slow.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert_eq!(program.stop(), Some(0));
    slow.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("is done\n") && answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
    assert!(!program.stderr.now().contains("killed"), "TERM ended the workers, not KILL");
}

#[test]
fn no_example_keeps_a_connection_for_as_long_as_its_worker_does() {
    // Seconds after which the worker closes an idle connection; 0 where it closes after each answer.
    for (folder, worker) in [("node", 5.0), ("python-gunicorn", 2.0), ("python-sequential", 0.0)] {
        let folder = repository(&format!("deploy/examples/{folder}"));
        let checked = balancer(&["check", "--config", "lb.toml"]).current_dir(&folder).output().unwrap();
        assert!(checked.status.success(), "{folder:?}: {checked:?}");
        let text = std::fs::read_to_string(folder.join("lb.toml")).unwrap();
        let config = ::balancer::config::parse(&text, "lb.toml").unwrap();
        let pool = &config.pools[0];
        let kept = pool.timeouts.keep_alive.as_secs_f64();
        assert!(pool.idle_connections_max == 0 || kept <= worker / 2.0, "{folder:?}: {kept} s of {worker} s");
    }
}
