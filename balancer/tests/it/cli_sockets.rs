//! Workers that listen on Unix sockets of ours, seen from outside the program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::directory;
use crate::program::{
    PATIENCE, PROGRAM, Program, Traffic, Worker, balancer, curl, eventually, file, get, is_alive, needs, needs_root,
    post, printed, said, scratch,
};

#[test]
fn workers_on_sockets_serve_and_leave_nothing_behind() {
    for command in ["", ", \"--socket\", \"{socket}\""] {
        let base = Base::new();
        let mut program = base.serve("sockets", &workers(command, "count = 2"), 2);
        let folder = base.only_entry();
        program.stderr.until(&format!("workers' sockets are in {}", folder.display()));
        for worker in program.until_ready(2) {
            let socket = path(&worker);
            assert!(socket.starts_with(&folder), "{worker:?}");
            for private in [&*folder, socket.parent().unwrap()] {
                assert_eq!(std::fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o700);
            }
        }
        let mut answers: Vec<_> = (0..10).map(|_| get(program.address(), "/").unwrap()).collect();
        answers.sort();
        let expected = [1, 2].into_iter().flat_map(|index| vec![(200, format!("server {index}\n")); 5]);
        assert!(answers.into_iter().eq(expected));
        let log = program.stdout.until_count(" endpoint=app.", 10);
        assert!(log.contains(" endpoint=app.1 ") && log.contains(" endpoint=app.2 "), "{log}");
        for (name, is_set) in [("PORT", false), ("HOST", false), ("SOCKET", true)] {
            let text = get(program.address(), &format!("/info?env={name}")).unwrap().1;
            assert_eq!(!text.contains(&format!("{name} is not set")), is_set, "{text}");
        }
        assert_eq!(program.stop(), Some(0));
        assert_eq!(base.entries(), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_worker_is_ready_once_it_answers_its_health_path_on_its_socket() {
    let base = Base::new();
    let mut program = base.serve("sockets-health", &workers("", "ready = { path = \"/health\" }"), 1);
    assert_eq!(get(program.address(), "/"), Some((200, "server 1\n".to_owned())));
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn bodies_streams_and_tunnels_go_through_a_workers_socket() {
    let base = Base::new();
    let program = base.serve("sockets-bodies", &workers("", ""), 1);
    let address = program.address();
    let sent = "z".repeat(3_000_000);
    let (status, body) = post(address, "/upload", &sent).unwrap();
    assert!(status == 200 && body.contains("3000000"), "{status} {body}");
    assert_eq!(get(address, "/bytes?n=3000000").map(|(status, body)| (status, body.len())), Some((200, 3_000_000)));
    assert!(get(address, "/sse?n=3&interval_ms=10").unwrap().1.ends_with("0\r\n\r\n"));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /upgrade?proto=websocket HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nback").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nback") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
    assert_eq!(get(address, "/close").unwrap().0, 200);
    assert_eq!(get(address, "/half").map(|(status, _)| status), None, "a body that breaks off breaks off here too");
    assert_eq!(post(address, "/crash", "").map(|(status, _)| status), Some(502));
}

#[test]
fn a_worker_that_never_makes_its_socket_is_told_which_one_was_meant() {
    let base = Base::new();
    let config = "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = [\"sleep\", \"1000\"]\nsocket = true\nready_timeout = \"300ms\"\n";
    let program = base.serve("sockets-never", config, 0);
    let log = program.stderr.until("which is what {socket} and $SOCKET name: stopping it");
    let folder = base.only_entry();
    assert!(log.contains(&format!("; it does not listen on unix:{}/app.1-1/sock, which", folder.display())), "{log}");
    let log = program.stderr.until_count("stopping it", 2);
    assert!(log.contains("/app.1-2/sock, which"), "a new path at each start: {log}");
    assert_eq!(get(program.address(), "/").unwrap().0, 503);
}

#[test]
fn a_worker_that_listens_on_a_port_instead_is_told_so() {
    let base = Base::new();
    // A port as its argument wins over $SOCKET.
    let program = base.serve("sockets-port", &workers(", \"0\"", "ready_timeout = \"2s\""), 0);
    program.stderr.until("which is what {socket} and $SOCKET name, but on 127.0.0.1:");
}

#[test]
fn a_worker_that_listens_elsewhere_is_told_so_long_before_its_time_is_over() {
    let config = "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = [\"PROGRAM\", \"backend\", \"0\"]\nready_timeout = \"10m\"\n";
    let program = Base::new().serve("ports-early", &config.replace("PROGRAM", PROGRAM), 0);
    let log = program.stderr.until(" by {port} and $PORT");
    assert!(
        log.contains(" is not ready yet: it listens on 127.0.0.1:") && log.contains(", and was told 127.0.0.1:"),
        "{log}"
    );
}

#[test]
#[cfg_attr(not(has = "python3"), ignore = "needs python3")]
fn of_a_worker_that_listens_on_every_address_it_is_said_once() {
    needs("python3");
    let config = "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = [\"python3\", \"-m\", \"http.server\", \"{port}\"]\ncount = 2\n";
    let program = Base::new().serve("ports-every", config, 2);
    let log = program.stderr.until("which is every address of this machine: clients can reach it without balancer");
    assert!(log.contains("app.1 (pid ") && log.contains(" listens on 0.0.0.0:"), "{log}");
}

#[test]
fn a_worker_that_takes_no_notice_of_its_port_is_told_so_too() {
    let config = "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = [\"PROGRAM\", \"backend\", \"0\"]\nfirst_port = 13517\nready_timeout = \"2s\"\n";
    // A port of its own: whoever happened to listen on one that is chosen would be taken for the worker.
    let program = Base::new().serve("ports-other", &config.replace("PROGRAM", PROGRAM), 0);
    program.stderr.until("which is what {port} and $PORT name, but on 127.0.0.1:");
}

#[test]
fn workers_on_sockets_killed_while_serving_cost_no_get_and_come_back_elsewhere() {
    let base = Base::new();
    let program = base.serve("sockets-killed", &workers("", "count = 3"), 3);
    let traffic = Traffic::start(program.address(), "/delay?ms=20", 4);
    for round in 0..3 {
        traffic.await_more();
        let victim = program.until_ready(3 + round).pop().unwrap();
        kill(Pid::from_raw(victim.pid), Signal::SIGKILL).unwrap();
        let back = program.until_ready(4 + round).pop().unwrap();
        assert!(back.name == victim.name && back.place != victim.place, "{back:?}");
        assert!(!path(&victim).parent().unwrap().exists(), "its socket went with it");
    }
    traffic.assert_all_served();
}

#[test]
fn a_socket_that_is_removed_costs_nothing_while_another_worker_is_there_and_its_own_is_replaced() {
    let base = Base::new();
    let program = base.serve("sockets-removed", &workers("", "count = 2").replace("[pool.app.workers]", NO_IDLE), 2);
    let victim = program.until_ready(2).remove(0);
    std::fs::remove_file(path(&victim)).unwrap();
    for _ in 0..20 {
        assert_eq!(get(program.address(), "/").unwrap().0, 200);
    }
    let log = program.stderr.until(" was stopped: exit code 0 after ");
    let said =
        format!("{} of {} (pid {}) was removed, so clients cannot connect", victim.place, victim.name, victim.pid);
    assert!(log.contains(&said), "{log}");
    let back = program.until_ready(3).pop().unwrap();
    assert!(back.name == victim.name && back.place != victim.place, "{back:?}");
    assert_eq!(get(program.address(), "/").unwrap().0, 200);
}

#[test]
fn a_socket_that_is_removed_of_the_only_worker_is_502_until_the_worker_is_replaced() {
    let base = Base::new();
    let program = base.serve("sockets-only", &workers("", "").replace("[pool.app.workers]", NO_IDLE), 1);
    let only = program.until_ready(1).remove(0);
    std::fs::remove_file(path(&only)).unwrap();
    let (status, body) = get(program.address(), "/").unwrap();
    assert!(status == 502 && body.contains("connect_failed"), "{status} {body}");
    program.until_ready(2);
    assert_eq!(get(program.address(), "/"), Some((200, "server 1\n".to_owned())));
}

#[test]
fn a_worker_cannot_lead_requests_elsewhere_by_a_link_in_the_place_of_its_socket() {
    let base = Base::new();
    let other = base.serve("sockets-other", &workers("", ""), 1);
    let aim = path(&other.until_ready(1)[0]);
    // From the beginning: it is never ready.
    let command = format!("ln -s {} $SOCKET; exec sleep 1000", aim.display());
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[pool.app]\nready_wait = \"0s\"\n[pool.app.workers]\ncommand = [\"sh\", \"-c\", '{command}']\nsocket = true\nready_timeout = \"1s\"\n"
    );
    let program = base.serve("sockets-link", &config, 0);
    program.stderr.until(": stopping it");
    assert_eq!(get(program.address(), "/").unwrap().0, 503);
    // Later: it is replaced.
    let program = base.serve("sockets-link-later", &workers("", ""), 1);
    let socket = path(&program.until_ready(1)[0]);
    std::fs::remove_file(&socket).unwrap();
    std::os::unix::fs::symlink(&aim, &socket).unwrap();
    program.stderr.until(" was removed, so clients cannot connect");
    program.until_ready(2);
}

#[test]
#[cfg_attr(not(has = "users of its own"), ignore = "needs users of its own")]
fn a_place_that_cannot_hold_sockets_ends_the_start_with_1_and_check_warns_of_it() {
    let long = scratch("sockets-long").join("x".repeat(100));
    std::fs::create_dir_all(&long).unwrap();
    // Without the place that everybody may write to, which takes a view of the files of one's own.
    let namespace = ["--user", "--map-root-user", "--mount"];
    let may = Command::new("unshare").args(namespace).arg("true").stderr(Stdio::null()).status();
    assert!(may.is_ok_and(|status| status.success()), "needs unshare(1) and user namespaces");
    let config = file("sockets-nowhere", &workers("", ""));
    let with = |place: &Path, arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(namespace).args(["sh", "-c", "mount --bind /proc /dev/shm && exec \"$@\"", "sh", PROGRAM]);
        command.args(arguments).args(["--config", config.to_str().unwrap()]);
        for name in ["XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY", "TMPDIR"] {
            command.env(name, place);
        }
        command.output().unwrap()
    };
    // Nobody may make a directory in the first, not even root.
    for (place, reason) in [(Path::new("/proc"), " in /proc: "), (&*long, " bytes, 107 are the most of a socket")] {
        let output = with(place, &[]);
        assert_eq!(output.status.code(), Some(1));
        let text = said(&output);
        assert!(
            text.contains("cannot make a directory for the workers' sockets in ") && text.contains(reason),
            "{text}"
        );
        assert!(text.contains("; XDG_RUNTIME_DIR may name a better place"), "{text}");
        let output = with(place, &["check"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(said(&output).starts_with("warning: cannot make a directory for the workers' sockets"), "{output:?}");
        assert!(printed(&output).contains(" 1 warning\n"), "{output:?}");
    }
    let base = Base::new();
    assert_eq!(printed(&with(&base.0, &["check"])).matches(" 0 warnings\n").count(), 1);
    assert_eq!(base.entries(), Vec::<PathBuf>::new());
}

#[test]
fn after_kill_9_no_worker_is_left_and_the_next_start_cleans_up() {
    let base = Base::new();
    let mut program = base.serve("sockets-kill-9", &workers("", "count = 2"), 2);
    let left = base.only_entry();
    let pids: Vec<_> = program.until_ready(2).iter().map(|worker| worker.pid).collect();
    let beside = base.serve("sockets-beside", &workers("", ""), 1);
    let of_the_other = path(&beside.until_ready(1)[0]);
    program.signal(Signal::SIGKILL);
    program.wait();
    eventually("no worker is left", || pids.iter().all(|pid| !is_alive(*pid)));
    assert!(left.exists());
    let next = base.serve("sockets-next", &workers("", ""), 1);
    next.stderr.until(&format!("removed {}, left by an instance that was killed", left.display()));
    assert!(!left.exists());
    assert!(of_the_other.exists(), "of one that runs");
    for program in [&beside, &next] {
        assert_eq!(get(program.address(), "/").unwrap().0, 200);
    }
}

#[test]
#[cfg_attr(not(has = "python3"), ignore = "needs python3")]
fn what_a_worker_nests_beside_its_socket_is_removed_beside_the_work_and_at_the_next_start() {
    needs("python3");
    // In memory where that can be: a disk may take milliseconds for each folder.
    let shm = Path::new("/dev/shm").join(format!("balancer-nesting-{}", std::process::id()));
    let base = if std::fs::create_dir(&shm).is_ok() { Base(shm) } else { Base::new() };
    let config = nesting();
    let mut program = base.serve("sockets-nested", &config, 1);
    let folder = base.only_entry();
    let first = program.until_ready(1).remove(0);
    kill(Pid::from_raw(first.pid), Signal::SIGKILL).unwrap();
    // It serves with the next while what the first has left goes.
    let second = program.until_ready(2).remove(1);
    assert_eq!(get(program.address(), "/"), Some((200, "python 1\n".to_owned())));
    eventually("it is removed", || !path(&first).parent().unwrap().exists());
    assert!(path(&second).exists());
    program.signal(Signal::SIGKILL);
    program.wait();
    eventually("no worker is left", || !is_alive(second.pid));
    let next = base.serve("sockets-nested-next", &workers("", ""), 1);
    next.stderr.until(&format!("removed {}, left by an instance that was killed", folder.display()));
    assert!(!folder.exists());
}

#[test]
#[cfg_attr(not(all(has = "root", has = "python3")), ignore = "needs root and python3")]
fn workers_of_another_user_get_a_folder_of_their_own() {
    // Not the one of somebody's home, and not this test's own build: others may not be allowed there.
    let python = Path::new("/usr/bin/python3");
    needs_root();
    assert!(python.exists(), "needs /usr/bin/python3");
    let (base, closed) = (Base::new(), Base::new());
    std::fs::set_permissions(&closed.0, PermissionsExt::from_mode(0o700)).unwrap();
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = [{python:?}, \"-c\", '''{PYTHON}''']\nsocket = true\nuser = \"nobody\"\n"
    );
    let file = file("sockets-user", &config);
    let mut command = balancer(&["--config", file.to_str().unwrap()]);
    let mut program = Program::start(command.env("XDG_RUNTIME_DIR", &closed.0).env("RUNTIME_DIRECTORY", &base.0));
    let worker = program.until_ready(1).remove(0);
    let folder = path(&worker).parent().unwrap().to_owned();
    assert!(folder.starts_with(&base.0), "{worker:?}");
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let metadata = std::fs::metadata(&folder).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (nobody.uid.as_raw(), 0o700));
    assert_eq!(std::fs::metadata(folder.parent().unwrap()).unwrap().mode() & 0o777, 0o711);
    assert_eq!(get(program.address(), "/"), Some((200, "python 1\n".to_owned())));
    assert_eq!(program.stop(), Some(0));
    assert_eq!(base.entries(), Vec::<PathBuf>::new());
}

#[test]
fn run_takes_a_socket_from_its_command_alone() {
    let base = Base::new();
    let arguments = ["run", "-n", "2", "--listen", "127.0.0.1:0", "--", PROGRAM, "backend", "--socket", "{socket}"];
    let mut program = Program::start(base.of(&mut balancer(&arguments)));
    assert!(program.until_ready(2).iter().all(|worker| worker.place.starts_with("unix:")));
    assert_eq!(get(program.address(), "/").unwrap().0, 200);
    assert_eq!(program.stop(), Some(0));
    for both in [&["run", "a", "{socket}", "{port}"][..], &["run", "--first-port", "8000", "a", "{socket}"]] {
        let output = crate::program::run(both);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(said(&output), "balancer run: workers listen on a {socket} or on a {port}, not on both\n");
    }
}

#[test]
#[cfg_attr(not(all(has = "curl", has = "node", has = "python3")), ignore = "needs curl, node and python3")]
fn servers_of_node_and_python_listen_where_the_variable_says() {
    for (program, option, script, name) in [("node", "-e", NODE, "node"), ("python3", "-c", PYTHON, "python")] {
        needs(program);
        let base = Base::new();
        let config = format!(
            "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = [\"{program}\", \"{option}\", '''{script}''']\nsocket = true\ncount = 2\n"
        );
        let mut running = base.serve(&format!("sockets-{name}"), &config, 2);
        let mut answers: Vec<_> = (0..20).map(|_| get(running.address(), "/").unwrap()).collect();
        answers.sort();
        let expected = [1, 2].into_iter().flat_map(|index| vec![(200, format!("{name} {index}\n")); 10]);
        assert!(answers.into_iter().eq(expected));
        let sent = "z".repeat(100_000);
        assert_eq!(curl(&["--data", &sent, &running.url("/")]), sent);
        assert_eq!(running.stop(), Some(0));
        assert_eq!(base.entries(), Vec::<PathBuf>::new());
    }
}

/// A place for sockets of this test alone.
struct Base(PathBuf);

impl Base {
    fn new() -> Self {
        Self(directory().canonicalize().unwrap())
    }

    fn of<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("XDG_RUNTIME_DIR", &self.0)
    }

    fn serve(&self, test: &str, config: &str, ready: usize) -> Program {
        let file = file(test, config);
        let program = Program::start(self.of(&mut balancer(&["--config", file.to_str().unwrap()])));
        if ready > 0 {
            program.until_ready(ready);
        }
        program
    }

    /// What is there besides the directory of the admin socket.
    fn entries(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| !path.ends_with("balancer")).collect()
    }

    fn only_entry(&self) -> PathBuf {
        let mut entries = self.entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0)
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Where a worker listens.
fn path(worker: &Worker) -> PathBuf {
    worker.place.strip_prefix("unix:").unwrap().into()
}

/// A pool of built-in workers on sockets.
fn workers(arguments: &str, keys: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = [\"{PROGRAM}\", \"backend\"{arguments}]\nsocket = true\n{keys}\n"
    )
}

/// A pool of one worker that is ready once it has made fifty thousand folders, each in the one before.
fn nesting() -> String {
    let nest = "import os\nhere = os.getcwd()\nos.chdir(os.path.dirname(os.environ[\"SOCKET\"]))\n\
                for _ in range(50000):\n    os.mkdir(\"d\")\n    os.chdir(\"d\")\nos.chdir(here)\n";
    format!(
        "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = [\"python3\", \"-c\", '''{nest}{PYTHON}''']\nsocket = true\n"
    )
}

const NO_IDLE: &str = "[pool.app]\nidle_connections_max = 0\n[pool.app.workers]";

const NODE: &str = r#"
const server = require("http").createServer((request, response) => {
  if (request.method === "POST") request.pipe(response);
  else response.end(`node ${process.env.INSTANCE_ID}\n`);
}).listen(process.env.SOCKET);
process.on("SIGTERM", () => server.close(() => process.exit()));
"#;

const PYTHON: &str = r#"
import http.server, os, signal, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def address_string(self):
        return "unix"
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(b"python %s\n" % os.environ["INSTANCE_ID"].encode())
    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server(os.environ["SOCKET"], Handler).serve_forever()
"#;
