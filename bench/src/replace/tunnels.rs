//! Open tunnels through reloads that do not concern them.
//!
//! Decides what counts as closed: one that does not echo. Called by [`super::replace`]. Never opens one twice.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Row;
use super::finding::{Finding, Unit};
use super::kind::{Manners, Program};
use super::site::{Ground, Setup, Site};
use crate::failure::Failure;
use crate::statistics::Spread;

/// Opens all, reloads again and again, and asks each at the end.
pub(super) fn tunnels(ground: &Ground, program: &Program, time: Duration) -> Result<Row, Failure> {
    let site = Site::start(ground, program, SETUP, &other(0))?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::system("start the clients", e))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, site.port));
    let opened = runtime.block_on(each((0..TUNNELS).map(|_| open(address))));
    let open: Vec<TcpStream> = opened.into_iter().flatten().collect();
    let (opened, started) = (open.len(), Instant::now());
    let before = site.status()?;
    let (mut times, mut refused) = (Vec::new(), 0);
    for nth in 1..=RELOADS {
        site.pause((time / RELOADS * nth).saturating_sub(started.elapsed()))?;
        site.write(&site.text(&site.app(SETUP.count, ""), &other(nth)))?;
        let order = site.order(&["reload"])?;
        refused += usize::from(!order.ok);
        times.push(order.time.as_secs_f64() * 1e3);
    }
    let workers = site.status()? == before;
    let left = runtime.block_on(each(open.into_iter().map(echo)));
    let mut findings = vec![
        Finding::count("tunnels", opened),
        Finding::never("could not be opened", TUNNELS - opened),
        Finding::count("reloads", times.len()),
        Finding::never("reloads failed", refused),
        Finding::never("tunnels closed", opened - left.iter().flatten().count()),
        Finding::never("workers touched", usize::from(!workers)),
    ];
    let median = Spread::of(times).map(|times| Finding::seen("a reload (median)", times.median, Unit::Milliseconds));
    findings.extend(median);
    Ok(Row { findings, ..Row::default() })
}

/// All at once.
async fn each(
    tasks: impl Iterator<Item = impl Future<Output = Option<TcpStream>> + Send + 'static>,
) -> Vec<Option<TcpStream>> {
    tasks
        .map(|task| timeout(PATIENCE, task))
        .collect::<JoinSet<_>>()
        .join_all()
        .await
        .into_iter()
        .map(|one| one.ok().flatten())
        .collect()
}

/// `None` where there is no 101 or no echo.
async fn open(address: SocketAddr) -> Option<TcpStream> {
    echo(upgraded(address, UPGRADE).await.ok()?).await
}

/// A connection behind its 101.
///
/// # Errors
/// There is no connection, or another answer, which is then told.
pub(super) async fn upgraded(address: SocketAddr, request: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if head.starts_with(b"HTTP/1.1 101 ") {
        return Ok(stream);
    }
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    Err(io::Error::other(line))
}

/// The stream again if all comes back.
async fn echo(mut stream: TcpStream) -> Option<TcpStream> {
    stream.write_all(MESSAGE).await.ok()?;
    let mut back = [0; MESSAGE.len()];
    stream.read_exact(&mut back).await.ok()?;
    (back == *MESSAGE).then_some(stream)
}

/// What the reloads are about: another pool, its policy, weights and routes.
pub(super) fn other(nth: u32) -> String {
    let (weight, policy) = (nth % 9 + 1, if nth.is_multiple_of(2) { "round_robin" } else { "least_connections" });
    format!(
        "[[route]]\npool = \"app\"\n\n[[route]]\npath = \"/other/{}\"\npool = \"other\"\n\n\
         [pool.other]\npolicy = \"{policy}\"\nendpoints = [\"127.0.0.1:9\", {{ address = \"127.0.0.1:7\", weight = {weight} }}]\n",
        nth % 3
    )
}

const SETUP: Setup =
    Setup { count: 4, manners: Manners { delay_ms: 0, cold_requests: 0, start_delay_ms: 0 }, keys: "" };
pub(super) const UPGRADE: &str =
    "GET /upgrade?proto=websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
const TUNNELS: usize = 500;
const RELOADS: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(30);
const MESSAGE: &[u8; 16] = b"are you there? \n";
