//! The data plane in this process, on one thread with a worker that reads strictly.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use balancer::config::parse;
use balancer::drain::drain;
use balancer::listen::{self, Server};
use balancer::observe::Writer;
use balancer::pool::Pool;
use balancer::proxy::{Proxy, ProxyState, Settings};
use balancer::route::Table;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::task::spawn_local;

use crate::strict::{Not, Request, read};

/// The program in front of its worker.
pub(crate) struct Program {
    address: PathBuf,
    /// The other listener, whose clients are strangers: who may open a Unix socket is believed.
    tcp: SocketAddr,
    pool: Arc<Pool>,
    seen: Arc<Mutex<Seen>>,
    /// One input at a time.
    turn: Mutex<()>,
}

/// What the worker saw of one input.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Complete requests, in the order of their ends.
    pub(crate) requests: Vec<Request>,
    /// What no strict reader would take.
    pub(crate) violations: Vec<String>,
}

impl Program {
    /// The one of this process.
    pub(crate) fn get() -> &'static Self {
        static PROGRAM: OnceLock<Program> = OnceLock::new();
        PROGRAM.get_or_init(Self::start)
    }

    /// Sends `input` on a connection of its own: what the worker saw.
    pub(crate) fn exchange(&self, input: &[u8]) -> Seen {
        let client = UnixStream::connect(&self.address).expect("a connection");
        let socket = SockRef::from(&client);
        socket.set_read_timeout(Some(QUIET)).and(socket.set_write_timeout(Some(QUIET))).expect("time-outs");
        self.converse(client, input)
    }

    /// The same of a complete request and as a stranger, who waits for the answer; what came of it at first, too.
    pub(crate) fn exchange_as_stranger(&self, input: &[u8]) -> (Seen, Vec<u8>) {
        let mut client = TcpStream::connect(self.tcp).expect("a connection");
        client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        // Closed by a reset, which leaves nothing in the kernel: ports are few.
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("an option");
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        *self.seen() = Seen::default();
        client.write_all(input).expect("a request");
        let mut got = vec![0; 16 * 1024];
        let length = loop {
            match client.read(&mut got) {
                // A process that was stopped and goes on.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                length => break length.expect("an answer"),
            }
        };
        got.truncate(length);
        (self.seen().clone(), got)
    }

    fn converse(&self, mut client: UnixStream, input: &[u8]) -> Seen {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        *self.seen() = Seen::default();
        // Whoever is refused in the middle cannot send the rest.
        let _ = client.write_all(input);
        let mut buffer = [0; 16 * 1024];
        loop {
            match client.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        drop(client);
        // Behind this one's answer there is nothing on the way any more.
        self.barrier();
        self.seen().clone()
    }

    fn barrier(&self) {
        let mut client = UnixStream::connect(&self.address).expect("a connection");
        client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        client.write_all(b"GET /barrier HTTP/1.1\r\nHost: barrier\r\nConnection: close\r\n\r\n").expect("a request");
        let mut got = Vec::new();
        let read = client.read_to_end(&mut got);
        assert!(read.is_ok() && got.starts_with(b"HTTP/1.1 200"), "a good client is not served: {read:?}");
        // A request with an expectation may be on its way for half a second after its client has left.
        let begun = Instant::now();
        while self.pool.endpoints().iter().any(|endpoint| endpoint.in_flight() > 0) {
            assert!(begun.elapsed() < PATIENCE, "something stays in flight");
            std::thread::yield_now();
        }
        self.seen().requests.retain(|request| request.target != "/barrier");
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("balancer-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let (address, worker) = (folder.join("lb.sock"), folder.join("worker.sock"));
        let text = format!(
            "listen = [\"unix:{}\", \"127.0.0.1:0\"]\nthreads = 1\nheader_bytes_max = \"8KiB\"\nbody_bytes_max = \"1MiB\"\n[pool.app]\n\
             endpoints = [\"unix:{}\"]\n[access_log]\nformat = \"off\"\n",
            address.display(),
            worker.display()
        );
        let seen = Arc::<Mutex<Seen>>::default();
        let (ready, wait) = mpsc::channel();
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || serve(&text, &worker, shared, &ready));
        let (tcp, pool) = wait.recv().expect("the program");
        Self { address, tcp, pool, seen, turn: Mutex::default() }
    }
}

/// Runs as long as the process.
fn serve(text: &str, worker: &std::path::Path, seen: Arc<Mutex<Seen>>, ready: &mpsc::Sender<(SocketAddr, Arc<Pool>)>) {
    let config = parse(text, "fuzz").expect("a configuration");
    let pools: Vec<Arc<Pool>> = config.pools.iter().map(Pool::new).collect();
    let shared = Arc::new(ProxyState {
        table: ArcSwap::from_pointee(Table::new(&config.routes, &pools)),
        settings: watch::Sender::new(Settings::of(&config, None)),
        metrics: Arc::default(),
        stories: Arc::default(),
        certificates: Arc::default(),
    });
    let writer = Writer::start(None).expect("a writer");
    let (_drain, draining) = drain();
    let listeners = [0, 1].map(|index| {
        listen::open(&config.listen[index], &config.listen, 1, &mut listen::Passed::default()).expect("a listener")
    });
    let tcp = listeners[1].address.to_string().parse().expect("an address");
    let limit = Duration::from_secs(10);
    let (mut servers, _control) =
        Server::for_threads(1, 1_000, &listeners, &config.client, limit, &draining, &Arc::default()).expect("a server");
    let server = servers.remove(0);
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).expect("a runtime");
    let served = runtime.block_on(async move {
        let worker = UnixListener::bind(worker).expect("a worker");
        spawn_local(async move {
            while let Ok((socket, _)) = worker.accept().await {
                spawn_local(work(socket, Arc::clone(&seen)));
            }
        });
        ready.send((tcp, Arc::clone(&pools[0]))).expect("somebody who waits");
        server.run(Rc::new(Proxy::new(shared, &writer))).await
    });
    panic!("the program has ended: {served:?}");
}

/// A worker's connection: answers what is strictly valid, and tells of all else.
async fn work(mut socket: tokio::net::UnixStream, seen: Arc<Mutex<Seen>>) {
    let bytes = RefCell::new(Vec::new());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match socket.read(&mut buffer).await {
            Ok(length) if length > 0 => bytes.borrow_mut().extend_from_slice(&buffer[..length]),
            _ => return,
        }
        loop {
            let result = read(&bytes.borrow());
            match result {
                Ok((request, length)) => {
                    bytes.borrow_mut().drain(..length);
                    let head = request.method == "HEAD";
                    seen.lock().unwrap_or_else(PoisonError::into_inner).requests.push(request);
                    let answer =
                        if head { "HTTP/1.1 200 OK\r\n\r\n" } else { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" };
                    if socket.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
                Err(Not::Complete) => break,
                Err(Not::Valid(what)) => {
                    let what = format!("{what}: {:?}", String::from_utf8_lossy(&bytes.borrow()));
                    seen.lock().unwrap_or_else(PoisonError::into_inner).violations.push(what);
                    return;
                }
            }
        }
    }
}

/// After so long without a byte nothing more is expected.
const QUIET: Duration = Duration::from_millis(4);
/// Whoever sends what is complete is answered within this.
const PATIENCE: Duration = Duration::from_secs(20);
