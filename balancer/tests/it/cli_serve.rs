//! The life of the serving program: what it says at start, what stops it, who is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::program::{
    PATIENCE, PROGRAM, Program, balancer, eventually, file, get, is_alive, run, said, scratch, workers,
};

#[test]
fn the_start_says_version_file_listeners_pools_and_workers_with_pid_and_port() {
    let config = format!("{}[pool.other]\nendpoints = [\"127.0.0.1:1\"]\n{ROUTES}", workers(2));
    let program = Program::serve_ready("start", &config, 2);
    let log = program.stderr.now();
    let path = file("start", &config);
    for part in [
        &format!("balancer {} with {}, ", env!("CARGO_PKG_VERSION"), path.display()),
        &format!("pool app: 2 × {PROGRAM} backend {{port}}"),
        "pool other: 127.0.0.1:1",
        &format!("listening on {}", program.address()),
        " descriptors; at most ",
    ] {
        assert!(log.contains(part), "no {part:?} in {log}");
    }
    for worker in program.until_ready(2) {
        assert!(is_alive(worker.pid));
        let started = format!("{} (pid {}) started for {}", worker.name, worker.pid, worker.place);
        assert!(log.contains(&started), "no {started:?} in {log}");
        assert!(!log.contains("worker="), "facts are not repeated: {log}");
        TcpStream::connect(worker.address()).unwrap();
    }
}

#[test]
fn a_port_that_is_taken_ends_the_start_with_1_and_names_who_holds_it() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let output = run(&["demo", "--listen", &taken.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("cannot listen on {taken}: Address already in use (os error 98); ");
    let who = format!("(pid {}) listens there\n", std::process::id());
    let hint = format!("`--listen {}` takes another port\n", taken.port() + 1);
    let all = said(&output);
    assert!(all.contains(&expected) && all.ends_with(&format!("{who}{hint}")), "{all}");
}

#[test]
fn an_access_log_that_cannot_be_opened_ends_the_start_with_1() {
    // Nobody may make a file there, not even root.
    let config = format!("{}[access_log]\npath = \"/proc/access.log\"\n", workers(1));
    let path = file("access-log", &config);
    let output = run(&["--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "balancer: cannot open the access log /proc/access.log: No such file or directory";
    assert!(said(&output).starts_with(expected), "{}", said(&output));
}

#[test]
fn a_stdout_whose_reader_has_left_stops_nothing() {
    let path = file("closed-stdout", &workers(1));
    let (reader, writer) = std::io::pipe().unwrap();
    let mut program = Program::start_into(&mut balancer(&["--config", path.to_str().unwrap()]), writer);
    program.until_ready(1);
    get(program.address(), "/").unwrap();
    // As `head -n 2` does: the worker's line, a line of the access log, and gone.
    let lines: Vec<_> = BufReader::new(reader).lines().take(2).map(Result::unwrap).collect();
    assert!(lines[0].starts_with("app.1 | server 1 listening on ") && lines[1].contains("\"GET / HTTP/1.1\" 200 "));
    for _ in 0..50 {
        assert_eq!(get(program.address(), "/").unwrap().0, 200);
    }
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn a_stdout_that_nobody_reads_stops_neither_requests_nor_the_end() {
    let path = file("unread-stdout", &workers(1));
    let (reader, writer) = std::io::pipe().unwrap();
    let mut program = Program::start_into(&mut balancer(&["--config", path.to_str().unwrap()]), writer);
    program.until_ready(1);
    // Lines of the access log beyond what a pipe holds (64 KiB).
    for _ in 0..600 {
        assert_eq!(get(program.address(), "/").unwrap().0, 200);
    }
    assert_eq!(program.stop(), Some(0));
    drop(reader);
}

#[test]
fn a_stdout_and_stderr_that_are_closed_stop_nothing() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let (stdout, stderr) = (Stdio::from(writer.try_clone().unwrap()), Stdio::from(writer));
    let mut demo = balancer(&["demo", "--listen", &port.to_string()]);
    let mut child = demo.stdout(stdout).stderr(stderr).spawn().unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    eventually("an answer", || get(port, "/").is_some_and(|(status, _)| status == 200));
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_and_when_it_stops() {
    let path = scratch("notify").join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut bytes = [0; 256];
        let count = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    let config = file("notify-config", &workers(1));
    let mut command = balancer(&["--config", config.to_str().unwrap()]);
    let mut program = Program::start(command.env("NOTIFY_SOCKET", &path));
    assert_eq!(told(), "READY=1\n");
    assert!(get(program.address(), "/info?env=NOTIFY_SOCKET").unwrap().1.contains("NOTIFY_SOCKET is not set"));
    program.signal(Signal::SIGTERM);
    assert_eq!(told(), "STOPPING=1\n");
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn term_int_and_quit_let_the_request_in_flight_finish_and_leave_no_worker() {
    for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGINT, "INT"), (Signal::SIGQUIT, "QUIT")] {
        let mut program = Program::serve_ready(name, &workers(2), 2);
        let mut stream = in_flight(&program, "/sse?n=4&interval_ms=200");
        program.signal(signal);
        program.stderr.until(&format!("{name}: stopping; requests in flight may finish within 30 s"));
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
        assert_eq!(program.wait().code(), Some(0));
        assert!(program.until_ready(2).iter().all(|worker| !is_alive(worker.pid)));
        let text = program.stderr.until_count(" stopped: exit code 0 after ", 2);
        // Where it is root who tests, that is said at the start.
        let warned = |line: &&str| line.contains(" WARN ") && !line.contains("its workers run as root");
        assert_eq!(text.lines().filter(warned).count(), 0, "{text}");
    }
}

#[test]
fn a_second_term_ends_it_at_once() {
    let mut program = Program::serve_ready("second-term", &workers(2), 2);
    let mut stream = in_flight(&program, "/sse?n=1000&interval_ms=100");
    program.signal(Signal::SIGTERM);
    program.stderr.until("TERM: stopping");
    program.signal(Signal::SIGTERM);
    program.stderr.until("asked to stop a second time: requests in flight are cut");
    assert_eq!(program.wait().code(), Some(0));
    let mut rest = Vec::new();
    // Cut, in whichever way; not finished.
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"));
    assert!(program.until_ready(2).iter().all(|worker| !is_alive(worker.pid)));
}

#[test]
fn hup_reloads_and_usr1_opens_the_access_log_again() {
    let folder = scratch("usr1");
    let (path, rotated) = (folder.join("access.log"), folder.join("access.log.1"));
    let config = format!("{}[access_log]\npath = \"{}\"\n", workers(1), path.display());
    let mut program = Program::serve_ready("usr1-config", &config, 1);
    let lines = |path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    get(program.address(), "/one").unwrap();
    eventually("a line", || lines(&path) == 1);
    std::fs::rename(&path, &rotated).unwrap();
    program.signal(Signal::SIGHUP);
    program.stderr.until("HUP: reloading");
    program.stderr.until("reload: untouched: pool app");
    program.signal(Signal::SIGUSR1);
    eventually("a new file", || path.exists());
    get(program.address(), "/two").unwrap();
    assert_eq!(program.stop(), Some(0));
    assert!(std::fs::read_to_string(&path).unwrap().contains("GET /two "));
    assert_eq!(lines(&rotated), 1);
}

/// A request whose answer has begun.
fn in_flight(program: &Program, target: &str) -> TcpStream {
    let mut stream = TcpStream::connect(program.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    stream
}

const ROUTES: &str = "[[route]]\npool = \"app\"\n[[route]]\npath = \"/other\"\npool = \"other\"\n";
