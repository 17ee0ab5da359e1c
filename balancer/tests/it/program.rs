//! The program itself as a process, as people start it: its output, its address, its workers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running balancer; killed when dropped, its workers with it.
pub(crate) struct Program {
    child: Child,
    pub(crate) stdout: Text,
    pub(crate) stderr: Text,
}

/// A worker as the log tells of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) pid: i32,
    /// As the log has it, `unix:/path` where it is a socket.
    pub(crate) place: String,
}

impl Worker {
    pub(crate) fn address(&self) -> SocketAddr {
        self.place.parse().unwrap()
    }
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Text::of(child.stdout.take().unwrap());
        let stderr = Text::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// As [`Program::start`], with a stdout of the test's own.
    pub(crate) fn start_into(command: &mut Command, stdout: impl Into<Stdio>) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        // The command has a copy of that stdout as long as it lives.
        *command = Command::new("false");
        let stderr = Text::of(child.stderr.take().unwrap());
        Self { child, stdout: Text::default(), stderr }
    }

    /// Serves `config` from a file.
    pub(crate) fn serve(test: &str, config: &str) -> Self {
        Self::start(&mut balancer(&["--config", file(test, config).to_str().unwrap()]))
    }

    /// Serves `config` until all of its workers are ready.
    pub(crate) fn serve_ready(test: &str, config: &str, workers: usize) -> Self {
        let program = Self::serve(test, config);
        program.until_ready(workers);
        program
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        let log = self.stderr.until("listening on 127.0.0.1:");
        let (_, rest) = log.split_once("listening on ").unwrap();
        rest.lines().next().unwrap().parse().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Those that were reported ready, in that order, after at least so many were.
    pub(crate) fn until_ready(&self, count: usize) -> Vec<Worker> {
        let log = self.stderr.until_count(" is ready at ", count);
        let ready = log.lines().filter(|line| line.contains(" is ready at "));
        ready.map(|line| worker(line.split("INFO ").nth(1).unwrap())).collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Its exit, and all it said.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.wait().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let _ = writeln!(std::io::stderr(), "what it said:\n{}", self.stderr.now());
        }
    }
}

/// Text that grows and can be waited for.
#[derive(Clone, Default)]
pub(crate) struct Text(Arc<(Mutex<String>, Condvar)>);

impl Text {
    fn of(from: impl Read + Send + 'static) -> Self {
        let text = Self::default();
        let growing = text.clone();
        thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let (text, grown) = &*growing.0;
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                grown.notify_all();
                line.clear();
            }
        });
        text
    }

    pub(crate) fn now(&self) -> String {
        // A test that has failed holds it still.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn until(&self, part: &str) -> String {
        self.until_count(part, 1)
    }

    pub(crate) fn until_count(&self, part: &str, count: usize) -> String {
        let (text, grown) = &*self.0;
        let lacks = |text: &mut String| text.matches(part).count() < count;
        let (text, waited) = grown.wait_timeout_while(text.lock().unwrap(), PATIENCE, lacks).unwrap();
        let text = text.clone();
        assert!(!waited.timed_out(), "no {part:?} ({count} times) in:\n{text}");
        text
    }
}

/// The program with arguments, without what of our environment it listens to.
pub(crate) fn balancer(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null());
    for name in ["RUST_LOG", "BALANCER_CONFIG", "BALANCER_SOCKET", "NOTIFY_SOCKET"] {
        command.env_remove(name);
    }
    // Its admin socket is its own, however many run.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("balancer-run-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    command.env("XDG_RUNTIME_DIR", directory);
    command
}

/// Runs a command that ends by itself.
pub(crate) fn run(arguments: &[&str]) -> Output {
    balancer(arguments).output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A configuration file of this test.
pub(crate) fn file(test: &str, config: &str) -> PathBuf {
    let path = scratch(test).join("lb.toml");
    std::fs::write(&path, config).unwrap();
    path
}

/// An empty directory of this test.
pub(crate) fn scratch(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("program-{test}"));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path.canonicalize().unwrap()
}

/// Something of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path).canonicalize().unwrap()
}

/// A listener on a free port and a pool of built-in workers.
pub(crate) fn workers(count: usize) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\n[pool.app.workers]\ncommand = [\"{PROGRAM}\", \"backend\", \"{{port}}\"]\ncount = {count}\n"
    )
}

/// Whether a tool is there, for a part of a test; where everything has to be, its absence is a failure.
pub(crate) fn has(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    assert!(is_there || std::env::var_os("CI").is_none(), "{tool} is missing; .ci/run says which package has it");
    is_there
}

/// Fails where a tool is missing. The test is ignored by name there (`build.rs`), unless it is asked for, or everything has to be there.
pub(crate) fn needs(tool: &str) {
    assert!(has(tool), "{tool} is missing; .ci/run says which package has it");
}

/// Fails where we are not root, as [`needs`].
pub(crate) fn needs_root() {
    assert!(nix::unistd::geteuid().is_root(), "this test has to be root");
}

/// What a tool prints; it must end well.
pub(crate) fn tool(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{}{}", output.status, said(&output), printed(&output));
    printed(&output)
}

pub(crate) fn curl(arguments: &[&str]) -> String {
    tool(Command::new("curl").args(["-sS", "--max-time", "20"]).args(arguments))
}

/// The status and the body of a GET, on a connection of its own; nothing when there is no whole answer.
pub(crate) fn get(address: SocketAddr, target: &str) -> Option<(u16, String)> {
    exchange(address, &format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
}

/// As [`get`], with a body.
pub(crate) fn post(address: SocketAddr, target: &str, body: &str) -> Option<(u16, String)> {
    let length = body.len();
    let head = format!("POST {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n");
    exchange(address, &format!("{head}\r\n{body}"))
}

fn exchange(address: SocketAddr, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let length =
        head.to_lowercase().split_once("content-length: ").map(|(_, rest)| rest.lines().next().map(str::to_owned));
    let whole = length.flatten().is_none_or(|length| length.parse() == Ok(body.len()));
    Some((head.get(9..12)?.parse().ok()?, body.to_owned())).filter(|_| whole)
}

/// Whether a process runs; one that only waits to be collected does not.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub(crate) fn eventually(what: &str, mut test: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !test() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// `app.1 (pid 7) is ready at 127.0.0.1:8000 after 0.1 s`.
fn worker(sentence: &str) -> Worker {
    let words: Vec<&str> = sentence.split(' ').collect();
    Worker {
        name: words[0].to_owned(),
        pid: words[2].trim_end_matches(')').parse().unwrap(),
        place: words[6].to_owned(),
    }
}

/// An example of `deploy/` with its own file, but for the address, from its own folder, with more in its environment; nothing
pub(crate) fn example(language: &str, folder: &str, environment: &[(&str, &str)]) -> Program {
    needs(language);
    let folder = repository(&format!("deploy/examples/{folder}"));
    let text = std::fs::read_to_string(folder.join("lb.toml")).unwrap();
    let config = text.replace("listen = \"127.0.0.1:8080\"", "listen = \"127.0.0.1:0\"");
    assert_ne!(text, config);
    let name = format!("{}-{}", folder.file_name().unwrap().to_string_lossy(), environment.len());
    let mut command = balancer(&["--config", file(&name, &config).to_str().unwrap()]);
    Program::start(command.envs(environment.iter().copied()).current_dir(folder))
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_balancer");
/// More than any of this takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Clients that ask for the same again and again until they are told to end.
pub(crate) struct Traffic {
    done: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<thread::JoinHandle<Vec<Answer>>>,
}

impl Traffic {
    /// Begins, with so many clients.
    pub(crate) fn start(address: SocketAddr, target: &'static str, clients: usize) -> Self {
        let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |_| {
            let (done, answered) = (Arc::clone(&done), Arc::clone(&answered));
            thread::spawn(move || {
                let mut wrong = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let answer = get(address, target);
                    if answer.as_ref().is_none_or(|(status, _)| *status != 200) {
                        wrong.push(answer);
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                wrong
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { done, answered, clients }
    }

    /// Waits until it flows.
    pub(crate) fn await_more(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("traffic", || self.answered.load(Ordering::Relaxed) > before + 10);
    }

    /// Ends it, and asserts that every answer was 200.
    pub(crate) fn assert_all_served(self) {
        self.done.store(true, Ordering::Relaxed);
        let wrong: Vec<_> = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        assert!(wrong.is_empty(), "{} of {:?} failed: {:?}", wrong.len(), self.answered, wrong[0]);
    }
}

/// Status and body, if there was an answer.
type Answer = Option<(u16, String)>;
