//! What another process of this machine does where we, our workers and our commands look.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs::{self, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, Uid, geteuid, mkfifo};

use crate::harness::{Origin, directory};
use crate::program::{PROGRAM, Program, balancer, eventually, file, get, needs, needs_root, printed, said, scratch};

/// Somebody who answers every request at an address in a worker's stead, as long as it lives.
struct Neighbour(SocketAddr);

impl Neighbour {
    fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                let read = stream.read(&mut request).unwrap_or(0);
                if request[..read].starts_with(b"END") {
                    return;
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nneighbour");
            }
        });
        Self(address)
    }

    fn leave(self) {
        let mut stream = std::net::TcpStream::connect(self.0).unwrap();
        stream.write_all(b"END").unwrap();
        // The end of the connection is the end of the listener.
        let _ = stream.read(&mut [0]);
    }
}

/// Where the worker of a program was told to listen.
fn told(program: &Program) -> SocketAddr {
    let log = program.stderr.until(" started for 127.0.0.1:");
    let (_, rest) = log.split_once(" started for ").unwrap();
    rest.lines().next().unwrap().parse().unwrap()
}

/// A pool of one worker that waits for word in a pipe before it begins.
fn waiting(folder: &Path, command: &str, keys: &str) -> (String, PathBuf) {
    let pipe = folder.join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let command = format!("read word < {}; exec {command}", pipe.display());
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[pool.app]\nready_wait = \"0s\"\n[pool.app.workers]\ncommand = [\"sh\", \"-c\", '''{command}''']\n{keys}\n"
    );
    (config, pipe)
}

#[test]
fn who_listens_at_a_workers_port_before_it_gets_none_of_its_requests() {
    let folder = scratch("neighbour-port");
    for (number, keys) in ["", "ready = { connect = true }", "ready = { path = \"/\" }"].into_iter().enumerate() {
        let folder = folder.join(number.to_string());
        fs::create_dir(&folder).unwrap();
        let (config, pipe) = waiting(&folder, &format!("{PROGRAM} backend $PORT"), keys);
        let program = Program::serve(&format!("neighbour-port-{number}"), &config);
        let address = told(&program);
        let neighbour = Neighbour::at(address);
        let log = program.stderr.until(" and is no process of this worker");
        let own = std::process::id();
        assert!(
            log.contains(&format!(" listens on {address} and is ")) && log.contains(&format!("(pid {own})")),
            "{log}"
        );
        assert_eq!(get(program.address(), "/").unwrap().0, 503);
        // Once the worker can have the port, it is ready.
        neighbour.leave();
        eventually("the port is free", || TcpListener::bind(address).is_ok());
        OpenOptions::new().write(true).open(&pipe).unwrap().write_all(b"go\n").unwrap();
        program.until_ready(1);
        assert_eq!(get(program.address(), "/"), Some((200, "server 1\n".to_owned())));
        assert_eq!(program.stderr.now().matches(" is not ready yet: ").count(), 1, "it is said once");
    }
}

#[test]
fn a_worker_whose_port_stays_a_neighbours_is_not_ready_in_time_and_says_whose_it_is() {
    let folder = scratch("neighbour-stays-pipe");
    let (config, _pipe) = waiting(&folder, "true", "ready_timeout = \"8s\"");
    let program = Program::serve("neighbour-stays", &config);
    let address = told(&program);
    let _neighbour = Neighbour::at(address);
    let log = program.stderr.until(": stopping it");
    let line = log.lines().find(|line| line.contains(": stopping it")).unwrap();
    assert!(line.contains("is not ready after") && line.contains(&format!(" listens on {address} and is ")), "{line}");
    assert!(line.contains("listener = \"any\""), "{line}");
}

#[test]
fn where_anybody_may_listen_for_a_worker_somebody_may() {
    let folder = scratch("neighbour-any-pipe");
    let (config, _pipe) = waiting(&folder, "true", "listener = \"any\"");
    let program = Program::serve("neighbour-any", &config);
    let _proxy = Neighbour::at(told(&program));
    program.until_ready(1);
    assert_eq!(get(program.address(), "/"), Some((200, "neighbour".to_owned())));
}

#[test]
#[cfg_attr(not(has = "python3"), ignore = "needs python3")]
fn whichever_process_of_a_run_listens_the_worker_is_ready() {
    needs("python3");
    // The first process forks; in a session of its own; twice, so that its parent is gone; and with no mark left.
    let serve = "import http.server,os\nh=http.server.SimpleHTTPRequestHandler\ndef serve(): http.server.HTTPServer(('127.0.0.1',int(os.environ['PORT'])),h).serve_forever()\n";
    let ways = [
        ("fork", "if os.fork()==0: serve()\nos.wait()"),
        ("session", "if os.fork()==0:\n os.setsid()\n serve()\nos.wait()"),
        (
            "twice",
            "if os.fork()==0:\n os.setsid()\n if os.fork()==0: serve()\n os._exit(0)\nos.wait()\nimport signal\nsignal.pause()",
        ),
        (
            "unmarked",
            "import sys\nif len(sys.argv)>1: serve()\nif os.fork()==0:\n os.setsid()\n if os.fork()==0:\n  e=dict(os.environ); del e['BALANCER_RUN']\n  os.execve(sys.executable,[sys.executable,'-c',open('/proc/self/cmdline').read().split(chr(0))[2],'x'],e)\n os._exit(0)\nos.wait()\nimport signal\nsignal.pause()",
        ),
        (
            "prefork",
            "import socket,time\ns=socket.socket()\ns.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)\ns.bind(('127.0.0.1',int(os.environ['PORT'])))\ns.listen()\nfor _ in range(3):\n if os.fork()==0:\n  while True:\n   c,_=s.accept(); c.recv(9999); c.send(b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n'); c.close()\ns.close()\nos.wait()",
        ),
    ];
    for (name, way) in ways {
        let config = format!(
            "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = [\"python3\", \"-c\", \"\"\"{}\"\"\"]\n",
            format!("{serve}{way}").replace('\\', "\\\\")
        );
        let program = Program::serve_ready(&format!("whose-{name}"), &config, 1);
        assert_eq!(get(program.address(), "/").unwrap().0, 200, "{name}");
        assert!(!program.stderr.now().contains(" is not ready yet: "), "{name}: {}", program.stderr.now());
    }
}

#[test]
#[cfg_attr(not(all(has = "python3", has = "root")), ignore = "needs python3 and root")]
fn what_another_pool_has_left_behind_gets_none_of_a_workers_requests() {
    needs("python3");
    needs_root();
    // It leaves an orphan with an empty environment, which takes the port of the other pool's worker once that is known.
    let marker = format!("other-pool-{}", std::process::id());
    let script = format!(
        "import http.server,os,signal,sys,time\nsignal.alarm(120)\n\
         class H(http.server.BaseHTTPRequestHandler):\n def do_GET(self): self.send_response(200); self.end_headers()\n\
         def serve(port): http.server.HTTPServer(('127.0.0.1',port),H).serve_forever()\n\
         def args(pid):\n try: return open('/proc/'+pid+'/cmdline').read().split(chr(0))\n except OSError: return []\n\
         if len(sys.argv)>1:\n while True:\n  found=[a[-2] for a in map(args,filter(str.isdigit,os.listdir('/proc'))) if a[-3:-2]==['{marker}']]\n  \
         if found: serve(int(found[0]))\n  time.sleep(.01)\n\
         if os.fork()==0:\n os.setsid()\n if os.fork()==0: os.execve(sys.executable,[sys.executable,'-c',args('self')[2],'x'],{{}})\n os._exit(0)\n\
         os.wait(); serve(int(os.environ['PORT']))"
    );
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[pool.a.workers]\ncommand = [\"/usr/bin/python3\", \"-c\", \"\"\"{}\"\"\"]\nuser = \"nobody\"\n\
         [pool.b]\nready_wait = \"0s\"\n[pool.b.workers]\ncommand = [\"sh\", \"-c\", \"sleep 1000; true\", \"{marker}\", \"{{port}}\"]\n\
         [[route]]\npool = \"b\"\n[[route]]\npath = \"/a\"\npool = \"a\"\n",
        script.replace('\\', "\\\\")
    );
    let mut program = Program::serve("neighbour-orphan", &config);
    let log = program.stderr.until(" and is no process of this worker");
    let line = log.lines().find(|line| line.contains(" and is no process of this worker")).unwrap();
    assert!(line.contains("b.1 (pid ") && line.contains(": python3 (pid "), "{line}");
    assert_eq!(get(program.address(), "/").unwrap().0, 503);
    // So that the orphan is ended.
    program.stop();
}

#[test]
fn who_takes_the_port_of_a_ready_worker_gets_no_requests_for_long() {
    // A wrapper that starts its server once more, and lives when that has ended again.
    let folder = scratch("neighbour-later");
    let pipe = folder.join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = [\"sh\", \"-c\", '''{PROGRAM} backend $PORT; {PROGRAM} backend $PORT; read word < {}''']\n",
        pipe.display()
    );
    let path = file("neighbour-later-lb", &config);
    let program = Program::start(&mut balancer(&["--log-level", "debug", "--config", path.to_str().unwrap()]));
    let worker = program.until_ready(1).remove(0);
    let address = worker.address();
    let title = format!("{} (pid {})", worker.name, worker.pid);
    let own = format!("{title} has the listener at {address}");
    let end_server = || {
        let children = format!("/proc/{0}/task/{0}/children", worker.pid);
        let server = fs::read_to_string(children).unwrap().trim().parse().unwrap();
        kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
    };
    program.stderr.until_count(&own, 1);
    end_server();
    // Another listener of the worker's own changes nothing.
    program.stderr.until_count(&own, 2);
    assert_eq!(get(program.address(), "/"), Some((200, "server 1\n".to_owned())));
    end_server();
    eventually("the port is free", || TcpListener::bind(address).is_ok());
    let _neighbour = Neighbour::at(address);
    let log = program.stderr.until(" and is stopped, to start it again");
    let line = log.lines().find(|line| line.contains(" and is stopped, to start it again")).unwrap();
    assert!(line.contains(&format!("listens on {address} and is no process of {title}, ")), "{line}");
    assert!(line.contains(&format!("(pid {})", std::process::id())), "{line}");
    program.until_ready(2);
    for _ in 0..5 {
        assert_eq!(get(program.address(), "/"), Some((200, "server 1\n".to_owned())));
    }
}

/// A command in a folder, with the usual place for sockets of its own.
fn command(place: &Path, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = balancer(arguments);
    command.current_dir(folder).env("PWD", folder).env("XDG_RUNTIME_DIR", place).output().unwrap()
}

fn nobody() -> Uid {
    nix::unistd::User::from_name("nobody").unwrap().unwrap().uid
}

#[test]
fn commands_ask_nothing_at_a_socket_that_somebody_else_has_laid_there() {
    let base = directory().canonicalize().unwrap();
    let (place, elsewhere) = (base.join("sockets"), base.join("elsewhere"));
    for folder in [&place, &elsewhere] {
        fs::create_dir(folder).unwrap();
    }
    let path = place.join("lb.sock");
    let origin = Origin::named("1");
    fs::write(
        base.join("lb.toml"),
        format!(
            "listen = \"127.0.0.1:0\"\n[pool.app]\nendpoints = [\"{}\"]\n[admin]\nsocket = {path:?}\n",
            origin.address()
        ),
    )
    .unwrap();
    let refused = |why: &str| {
        for arguments in
            [&["status"][..], &["stop"], &["reload"], &["logs"], &["status", "--socket", path.to_str().unwrap()]]
        {
            let output = command(&base, &base, arguments);
            let text = said(&output);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
            assert!(text.contains(&format!("cannot ask {}: ", path.display())) && text.contains(why), "{text}");
        }
    };
    let trap = UnixListener::bind(elsewhere.join("trap.sock")).unwrap();
    trap.set_nonblocking(true).unwrap();
    symlink(elsewhere.join("trap.sock"), &path).unwrap();
    refused("it is a link");
    fs::remove_file(&path).unwrap();
    fs::hard_link(elsewhere.join("trap.sock"), &path).unwrap();
    fs::set_permissions(&place, Permissions::from_mode(0o777)).unwrap();
    refused("others may write to ");
    fs::set_permissions(&place, Permissions::from_mode(0o755)).unwrap();
    if geteuid().is_root() {
        lchown(&path, Some(nobody().as_raw()), None).unwrap();
        refused("it belongs to account nobody");
    }
    assert_eq!(trap.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody has connected");
    fs::remove_dir_all(base).unwrap();
}

#[test]
fn commands_wait_for_nobody_who_does_not_answer() {
    let base = directory().canonicalize().unwrap();
    let path = base.join("mute.sock");
    let _mute = UnixListener::bind(&path).unwrap();
    for arguments in [["status", "--socket", path.to_str().unwrap()], ["stop", "--socket", path.to_str().unwrap()]] {
        let begun = Instant::now();
        let output = command(&base, &base, &arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("it does not answer in time"), "{}", said(&output));
        assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    }
    fs::remove_dir_all(base).unwrap();
}

#[test]
fn an_order_that_takes_longer_than_any_wait_is_followed_to_its_end() {
    let folder = scratch("long-order");
    // Longer than the first look whether it lives.
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = [\"{PROGRAM}\", \"backend\", \"{{port}}\"]\nwarm_up = {{ requests = 12, path = \"/delay?ms=1000\" }}\n"
    );
    fs::write(folder.join("lb.toml"), config).unwrap();
    let place = directory().canonicalize().unwrap();
    let mut serve = balancer(&["--config", "lb.toml"]);
    let program = Program::start(serve.current_dir(&folder).env("PWD", &folder).env("XDG_RUNTIME_DIR", &place));
    program.until_ready(1);
    let output = command(&place, &folder, &["restart"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("replaced"), "{} {}", said(&output), printed(&output));
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn no_admin_socket_is_opened_where_a_neighbour_has_laid_a_link_or_a_folder() {
    let base = directory().canonicalize().unwrap();
    let (real, link) = (base.join("real"), base.join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    let origin = Origin::named("1");
    let start = || {
        let config = format!(
            "listen = \"127.0.0.1:0\"\n[pool.app]\nendpoints = [\"{}\"]\n[admin]\nsocket = {:?}\n",
            origin.address(),
            link.join("lb.sock")
        );
        balancer(&["--config", file("neighbour-link", &config).to_str().unwrap()])
    };
    // A link of our own is as good as what it leads to.
    let mut program = Program::start(&mut start());
    program.stderr.until("listening on ");
    assert!(real.join("lb.sock").exists());
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
    if geteuid().is_root() {
        lchown(&link, Some(nobody().as_raw()), None).unwrap();
        let output = start().output().unwrap();
        let text = said(&output);
        assert!(output.status.code() == Some(1) && text.contains(" is a link that account nobody has made"), "{text}");
        lchown(&link, Some(0), None).unwrap();
        lchown(&real, Some(nobody().as_raw()), None).unwrap();
        let text = said(&start().output().unwrap());
        assert!(text.contains(" belongs to account nobody"), "{text}");
    }
    fs::remove_dir_all(base).unwrap();
}

#[test]
fn logs_are_not_for_every_account_and_follow_no_link_of_a_neighbour() {
    let base = directory().canonicalize().unwrap();
    let (log, target) = (base.join("access.log"), base.join("precious"));
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[access_log]\npath = {log:?}\n[pool.app.workers]\ncommand = [\"{PROGRAM}\", \"backend\", \"{{port}}\"]\noutput = \"file\"\noutput_dir = {base:?}\n"
    );
    let mut program = Program::serve_ready("neighbour-logs", &config, 1);
    assert_eq!(get(program.address(), "/").unwrap().0, 200);
    let of_worker = base.join("app.1.log");
    eventually("both are there", || log.exists() && of_worker.exists());
    for path in [&log, &of_worker] {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o137, 0, "{path:?}");
    }
    assert_eq!(program.stop(), Some(0));
    if geteuid().is_root() {
        fs::write(&target, "").unwrap();
        for path in [&log, &of_worker] {
            fs::remove_file(path).unwrap();
            symlink(&target, path).unwrap();
        }
        lchown(&of_worker, Some(nobody().as_raw()), None).unwrap();
        let program = Program::serve_ready("neighbour-logs-worker", &config, 1);
        program.stderr.until("it is a link that account nobody has made; lines are dropped");
        drop(program);
        fs::write(&target, "").unwrap();
        lchown(&log, Some(nobody().as_raw()), None).unwrap();
        let output =
            balancer(&["--config", file("neighbour-logs-access", &config).to_str().unwrap()]).output().unwrap();
        let text = said(&output);
        assert!(output.status.code() == Some(1) && text.contains("cannot open the access log"), "{text}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "");
    }
    fs::remove_dir_all(base).unwrap();
}

#[test]
fn what_a_neighbour_lays_into_the_state_directory_is_neither_read_nor_followed() {
    let state = directory().canonicalize().unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o777)).unwrap();
    let (kept, beside, target) =
        (state.join("lb.learned.json"), state.join("lb.learned.json.new1"), state.join("precious"));
    fs::write(&target, "precious").unwrap();
    symlink(&target, &beside).unwrap();
    fs::write(&kept, "{\"version\":1,\"pools\":{}}").unwrap();
    fs::set_permissions(&kept, Permissions::from_mode(0o666)).unwrap();
    let config = format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = {state:?}\n[pool.app]\nslots = 1\n[pool.app.workers]\ncommand = [\"{PROGRAM}\", \"backend\", \"{{port}}\"]\n"
    );
    let mut program = Program::serve_ready("neighbour-state", &config, 1);
    program.stderr.until(" are not used: it belongs to account ");
    for _ in 0..10 {
        assert_eq!(get(program.address(), "/").unwrap().0, 200);
    }
    assert_eq!(program.stop(), Some(0));
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    assert!(fs::symlink_metadata(&kept).unwrap().is_file());
    assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o777, 0o600);
    fs::remove_dir_all(state).unwrap();
}
