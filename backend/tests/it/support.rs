//! A worker process, and clients that see bytes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Nothing here takes this long.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The program, its environment free of what would configure it.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backend"));
    for name in ["PORT", "HOST", "SOCKET", "INSTANCE_ID"] {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A worker that listens; killed when dropped.
pub(crate) struct Worker {
    child: Child,
    pub(crate) name: String,
    /// `127.0.0.1:8000` or `unix:/path`.
    pub(crate) address: String,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Worker {
    /// On a port of the kernel's choice.
    pub(crate) fn start(arguments: &[&str]) -> Worker {
        Worker::from_command(command(arguments).args(["--port", "0"]))
    }

    pub(crate) fn from_command(command: &mut Command) -> Worker {
        let mut child = command.spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        let line = stdout.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no line: {:?}", stderr.recv_timeout(LIMIT)));
        let (name, address) = line.split_once(" listening on ").unwrap();
        Worker { child, name: name.into(), address: address.into(), stdout, stderr }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub(crate) fn socket_address(&self) -> SocketAddr {
        self.address.parse().unwrap()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.socket_address()).unwrap())
    }

    /// The worker and a connection to it.
    pub(crate) fn connect_held(self) -> (Worker, Client) {
        let client = self.connect();
        (self, client)
    }

    /// One GET on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Answer {
        let mut client = self.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.answer()
    }

    /// A value of `/info`.
    pub(crate) fn info(&self, key: &str) -> String {
        let text = self.get("/info").text();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}: ")));
        line.unwrap_or_else(|| panic!("no {key} in {text}")).to_owned()
    }

    pub(crate) fn await_info(&self, key: &str, value: &str) {
        let deadline = Instant::now() + LIMIT;
        while self.info(key) != value {
            assert!(Instant::now() < deadline, "{key} is not {value}: {}", self.info(key));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// The next line on stdout.
    pub(crate) fn line(&self) -> String {
        self.stdout.recv_timeout(LIMIT).unwrap()
    }

    pub(crate) fn error_line(&self) -> String {
        self.stderr.recv_timeout(LIMIT).unwrap()
    }

    /// Waits for the process to end; nothing more may have been printed.
    pub(crate) fn ended(mut self) -> ExitStatus {
        for output in [&self.stderr, &self.stdout] {
            match output.recv_timeout(LIMIT) {
                Ok(line) => panic!("printed {line:?}"),
                Err(error) => assert_eq!(error, std::sync::mpsc::RecvTimeoutError::Disconnected, "it did not end"),
            }
        }
        self.child.wait().unwrap()
    }

    /// TERM; it drains and has printed nothing.
    pub(crate) fn stop(self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.ended().code(), Some(0));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A client that sends what it is told and reads one answer at a time.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// A head: status line and fields, without the empty line.
    pub(crate) fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.stream.read_line(&mut head).unwrap(), 0, "the end, after {head:?}");
        }
        head.truncate(head.len() - 4);
        head
    }

    /// The whole answer, to its length, its last chunk, or the close.
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.head();
        let field = |name: &str| {
            let found =
                head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned())
        };
        let mut body = Vec::new();
        let mut trailers = String::new();
        if let Some(length) = field("content-length") {
            body.resize(length.parse().unwrap(), 0);
            self.stream.read_exact(&mut body).unwrap();
        } else if field("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk() {
                body.extend_from_slice(&chunk);
            }
            while !trailers.ends_with("\r\n\r\n") && trailers != "\r\n" {
                assert_ne!(self.stream.read_line(&mut trailers).unwrap(), 0, "the end, in trailers");
            }
        } else if ![" 204 ", " 304 "].iter().any(|status| head.contains(status)) {
            self.stream.read_to_end(&mut body).unwrap();
        }
        Answer { head, body, trailers }
    }

    /// A chunk; `None` for the last.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut size = String::new();
        self.stream.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap_or_else(|_| panic!("no chunk size: {size:?}"));
        if size == 0 {
            return None;
        }
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).unwrap();
        assert!(chunk.ends_with(b"\r\n"));
        chunk.truncate(size);
        Some(chunk)
    }

    /// Everything until the worker closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).unwrap();
        bytes
    }
}

pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The lines after the last chunk, with the empty one.
    pub(crate) trailers: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.head.lines().any(|found| found.eq_ignore_ascii_case(line))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// The body of `/bytes`.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    b"0123456789abcdefghijklmnopqrstuvwxyz".iter().copied().cycle().take(length).collect()
}

/// A path of this test's own for a Unix socket; short enough for one.
pub(crate) fn socket_path(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("backend-{}-{name}", std::process::id()))
}
