//! The other side: what the commands use to ask a running instance.

use std::fmt;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::Uid;

use super::Introduction;
use crate::http1::{Fields, ResponseHead, Search};
use crate::trust::{self, connect};

/// An answer, of which the body is still to be read.
#[derive(Debug)]
pub struct AdminAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Who has answered.
    pub instance: Option<Introduction>,
    /// What came with the head, then the rest.
    body: BufReader<Chain<Cursor<Vec<u8>>, Patient>>,
}

/// A connection to an instance. What it reads may take as long as the order does (a roll, a log that is followed), but not without sign of
/// life: whenever nothing has come for a while, the instance is asked whether it answers at all.
#[derive(Debug)]
struct Patient {
    stream: UnixStream,
    path: PathBuf,
    accounts: Vec<Uid>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// Nobody listens at any of the sockets, or nobody who serves the file.
    NotRunning,
    /// Somebody may, but not for us, or did not answer.
    Failed(PathBuf, io::Error),
}

/// Asks the first of `sockets` where somebody listens. With `configuration`, an instance that serves another file is none: in the
/// usual places there may be others of the same name.
///
/// # Errors
/// [`AskError`].
pub fn ask(
    (sockets, account): (&[PathBuf], Option<Uid>),
    configuration: Option<&Path>,
    method: &str,
    target: &str,
) -> Result<AdminAnswer, AskError> {
    let mut forbidden = None;
    for path in sockets {
        match Patient::connect(path, account, PATIENCE_LONG) {
            Ok(stream) => match exchange(stream, configuration, method, target) {
                Ok(answer) if answer.status == MISDIRECTED => {}
                answer => return answer.map_err(|error| AskError::Failed(path.clone(), error)),
            },
            Err(error) if is_absent(&error) => {}
            // Somebody else's place: an instance of ours passes it over too.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                forbidden.get_or_insert_with(|| AskError::Failed(path.clone(), error));
            }
            Err(error) => return Err(AskError::Failed(path.clone(), error)),
        }
    }
    Err(forbidden.unwrap_or(AskError::NotRunning))
}

/// Who listens at a socket; `None` where nobody does, or nobody who answers in time and says who it is.
pub fn introduced(socket: &Path) -> Option<Introduction> {
    let stream = connect(socket, Some(&trust::socket(socket, None).ok()?), PATIENCE).ok()?;
    introduction(stream)
}

impl Patient {
    /// Whoever listens at `path` has to be root, we, or `account`.
    fn connect(path: &Path, account: Option<Uid>, patience: Duration) -> io::Result<Self> {
        let accounts = trust::socket(path, account)?;
        let stream = connect(path, Some(&accounts), patience)?;
        Ok(Self { stream, path: path.to_owned(), accounts })
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let lives =
                        connect(&self.path, Some(&self.accounts), PATIENCE).ok().and_then(introduction).is_some();
                    if !lives {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer in time"));
                    }
                }
                read => return read,
            }
        }
    }
}

impl AdminAnswer {
    /// The next line, without its newline; `None` at the end.
    ///
    /// # Errors
    /// Those of reading.
    pub fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        (&mut self.body).take(LINE_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.ends_with(b"\n") {
            line.pop();
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }

    /// All of it.
    ///
    /// # Errors
    /// Those of reading.
    pub fn text(self) -> io::Result<String> {
        let mut text = Vec::new();
        self.body.take(TEXT_MAX).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Who answers `/healthz` on a connection; nobody, if not soon.
fn introduction(mut stream: UnixStream) -> Option<Introduction> {
    stream.write_all(b"GET /healthz HTTP/1.0\r\nContent-Length: 0\r\n\r\n").ok()?;
    let begun = Instant::now();
    let (head, _) = head(&mut stream, || begun.elapsed() < PATIENCE).ok()?;
    head.fields.called(INSTANCE).and_then(Introduction::parse)
}

/// HTTP/1.0, whose answers end with the connection and need no taking apart.
fn exchange(mut stream: Patient, configuration: Option<&Path>, method: &str, target: &str) -> io::Result<AdminAnswer> {
    let mut request = format!("{method} {target} HTTP/1.0\r\nContent-Length: 0\r\n");
    if let Some(path) = configuration {
        request.push_str(&format!("{CONFIGURATION}: {}\r\n", escaped(&path.to_string_lossy())));
    }
    stream.stream.write_all(format!("{request}\r\n").as_bytes())?;
    let (head, rest) = head(&mut stream, || true)?;
    let instance = head.fields.called(INSTANCE).and_then(Introduction::parse);
    Ok(AdminAnswer { status: head.status.as_u16(), instance, body: BufReader::new(Cursor::new(rest).chain(stream)) })
}

/// The head of an answer, and what has come behind it; as long as `goes_on`.
fn head(stream: &mut impl Read, goes_on: impl Fn() -> bool) -> io::Result<(ResponseHead, Vec<u8>)> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not from a balancer");
    let (mut bytes, mut search) = (Vec::new(), Search::default());
    let (head, end) = loop {
        let read = ResponseHead::read(&bytes, &mut search, HEAD_MAX, Fields::default);
        if let Some(read) = read.map_err(|_| broken())? {
            break read;
        }
        if !goes_on() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut more = [0; 4 * 1024];
        match stream.read(&mut more)? {
            0 => return Err(broken()),
            length => bytes.extend_from_slice(&more[..length]),
        }
    };
    Ok((head, bytes.split_off(end)))
}

/// Nothing there, or left by a dead instance.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory)
}

/// `text` as a value of a query.
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:[]".contains(&byte);
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(escape).collect()
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning => f.write_str("no running instance"),
            Self::Failed(path, error) => write!(f, "cannot ask {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotRunning => None,
            Self::Failed(_, error) => Some(error),
        }
    }
}

/// The field that says whose instance is meant, as [`escaped`].
pub(super) const CONFIGURATION: &str = "balancer-configuration";
/// The field that says who answers.
pub(super) const INSTANCE: &str = "balancer-instance";
/// For one that listens and does not answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks whether one that is at work answers at all.
const PATIENCE_LONG: Duration = Duration::from_secs(10);
/// RFC 9110 §15.5.20.
const MISDIRECTED: u16 = 421;
/// Of an answer's head, in bytes.
const HEAD_MAX: usize = 16 * 1024;
/// A line of a worker's log is shorter, and so is any of an answer.
const LINE_MAX: u64 = 1 << 20;
/// Far above what an instance with thousands of endpoints has to say.
const TEXT_MAX: u64 = 256 << 20;
