use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output};

use crate::support::{LIMIT, Worker, command, socket_path};

fn output(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, stdout } = command.output().unwrap();
    assert_eq!(stdout, b"");
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_taken_port_is_one_clear_message() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let message = format!("backend: cannot listen on 127.0.0.1:{port}: Address already in use (os error 98)\n");
    assert_eq!(output(&mut command(&[&port])), (Some(1), message));
}

#[test]
fn a_failed_start_says_so_and_wrong_arguments_are_2() {
    assert_eq!(output(&mut command(&["--fail-start"])), (Some(1), "backend: told to fail at start\n".into()));
    for wrong in ["--no-such", "70000", "--model=x", "--threads=0", "--keep-alive-timeout=5h"] {
        assert_eq!(output(&mut command(&[wrong])).0, Some(2), "{wrong}");
    }
    let (code, message) = output(&mut command(&["--host", "192.0.2.1", "0"]));
    assert_eq!(code, Some(1));
    assert!(message.starts_with("backend: cannot listen on 192.0.2.1:0: "), "{message}");
}

#[test]
fn the_environment_configures_and_arguments_win() {
    let worker = Worker::from_command(command(&[]).env("PORT", "0").env("HOST", "::1").env("INSTANCE_ID", "3"));
    assert_eq!(worker.name, "server 3");
    assert!(worker.address.starts_with("[::1]:"), "{}", worker.address);
    worker.stop();
    let worker = Worker::from_command(command(&["0", "--name", "x y"]).env("PORT", "1").env("SOCKET", "/nowhere"));
    assert_eq!(worker.name, "x y");
    worker.stop();
    let worker = Worker::start(&[]);
    assert_eq!(worker.name, format!("server {}", worker.socket_address().port()));
}

#[test]
fn a_start_delay_comes_before_the_line() {
    let begun = std::time::Instant::now();
    Worker::start(&["--start-delay", "100ms"]).stop();
    assert!(begun.elapsed().as_millis() >= 100);
}

#[test]
fn the_first_requests_are_slow_where_it_was_asked_for() {
    for model in ["event-loop", "thread-per-connection"] {
        let arguments = ["--model", model, "--cold-requests", "2", "--cold-ms", "150"];
        let worker = Worker::start(&arguments);
        let times: Vec<_> = (0..3)
            .map(|_| {
                let begun = std::time::Instant::now();
                worker.get("/");
                begun.elapsed().as_millis()
            })
            .collect();
        assert!(times[0] >= 150 && times[1] >= 150 && times[2] < 150, "{model}: {times:?}");
    }
}

#[test]
fn what_was_run_is_recorded_line_by_line_and_outlives_a_killed_worker() {
    let folder = socket_path("record");
    std::fs::create_dir(&folder).unwrap();
    let worker = Worker::start(&["--record", folder.to_str().unwrap()]);
    let mut client = worker.connect();
    for id in ["one", "two"] {
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nX-Test-Id: {id}\r\nContent-Length: 0\r\n\r\n"));
        client.answer();
    }
    worker.get("/");
    let file = folder.join(worker.info("pid"));
    drop(worker);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "one\ntwo\n");
    let _ = std::fs::remove_dir_all(folder);
    let (code, message) = output(command(&["--record", "/no/such/folder"]).args(["--port", "0"]));
    assert!(code == Some(1) && message.contains("No such file"), "{code:?} {message}");
}

#[test]
fn a_unix_socket_is_served_by_every_model_and_removed_at_the_end() {
    for model in ["event-loop", "sequential", "thread-per-connection", "thread-pool"] {
        let path = socket_path(model);
        let worker = Worker::from_command(command(&["--model", model]).env("SOCKET", &path).env("PORT", "1"));
        assert_eq!(worker.address, format!("unix:{}", path.display()));
        let mut stream = BufReader::new(UnixStream::connect(&path).unwrap());
        stream.get_ref().set_read_timeout(Some(LIMIT)).unwrap();
        stream.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert_eq!(line, "HTTP/1.1 200 OK\r\n");
        stream.read_to_string(&mut line).unwrap();
        assert!(line.ends_with(&format!("server {}\n", path.display())), "{line}");
        worker.stop();
        assert!(!path.exists(), "{model}");
    }
}

#[test]
fn a_stale_socket_is_replaced_but_nothing_that_is_in_use() {
    let path = socket_path("stale");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let worker = Worker::from_command(command(&["--socket"]).arg(&path));
    // Now somebody listens there.
    let (code, message) = output(command(&["--socket"]).arg(&path));
    assert_eq!(code, Some(1));
    assert!(message.contains("Address already in use"), "{message}");
    worker.stop();
    // No socket, not ours to remove.
    std::fs::write(&path, "kept").unwrap();
    assert_eq!(output(command(&["--socket"]).arg(&path)).0, Some(1));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_worker_serves_on_when_nobody_reads_its_output() {
    let mut child = command(&["--port", "0"]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    drop((stdout, child.stderr.take()));
    let address = line.trim_end().rsplit(' ').next().unwrap();
    for target in ["/log?line=x", "/log?line=x&to=stderr", "/hello"] {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200 OK"), "{answer}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
