//! What the whole program does for workers that die, hang or are replaced under load.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::program::{PATIENCE, Program, Traffic, eventually, file, get, post, workers};

#[test]
fn the_end_of_a_worker_names_the_requests_it_died_with() {
    let program = Program::serve_ready("named", &workers(1), 1);
    let (status, _) = post(program.address(), "/crash?why=1", "words").unwrap();
    assert_eq!(status, 502);
    let log = program.stderr.until(" died: killed by signal 6 (SIGABRT");
    let line = log.lines().find(|line| line.contains(" died: ")).unwrap();
    assert!(line.contains(" with 1 request in flight (POST /crash?why=1 since "), "{line}");
    let id = line.split(", id ").nth(1).unwrap().split(')').next().unwrap();
    program.stdout.until(&format!("id={id}"));
}

#[test]
fn the_end_of_a_worker_names_the_request_whose_answer_it_did_not_finish() {
    let script = r#"["python3", "-u", "-c", "import os,socket\ns=socket.create_server(('127.0.0.1',int(os.environ['PORT'])))\nwhile True:\n c,_=s.accept()\n if b'deadly' in c.recv(9999):\n  c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\nhalf')\n  os.kill(os.getpid(),9)\n c.close()\n"]"#;
    for slots in ["", "slots = 1\n"] {
        let config = format!("listen = \"127.0.0.1:0\"\n[pool.app]\n{slots}[pool.app.workers]\ncommand = {script}\n");
        let program = Program::serve_ready("named-half", &config, 1);
        let _ = get(program.address(), "/deadly");
        let log = program.stderr.until(" died: killed by signal 9");
        let line = log.lines().find(|line| line.contains(" died: ")).unwrap();
        assert!(line.contains(" with 1 request in flight (GET /deadly since "), "{slots}: {line}");
    }
}

#[test]
fn a_path_that_workers_die_of_is_refused_and_others_are_served() {
    let program = Program::serve_ready("query-of-death", &format!("{}query_of_death = 2\n", workers(3)), 3);
    let address = program.address();
    for death in 1..=2 {
        assert_eq!(post(address, "/crash", "").unwrap().0, 502);
        program.stderr.until_count(" died: killed by signal 6", death);
        assert_eq!(get(address, "/").unwrap().0, 200, "innocent");
    }
    program.stderr.until("POST /crash was in flight when workers died, 2 times within a minute");
    for _ in 0..5 {
        let (status, body) = post(address, "/crash?again", "").unwrap();
        assert!(status == 503 && body.contains("query_of_death"), "{status} {body}");
        assert_eq!(post(address, "/echo", "hello").unwrap().0, 200);
    }
    assert_eq!(program.stderr.now().matches(" died: ").count(), 2);
    program.stdout.until("reason=query_of_death");
}

#[test]
fn a_get_that_workers_die_of_takes_two_with_it_and_its_client_no_more_than_allowed() {
    let program = Program::serve_ready("get-of-death", &workers(5), 5);
    // It is tried three times where nobody dies of it.
    let (status, body) = get(program.address(), "/crash").unwrap();
    assert!(status == 502 && body.contains("closed_early"), "{status} {body}");
    assert_eq!(program.stderr.until_count(" died: ", 2).matches(" died: ").count(), 2);
    let (status, body) = get(program.address(), "/crash").unwrap();
    assert!(status == 502 && body.contains("closed_early"), "{status} {body}");
    program.stderr.until("GET /crash was in flight when workers died, 3 times within a minute (app.");
    for _ in 0..10 {
        let (status, body) = get(program.address(), "/crash").unwrap();
        assert!(status == 503 && body.contains("query_of_death"), "{status} {body}");
    }
    assert_eq!(program.stderr.until_count(" died: ", 3).matches(" died: ").count(), 3);
}

#[test]
fn one_that_asks_again_at_once_is_told_of_a_failure_when_the_death_counts() {
    // Else it would be faster than the collecting of dead processes.
    for slots in ["", "slots = 1\n"] {
        let config = workers(6).replace("[pool.app.workers]", &format!("[pool.app]\n{slots}[pool.app.workers]"));
        let program = Program::serve_ready("death-unknown", &config, 6);
        let statuses: Vec<u16> = (0..12).map(|_| post(program.address(), "/crash", "").unwrap().0).collect();
        assert_eq!(statuses, [[502; 3].as_slice(), &[503; 9]].concat(), "{slots}");
        program.stderr.until("POST /crash was in flight when workers died, 3 times within a minute");
        assert_eq!(program.stderr.until_count(" died: ", 3).matches(" died: ").count(), 3);
    }
}

#[test]
fn who_kills_with_one_path_in_many_spellings_is_refused_all_of_them() {
    let config = format!("trusted_proxies = [\"127.0.0.1\"]\n{}query_of_death = 1\n", workers(4));
    let program = Program::serve_ready("death-by-spelling", &config, 4);
    let ask = |method: &str, target: &str, client: &str| {
        request(program.address(), method, target, &format!("X-Forwarded-For: {client}\r\n")).0
    };
    assert_eq!(ask("GET", "/crash", "192.0.2.1"), 502);
    assert_eq!(ask("GET", "//crash", "192.0.2.1"), 200, "the worker reads it as another path");
    assert_eq!(ask("HEAD", "/crash", "192.0.2.1"), 502);
    program.stderr.until("for client 192.0.2.1, with every other spelling of the path and others like it");
    assert_eq!(["//crash", "/x/../crash", "/%63rash"].map(|target| ask("GET", target, "192.0.2.1")), [503; 3]);
    assert_eq!((ask("GET", "/other", "192.0.2.1"), ask("GET", "//crash", "192.0.2.2")), (200, 200));
    assert_eq!(program.stderr.until_count(" died: ", 2).matches(" died: ").count(), 2);
}

#[test]
fn who_kills_is_refused_alone_until_three_clients_have_killed() {
    let config = format!("trusted_proxies = [\"127.0.0.1\"]\n{}", workers(8));
    let program = Program::serve_ready("death-by-client", &config, 8);
    let crash = |client: &str| post_as(program.address(), "/crash", &format!("X-Forwarded-For: 6.6.6.6, {client}\r\n"));
    assert_eq!([(); 5].map(|()| crash("192.0.2.1").0), [502, 502, 502, 503, 503]);
    let log = program.stderr.until("is answered 503 for a minute for client 192.0.2.1");
    let line = log.lines().find(|line| line.contains("POST /crash was in flight")).unwrap();
    let named = line.matches(" (pid ").count();
    assert_eq!((named, line.matches(", client 192.0.2.1, id ").count()), (3, 3), "{line}");
    let id = line.split(", id ").nth(1).unwrap().get(..32).unwrap();
    program.stdout.until(&format!("id={id}"));
    // Another reaches a worker, and so does a third.
    assert_eq!(crash("192.0.2.2").0, 502);
    assert_eq!(crash("2001:db8::3").0, 502);
    program.stderr.until("is answered 503 for a minute for every client");
    let (status, body) = crash("192.0.2.4");
    assert!(status == 503 && body.contains("query_of_death"), "{status} {body}");
    assert_eq!(post_as(program.address(), "/echo", "X-Forwarded-For: 192.0.2.1\r\n").0, 200, "other paths");
    assert_eq!(program.stderr.until_count(" died: ", 5).matches(" died: ").count(), 5);
}

#[test]
fn an_answer_in_between_keeps_a_path_open_to_everybody() {
    let config = format!(
        "listen = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\n[pool.app.workers]\ncommand = {ODD}\ncount = 8\n"
    );
    let program = Program::serve_ready("death-between", &config, 8);
    let login = |client: u8, more: &str| {
        post_as(program.address(), "/login", &format!("X-Forwarded-For: 192.0.2.{client}\r\n{more}")).0
    };
    for killer in 1..=4 {
        assert_eq!(login(killer, "X-Die: 1\r\n"), 502);
        program.stderr.until_count(" died: ", killer.into());
        assert_eq!(login(100, ""), 200, "an innocent client");
    }
    assert_eq!([(); 3].map(|()| login(1, "X-Die: 1\r\n")), [502, 502, 503], "with the one before, three");
    assert_eq!((login(1, ""), login(100, "")), (503, 200));
}

#[test]
fn connections_that_workers_close_without_dying_refuse_nothing_and_take_two_tries() {
    for slots in ["", "slots = 1\n"] {
        let config =
            format!("listen = \"127.0.0.1:0\"\n[pool.app]\n{slots}[pool.app.workers]\ncommand = {ODD}\ncount = 4\n");
        let program = Program::serve_ready("closed-alive", &config, 4);
        let address = program.address();
        for method in ["POST", "GET"] {
            for _ in 0..8 {
                assert_eq!(request(address, method, "/login", "X-Bad: 1\r\n").0, 502);
                assert_eq!(request(address, method, "/login", "").0, 200);
            }
        }
        let log = program.stdout.until_count("reason=closed_early", 16);
        let tries = |count: u32| log.lines().filter(|line| line.contains(&format!("attempts={count} "))).count();
        assert_eq!((tries(2), tries(3)), (8, 0), "{log}");
        let said = program.stderr.now();
        assert!(!said.contains(" died: ") && !said.contains("was in flight"), "{said}");
    }
}

#[test]
fn innocents_are_served_beside_two_crashers_of_a_path() {
    let config =
        workers(4).replace("[pool.app.workers]", "[pool.app]\nslots = 1\nqueue_timeout = \"30s\"\n[pool.app.workers]");
    let config = format!("trusted_proxies = [\"127.0.0.1\"]\n{config}");
    let program = Program::serve_ready("two-crashers", &config, 4);
    let address = program.address();
    let innocents = Traffic::start(address, "/", 2);
    std::thread::scope(|scope| {
        for crasher in 1..=2 {
            scope.spawn(move || {
                let fields = format!("X-Forwarded-For: 192.0.2.{crasher}\r\n");
                let statuses: Vec<u16> = (0..20).map(|_| post_as(address, "/crash", &fields).0).collect();
                assert_eq!(statuses[10..], [503; 10], "{statuses:?}");
            });
        }
    });
    innocents.await_more();
    innocents.assert_all_served();
    let log = program.stderr.now();
    assert!(!log.contains("is answered 503 for a minute for every client"), "{log}");
}

/// Closes the connection of a request with `X-Bad`, dies of one with `X-Die`, and answers all others.
const ODD: &str = r#"["python3", "-c", "import os,socket,sys,threading\ns=socket.create_server(('127.0.0.1',int(sys.argv[1])),backlog=99)\ndef one(c):\n b=b''\n while 1:\n  while b'\\r\\n\\r\\n' not in b:\n   d=c.recv(9999)\n   if not d: return\n   b+=d\n  h,b=b.split(b'\\r\\n\\r\\n',1)\n  if b'X-Die' in h: os._exit(3)\n  if b'X-Bad' in h: return c.close()\n  c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\nwhile 1: threading.Thread(target=one,args=(s.accept()[0],),daemon=True).start()\n", "{port}"]"#;

/// As [`request`], a POST.
fn post_as(address: SocketAddr, target: &str, fields: &str) -> (u16, String) {
    request(address, "POST", target, fields)
}

/// The status and the body that a request without a body is answered with.
fn request(address: SocketAddr, method: &str, target: &str, fields: &str) -> (u16, String) {
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n{fields}\r\n");
    let mut connection = connect(address);
    connection.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[test]
fn a_request_that_hangs_is_answered_504_and_its_worker_replaced() {
    let config = format!("{}hang_timeout = \"500ms\"\nstop_timeout = \"200ms\"\n", workers(2));
    let program = Program::serve_ready("hang", &config, 2);
    let begun = Instant::now();
    let (status, body) = get(program.address(), "/hang").unwrap();
    assert!(status == 504 && body.contains("worker_hung"), "{status} {body}");
    assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
    program.stderr.until("has not answered a request within 500 ms: it is stopped and another started");
    program.until_ready(3);
    program.stderr.until(" did not answer and was stopped: ");
    for _ in 0..10 {
        assert_eq!(get(program.address(), "/").unwrap().0, 200);
    }
}

#[test]
fn one_client_replaces_few_workers_with_what_takes_too_long() {
    let config = format!("{}hang_timeout = \"300ms\"\nstop_timeout = \"200ms\"\n", workers(2));
    let program = Program::serve_ready("hang-again", &config, 2);
    for hung in 1..=3 {
        let (status, body) = get(program.address(), "/hang").unwrap();
        assert!(status == 504 && body.contains("worker_hung"), "{status} {body}");
        program.stderr.until_count(" did not answer and was stopped: ", hung);
        program.until_ready(2 + hung);
    }
    program.stderr.until("GET /hang of client 127.0.0.1 was answered too late 3 times within a minute");
    for _ in 0..2 {
        let (status, body) = get(program.address(), "/hang").unwrap();
        assert!(status == 504 && body.contains("response_timeout"), "{status} {body}");
        assert_eq!(get(program.address(), "/").unwrap().0, 200);
    }
    assert_eq!(program.stderr.now().matches(" did not answer and was stopped: ").count(), 3);
}

#[test]
fn a_worker_that_hangs_and_is_never_started_again_stays_ended() {
    let config = format!("{}hang_timeout = \"300ms\"\nstop_timeout = \"200ms\"\nrestart = \"never\"\n", workers(2));
    let program = Program::serve_ready("hang-never", &config, 2);
    assert_eq!(get(program.address(), "/hang").unwrap().0, 504);
    program
        .stderr
        .until("has not answered a request within 300 ms: it is stopped and not started again (restart = \"never\")");
    program.stderr.until(" did not answer and was stopped: ");
    // The other serves on alone; a third would have come at once.
    for _ in 0..20 {
        assert_eq!(get(program.address(), "/").unwrap().0, 200);
    }
    assert_eq!(get(program.address(), "/hang").unwrap().0, 504);
    program.stderr.until_count(" did not answer and was stopped: ", 2);
    assert_eq!(program.stderr.now().matches(" started for ").count(), 2, "{}", program.stderr.now());
}

#[test]
fn workers_that_are_replaced_all_the_time_cost_no_request_and_run_no_post_twice() {
    // Each is replaced about every second and a half.
    let script = r#"["python3", "-u", "-c", "import http.server,os,socketserver\nclass H(http.server.BaseHTTPRequestHandler):\n protocol_version='HTTP/1.1'\n def do_GET(self):\n  n=int(self.headers.get('Content-Length') or 0)\n  b=self.rfile.read(n)\n  if b: os.write(1,b'ran '+b+b'\\n')\n  self.send_response(200)\n  self.send_header('Content-Length','2')\n  self.end_headers()\n  self.wfile.write(b'ok')\n do_POST=do_GET\n def log_message(self,*a): pass\nclass S(socketserver.ThreadingMixIn,http.server.HTTPServer):\n daemon_threads=False\n request_queue_size=128\nimport signal,threading\ns=S(('127.0.0.1',int(os.environ['PORT'])),H)\nsignal.signal(signal.SIGTERM,lambda *a: threading.Thread(target=s.shutdown).start())\ns.serve_forever()\ns.server_close()\n"]"#;
    for (name, command) in [("replaced-built-in", None), ("replaced-python", Some(script))] {
        let config = match command {
            None => format!("{}age_max = \"1s\"\n", workers(2)),
            Some(command) => format!(
                "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = {command}\ncount = 2\nage_max = \"1s\"\n"
            ),
        };
        let program = Program::serve_ready(name, &config, 2);
        let address = program.address();
        let (done, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|client| {
                    let (done, sent) = (&done, &sent);
                    scope.spawn(move || {
                        let mut connection = connect(address);
                        for number in 0.. {
                            if done.load(Ordering::Relaxed) {
                                break;
                            }
                            let body = format!("{client}-{number}.");
                            let status = exchange(&mut connection, &body);
                            assert_eq!(status, "HTTP/1.1 200 OK", "{body}");
                            sent.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            program.until_ready(9);
            done.store(true, Ordering::Relaxed);
            clients.into_iter().for_each(|client| client.join().unwrap());
        });
        assert!(program.stderr.now().contains("is to be replaced: age_max ("));
        if command.is_some() {
            let count = sent.load(Ordering::Relaxed);
            let said = program.stdout.until_count("| ran ", count);
            let mut ran = BTreeMap::<&str, usize>::new();
            said.split("| ran ").skip(1).for_each(|rest| *ran.entry(rest.split('.').next().unwrap()).or_default() += 1);
            assert_eq!((ran.len(), ran.values().max()), (count, Some(&1)));
        }
    }
}

#[test]
#[cfg_attr(not(has = "processes of its own"), ignore = "needs processes of its own")]
fn as_process_1_it_collects_the_orphans_of_others() {
    let namespace = ["-pf", "--mount-proc"];
    let may = Command::new("unshare").args(namespace).arg("true").stderr(Stdio::null()).status();
    assert!(may.is_ok_and(|status| status.success()), "needs unshare(1) and a namespace of processes");
    let worker = "(setsid sleep 1000 &); exec \"$0\" backend \"$1\"";
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = [\"sh\", \"-c\", '{worker}', {:?}, \"{{port}}\"]\n",
        env!("CARGO_BIN_EXE_balancer")
    );
    let file = file("process-1", &config);
    let mut command = Command::new("unshare");
    command.args(namespace).arg(env!("CARGO_BIN_EXE_balancer")).args(["--config", file.to_str().unwrap()]);
    let mut program = Program::start(&mut command);
    let log = program.stderr.until(" is ready at ");
    assert!(log.contains("app.1 (pid "), "{log}");
    let one = children(program.pid())[0];
    let names = || {
        let name = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        children(one).iter().map(name).collect::<Vec<_>>()
    };
    eventually("the orphan is its child", || names().iter().any(|name| name == "sleep\n"));
    let orphan = children(one).into_iter().zip(names()).find(|(_, name)| name == "sleep\n").unwrap().0;
    kill(Pid::from_raw(orphan), Signal::SIGKILL).unwrap();
    // One that has ended and is not collected would stand here for ever.
    eventually("the orphan is collected", || names().iter().all(|name| name != "sleep\n"));
    assert_eq!(get(program.address(), "/").unwrap().0, 200);
    kill(Pid::from_raw(one), Signal::SIGTERM).unwrap();
    assert_eq!(program.wait().code(), Some(0));
}

fn connect(address: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection
}

/// A POST on a connection that stays, and the first line of its answer.
fn exchange(connection: &mut TcpStream, body: &str) -> String {
    let head = format!("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
    connection.write_all((head + body).as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = match connection.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.unwrap(),
        };
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            let complete = match length {
                Some(length) => rest.len() >= length,
                None => rest.ends_with("0\r\n\r\n"),
            };
            if complete {
                return head.lines().next().unwrap().to_owned();
            }
        }
    }
}

/// Processes whose parent this one is.
fn children(pid: i32) -> Vec<i32> {
    let mut children = Vec::new();
    // None of a process that has ended.
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(text.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
    }
    children
}
