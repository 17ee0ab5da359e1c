//! Clients that ask again and again, and count who has answered.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Some clients, each on a connection that it keeps.
pub(crate) struct Load {
    counted: Arc<Counted>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counted {
    over: AtomicBool,
    by_name: Mutex<BTreeMap<String, u64>>,
    requests: Mutex<u64>,
    failed: Mutex<Vec<String>>,
}

impl Load {
    /// A few hundred requests a second.
    pub(crate) fn start(address: &str, clients: usize) -> Self {
        Self::of("GET", address, clients)
    }

    /// The same with what may not be repeated.
    pub(crate) fn posting(address: &str, clients: usize) -> Self {
        Self::of("POST", address, clients)
    }

    fn of(method: &'static str, address: &str, clients: usize) -> Self {
        let counted = Arc::new(Counted::default());
        let client = |_| {
            let (counted, address) = (Arc::clone(&counted), address.to_owned());
            std::thread::spawn(move || counted.ask(method, &address))
        };
        Self { clients: (0..clients).map(client).collect(), counted }
    }

    /// Who answers how many requests during that time.
    pub(crate) fn count(&self, time: Duration) -> BTreeMap<String, u64> {
        self.counted.by_name.lock().unwrap().clear();
        std::thread::sleep(time);
        self.counted.by_name.lock().unwrap().clone()
    }

    /// What has failed so far, in words.
    pub(crate) fn failed(&self) -> Vec<String> {
        self.counted.failed.lock().unwrap().clone()
    }

    /// How many requests there were, and what has failed.
    pub(crate) fn end(self) -> (u64, Vec<String>) {
        self.counted.over.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().unwrap();
        }
        (*self.counted.requests.lock().unwrap(), self.counted.failed.lock().unwrap().clone())
    }
}

impl Counted {
    fn ask(&self, method: &str, address: &str) {
        let mut connection = None;
        while !self.over.load(Ordering::SeqCst) {
            let answer = ask(&mut connection, method, address, "/");
            *self.requests.lock().unwrap() += 1;
            match answer {
                Ok((200, name)) => *self.by_name.lock().unwrap().entry(name).or_default() += 1,
                other => self.failed.lock().unwrap().push(format!("{other:?}")),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Status and body of one request.
pub(crate) fn get(address: &str, target: &str) -> std::io::Result<(u16, String)> {
    ask(&mut None, "GET", address, target)
}

/// Who answers a few requests.
pub(crate) fn names(address: &str) -> BTreeSet<String> {
    (0..24).filter_map(|_| get(address, "/").ok()).map(|(_, name)| name).collect()
}

fn ask(
    connection: &mut Option<TcpStream>,
    method: &str,
    address: &str,
    target: &str,
) -> std::io::Result<(u16, String)> {
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => TcpStream::connect(address)?,
    };
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let head = format!("{method} {target} HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
                if !head.contains("connection: close") {
                    *connection = Some(stream);
                }
                return Ok((status, body.trim_end().to_owned()));
            }
        }
        match stream.read(&mut piece)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => answer.extend_from_slice(&piece[..length]),
        }
    }
}
