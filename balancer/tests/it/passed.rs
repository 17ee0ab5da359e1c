//! Listeners that whoever starts us has opened: socket activation.

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::signal::Signal;

use super::harness::{Balancer, Client, Gate, Origin, directory, eventually, ok, passing, pool_of};
use super::program::{Traffic, needs};

const WEB: &str = "listen = \"fd:web\"\nthreads = 2\n";

/// One that stays open whatever becomes of those it is passed to.
fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn passed(listener: &TcpListener) -> OwnedFd {
    listener.try_clone().unwrap().into()
}

#[test]
fn a_passed_listener_is_served_by_every_thread() {
    let (listener, origin) = (listener(), Origin::named("1"));
    let mut balancer = Balancer::start_passed(passed(&listener), &["web"], WEB, &pool_of(&[&origin]));
    assert_eq!(balancer.address(), listener.local_addr().unwrap());
    balancer.await_stderr("fd:web: listening on 127.0.0.1:");
    let mut clients: Vec<Client> = (0..16).map(|_| Client::of(&balancer)).collect();
    assert!(clients.iter_mut().all(|client| client.get("/").status() == 200));
    let (code, status) = balancer.run(&["status"]);
    assert!(code == 0 && status.contains(&balancer.address().to_string()), "{status}");
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
}

#[test]
fn a_worker_gets_nothing_of_what_was_passed() {
    let listener = listener();
    let script = "echo variables $(env | grep -c ^LISTEN_); echo sockets $(ls -l /proc/$$/fd | grep -c socket:); exec sleep 1000";
    let tables = format!(
        "[pool.app]\nendpoints = [\"127.0.0.1:9\"]\n[pool.own.workers]\n\
         command = [\"sh\", \"-c\", '''{script}''']\n[[route]]\npool = \"app\"\n"
    );
    let balancer = Balancer::start_passed(passed(&listener), &["web"], WEB, &tables);
    // Its shell has pipes of its own for a moment.
    balancer.logged_in("stdout", &["own.1 | variables 0"]);
    balancer.logged_in("stdout", &["own.1 | sockets 0"]);
}

#[test]
fn a_restart_loses_no_connection_while_the_socket_stays_open() {
    let (listener, origin) = (listener(), Origin::named("1"));
    let start = || Balancer::start_passed(passed(&listener), &["web"], WEB, &pool_of(&[&origin]));
    let mut balancer = start();
    let traffic = Traffic::start(balancer.address(), "/", 4);
    for _ in 0..3 {
        traffic.await_more();
        balancer.signal(Signal::SIGTERM);
        assert!(balancer.ended().success());
        balancer = start();
    }
    traffic.await_more();
    traffic.assert_all_served();
}

#[test]
fn who_connects_while_nobody_serves_is_answered_by_the_next() {
    let (gate, listener) = (Gate::default(), listener());
    let go = gate.clone();
    let origin = Origin::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            if request.line.contains("/slow") {
                go.wait();
            }
            exchange.send(ok("done"));
        }
    });
    let start = || Balancer::start_passed(passed(&listener), &["web"], WEB, &pool_of(&[&origin]));
    let mut first = start();
    let mut slow = Client::of(&first);
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.await_requests(1);
    first.signal(Signal::SIGTERM);
    first.await_stderr("stopping");
    let mut waiting = Client::of(&first);
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    gate.open();
    assert_eq!(slow.response().text(), "done");
    assert!(first.ended().success());
    let mut meanwhile = Client::at(listener.local_addr().unwrap());
    meanwhile.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let _second = start();
    assert_eq!((waiting.response().text(), meanwhile.response().text()), ("done".into(), "done".into()));
}

#[test]
#[cfg_attr(not(has = "systemd-socket-activate"), ignore = "needs systemd-socket-activate")]
fn systemd_passes_unix_sockets_and_is_told_of_those_that_nobody_serves() {
    needs("systemd-socket-activate");
    let (folder, origin) = (directory(), Origin::named("1"));
    let (web, other) = (folder.join("web.sock"), folder.join("other.sock"));
    let mut command = Command::new("systemd-socket-activate");
    command.arg("-l").arg(&web).arg("-l").arg(&other).arg("--fdname=web:other");
    command.arg(format!("--setenv=XDG_RUNTIME_DIR={}", folder.display())).arg(env!("CARGO_BIN_EXE_balancer"));
    // It starts the program for the first client.
    let first = thread::spawn({
        let web = web.clone();
        move || {
            eventually(|| format!("{}", web.display()), || UnixStream::connect(&web).ok());
            Client::unix(&web).get("/").status()
        }
    });
    let mut balancer = Balancer::start_by(command, folder, WEB, &pool_of(&[&origin]));
    assert_eq!(first.join().unwrap(), 200);
    balancer.await_stderr(&format!("fd:web: listening on unix:{}", web.display()));
    balancer.await_stderr(&format!(
        "descriptor other (unix:{}) was passed, but no listener uses it, so clients wait there: write \"fd:other\" into `listen`",
        other.display()
    ));
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
    assert!(web.exists(), "the file is that of whoever made it");
}

#[test]
fn what_was_not_passed_is_said_with_what_to_do() {
    let listener = listener();
    for (names, listen, expected) in [
        (
            vec!["web"],
            "\"fd:app\"",
            "cannot listen on fd:app: it was not passed, but fd:web; write that, or give it this name",
        ),
        (vec!["web", "web"], "\"fd:web\"", "cannot listen on fd:web: 2 descriptors were passed under this name; "),
        (vec!["a", "b"], "[\"fd:a\", \"fd:b\"]", "cannot listen on fd:b: it is 127.0.0.1:"),
        (vec![], "\"fd:web\"", "cannot listen on fd:web: it was not passed; start balancer by the .socket unit"),
    ] {
        let said = refused(&names, listen, Stdio::from(passed(&listener)));
        assert!(said.contains(expected), "{said}");
    }
    let said = refused(&["web"], "\"fd:web\"", Stdio::null());
    assert!(said.contains("cannot listen on fd:web: it is no socket ("), "{said}");
}

/// What it says that does not start.
fn refused(names: &[&str], listen: &str, stdin: Stdio) -> String {
    let folder = directory();
    let file = config(&folder, listen);
    let mut command = match names {
        [] => Command::new(env!("CARGO_BIN_EXE_balancer")),
        names => passing(names),
    };
    let output = command.arg("--config").arg(file).env("XDG_RUNTIME_DIR", &folder).stdin(stdin).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    fs::remove_dir_all(folder).unwrap();
    said
}

fn config(folder: &Path, listen: &str) -> PathBuf {
    let file = folder.join("lb.toml");
    fs::write(&file, format!("listen = {listen}\n[pool.app]\nendpoints = [\"127.0.0.1:9\"]\n")).unwrap();
    file
}

#[test]
fn check_says_what_is_left_to_whoever_starts_us() {
    let (folder, listener) = (directory(), listener());
    let file = config(&folder, "[\"fd:web\", \"127.0.0.1:0\"]");
    let check = |mut command: Command, stdin: Stdio| {
        let output = command.arg("check").arg("--config").arg(&file).stdin(stdin).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    };
    let said = check(Command::new(env!("CARGO_BIN_EXE_balancer")), Stdio::null());
    assert!(said.contains("note: fd:web is opened by the service manager") && !said.contains("warning"), "{said}");
    let said = check(passing(&["web"]), passed(&listener).into());
    assert_eq!(said, "", "it was passed");
    let said = check(passing(&["app"]), passed(&listener).into());
    assert!(said.contains("warning: cannot listen on fd:web: it was not passed, but fd:app; "), "{said}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_reload_keeps_a_passed_listener_or_closes_it_and_adds_none() {
    let (listener, origin) = (listener(), Origin::named("1"));
    let mut balancer = Balancer::start_passed(passed(&listener), &["web"], WEB, &pool_of(&[&origin]));
    let file = balancer.directory().join("lb.toml");
    let rewrite = |from: &str, to: &str| {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
    };
    let mut stays = Client::of(&balancer);
    assert_eq!(stays.get("/").status(), 200);
    rewrite("[pool.app]", "[pool.app]\nattempts_max = 1");
    let (code, said) = balancer.run(&["reload"]);
    assert!(code == 0 && !said.contains("listen"), "{said}");
    assert_eq!((stays.get("/").status(), Client::of(&balancer).get("/").status()), (200, 200));
    rewrite("listen = \"fd:web\"", "listen = [\"fd:web\", \"fd:new\"]");
    for arguments in [&["reload", "--dry-run"][..], &["reload"]] {
        let (code, said) = balancer.run(arguments);
        let why = "cannot listen on fd:new from now on: listeners are passed at the start, so restart the balancer; nothing has changed";
        assert!(code == 1 && said.contains(why), "{code} {said}");
    }
    assert_eq!(Client::of(&balancer).get("/").status(), 200);
    let unix = balancer.directory().join("lb.sock");
    rewrite("listen = [\"fd:web\", \"fd:new\"]", &format!("listen = \"unix:{}\"", unix.display()));
    let (code, said) = balancer.run(&["reload"]);
    assert!(code == 0 && said.contains("listen: fd:web removed; its connections stay until they end\n"), "{said}");
    balancer.await_stderr("the service manager keeps fd:web open, and clients wait there: stop its .socket unit too");
    assert_eq!((stays.get("/").status(), Client::unix(&unix).get("/").status()), (200, 200));
    let inode = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
    let holds = || {
        let open = fs::read_dir(format!("/proc/{}/fd", balancer.pid())).unwrap().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|link| link == inode)
    };
    eventually(|| "the end of the listener".into(), || (!holds()).then_some(()));
}

#[test]
fn a_passed_unix_listener_is_not_ours_to_remove() {
    let (folder, origin) = (directory(), Origin::named("1"));
    let path = folder.join("lb.sock");
    let mut balancer = Balancer::start_passed(UnixListener::bind(&path).unwrap(), &["web"], WEB, &pool_of(&[&origin]));
    assert_eq!(Client::unix(&path).get("/").status(), 200);
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
    assert!(path.exists());
    fs::remove_dir_all(folder).unwrap();
}
