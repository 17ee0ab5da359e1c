//! What the server models do under load, with slow clients, and as somebody else.

use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, getuid};

use crate::support::{Client, Worker, command};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HELD: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";

/// A connection whose request a thread is reading.
fn held(worker: &Worker) -> Client {
    let mut client = worker.connect();
    client.send(HELD);
    assert_eq!(client.head(), "HTTP/1.1 100 Continue");
    client
}

#[test]
fn a_pool_that_is_full_refuses_at_once_and_says_when_to_come_again() {
    let worker = Worker::start(&["--model", "pool", "--threads", "1", "--queue", "1"]);
    let mut first = held(&worker);
    let mut waits = worker.connect();
    waits.send("GET /stats HTTP/1.1\r\nHost: a\r\n\r\n");
    // The one that waits was accepted before this one.
    let mut third = worker.connect();
    third.send(GET);
    let answer = third.answer();
    assert_eq!((answer.status(), answer.has("retry-after: 1"), answer.has("connection: close")), (503, true, true));
    assert_eq!(third.rest(), b"");
    first.send("x");
    assert_eq!(first.answer().status(), 200);
    drop(first);
    let stats = waits.answer().text();
    for line in ["active: 1/1\n", "queue: 0/1\n", "refused: 1\n"] {
        assert!(stats.contains(line), "{stats}");
    }
    worker.stop();
}

#[test]
fn the_threads_of_a_pool_have_names_and_its_numbers_are_seen() {
    let worker = Worker::start(&["--model", "pool", "--threads", "3"]);
    // A thread has its parent's name until it has run.
    let names = || -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", worker.pid())).unwrap();
        let name =
            |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.unwrap().path().join("comm"));
        tasks.map(|task| name(task).unwrap().trim().to_owned()).collect()
    };
    let (begun, expected) = (Instant::now(), ["worker-1", "worker-2", "worker-3"]);
    while !expected.iter().all(|name| names().iter().any(|known| known == name)) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", names());
        std::thread::yield_now();
    }
    assert!(worker.get("/stats").text().contains("active: 1/3\nqueue: 0/64\nrefused: 0\n"));
    worker.stop();
}

#[test]
fn who_sends_no_whole_request_in_time_is_answered_408() {
    for model in ["event-loop", "sequential", "threads", "pool", "multi"] {
        let worker = Worker::start(&["--model", model, "--timeout", "150ms"]);
        for begun in ["", "GET / HTTP/1.1\r\nHo"] {
            let mut client = worker.connect();
            client.send(begun);
            let started = Instant::now();
            let answer = client.answer();
            assert_eq!((answer.status(), answer.has("connection: close")), (408, true), "{model} {begun:?}");
            assert!(started.elapsed() >= Duration::from_millis(100), "{model}");
            assert_eq!(client.rest(), b"", "{model}");
        }
        assert_eq!(worker.get("/").status(), 200);
        worker.stop();
    }
}

#[test]
fn work_takes_its_time_and_slots_let_so_many_work_at_once() {
    for (model, slots, least) in [("event-loop", "1", 3), ("threads", "1", 3), ("threads", "3", 1), ("multi", "2", 2)] {
        let worker = Worker::start(&["--model", model, "--slots", slots, "--work", "sleep=200ms"]);
        let started = Instant::now();
        let mut clients: Vec<Client> = (0..3).map(|_| worker.connect()).collect();
        clients.iter_mut().for_each(|client| client.send(GET));
        assert!(clients.iter_mut().all(|client| client.answer().status() == 200));
        assert!(started.elapsed() >= Duration::from_millis(200 * least), "{model} with {slots} slots");
        worker.stop();
    }
}

#[test]
fn keep_alive_off_closes_after_each_answer() {
    for model in ["event-loop", "threads", "pool", "prefork"] {
        let worker = Worker::start(&["--model", model, "--keep-alive", "off"]);
        let mut client = worker.connect();
        client.send(GET);
        assert!(client.answer().has("connection: close"), "{model}");
        assert_eq!(client.rest(), b"", "{model}");
        worker.stop();
    }
}

#[test]
fn children_that_are_preforked_serve_one_connection_each_and_are_replaced_when_they_die() {
    let worker = Worker::start(&["--model", "prefork", "--threads", "2"]);
    let mut clients = [worker.connect(), worker.connect()];
    let mut pids = Vec::new();
    for client in &mut clients {
        client.send(GET);
        assert!(client.answer().has("connection: keep-alive"));
    }
    // Each child has one of them: who comes now waits until one leaves.
    let mut third = worker.connect();
    third.send("GET /info HTTP/1.1\r\nHost: a\r\n\r\n");
    let [first, mut second] = clients;
    drop(first);
    let info = third.answer().text();
    pids.extend(info.lines().find_map(|line| line.strip_prefix("pid: ")?.parse::<i32>().ok()));
    assert_ne!(pids[0], worker.pid());
    drop(third);
    kill(Pid::from_raw(pids[0]), Signal::SIGKILL).unwrap();
    let again = worker.get("/info").text();
    assert!(!again.contains(&format!("pid: {}\n", pids[0])), "{again}");
    second.send(GET);
    assert_eq!(second.answer().status(), 200);
    drop(second);
    worker.stop();
}

#[test]
fn an_option_that_makes_no_sense_ends_the_program_with_the_reason() {
    let output = command(&["--model", "sequential", "--keep-alive", "on"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("would keep all others waiting"), "{output:?}");
}

#[test]
fn root_becomes_somebody_else_once_it_listens() {
    if !getuid().is_root() {
        return;
    }
    let nobody = User::from_name("nobody").unwrap().unwrap();
    for model in ["event-loop", "pool", "prefork"] {
        let worker = Worker::start(&["--model", model, "--drop-to", "nobody"]);
        assert_eq!(worker.info("uid"), nobody.uid.to_string(), "{model}");
        assert_eq!(worker.info("gid"), nobody.gid.to_string(), "{model}");
        let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid())).unwrap();
        let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap().trim();
        assert_eq!(groups, nobody.gid.to_string(), "{model}");
        worker.stop();
    }
    let output = command(&["--port", "0", "--drop-to", "no-such-user"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no such user"), "{output:?}");
}

/// A command whose descriptor 3 is `socket`: a shell moves it there and becomes the program.
fn passed(arguments: &[&str], socket: OwnedFd) -> std::process::Command {
    let mut line = std::process::Command::new("sh");
    line.args([
        "-c",
        "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_backend"),
    ]);
    line.args(arguments).stdin(Stdio::from(socket)).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    for name in ["PORT", "HOST", "SOCKET", "INSTANCE_ID"] {
        line.env_remove(name);
    }
    line
}

#[test]
fn every_model_takes_a_listener_that_is_passed_and_leaves_it_to_others() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for model in ["event-loop", "sequential", "threads", "pool", "multi", "prefork"] {
        let start = || Worker::from_command(&mut passed(&["--model", model], listener.try_clone().unwrap().into()));
        let worker = start();
        assert_eq!(worker.address, address, "{model}");
        assert_eq!(worker.get("/").status(), 200, "{model}");
        worker.stop();
        // It listens still, and the next one answers who comes meanwhile.
        let mut early = Client::new(std::net::TcpStream::connect(&address).unwrap());
        early.send(GET);
        let worker = start();
        assert_eq!(early.answer().status(), 200, "{model}");
        drop(early);
        worker.stop();
    }
    let mut command = passed(&["--backlog", "5"], listener.into());
    let output = command.output().unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("--backlog and --reuse-port are for a listener of its own")
    );
}

#[test]
fn what_is_passed_and_is_no_socket_is_refused() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut child = passed(&[], reader.into()).spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("descriptor 3 is of no use: "), "{said}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
