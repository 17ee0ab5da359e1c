//! Path → answer.
//!
//! Decides what each path answers; the crate's page lists them. Called by `service` for each request. Never touches the
//! socket: where a route needs it, its reply says so.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use crate::answers::{text, text_of, with_status};
use crate::body::Body;
use crate::faults::{self, BODY_MAX, Raw};
use crate::query::{Query, Wrong};
use crate::streams::{Events, PIECE_MAX, Pattern};
use crate::worker::Worker;
use crate::{cpu, report, websocket};

/// What becomes of a request.
pub(crate) enum Reply {
    /// This answer; the connection goes on.
    Answer(Response<Body>),
    /// This answer, the last one: its request was not read to the end.
    Last(Response<Body>),
    /// A 101, then every byte back.
    Echo(Response<Body>),
    /// A 101, then WebSocket messages back, with a ping each so often.
    WebSocket(Response<Body>, Option<Duration>),
    /// These bytes.
    Raw(Raw),
    /// RST.
    Reset,
    /// Nothing, ever.
    Never,
}

impl From<Response<Body>> for Reply {
    fn from(response: Response<Body>) -> Reply {
        Reply::Answer(response)
    }
}

impl From<Raw> for Reply {
    fn from(raw: Raw) -> Reply {
        Reply::Raw(raw)
    }
}

/// The answer that needs neither the worker nor the request: the bench measures the way to it, so it is short.
pub(crate) fn instant(path: &str) -> Option<Response<Body>> {
    (path == "/hello").then(|| text(&b"hello world"[..]))
}

/// Whether the whole request body is read, and dropped, before [`reply`] is asked.
pub(crate) fn wants_body_read(path: &str) -> bool {
    !matches!(path, "/echo" | "/upload" | "/early" | "/reset" | "/hang" | "/crash" | "/exit")
}

/// # Errors
/// The client's body broke; there is nobody to answer.
pub(crate) async fn reply(worker: &Worker, request: Request<Incoming>) -> hyper::Result<Reply> {
    match request.uri().path() {
        "/upload" => return upload(request.into_body()).await.map(Reply::Answer),
        "/echo" => {
            return Body::echo(report::head_lines(&request), request.into_body()).await.map(text_of).map(Reply::Answer);
        }
        _ => {}
    }
    Ok(match route(worker, request).await {
        Ok(reply) => reply,
        Err(Wrong(why)) => with_status(StatusCode::BAD_REQUEST, why).into(),
    })
}

async fn route(worker: &Worker, request: Request<Incoming>) -> Result<Reply, Wrong> {
    let query = Query::of(request.uri());
    let greeting = || text(worker.greeting.clone());
    Ok(match request.uri().path() {
        "/hello" => text(&b"hello world"[..]).into(),
        "/bytes" => bytes(query)?,
        "/status" => with_status(status(query, 200)?, worker.greeting.clone()).into(),
        "/delay" => {
            tokio::time::sleep(Duration::from_millis(query.number("ms", 100, 0..=600_000)?)).await;
            greeting().into()
        }
        "/work" => {
            cpu::burn(Duration::from_micros(query.number("us", 5000, 0..=60_000_000)?));
            greeting().into()
        }
        "/sse" => events(query)?.into(),
        "/ws" => {
            let ping = ping(query)?;
            match websocket::open(&request) {
                opened if opened.status() == StatusCode::SWITCHING_PROTOCOLS => Reply::WebSocket(opened, ping),
                refusal => refusal.into(),
            }
        }
        "/upgrade" => upgrade(query, &request)?,
        "/early" => early(query, &request)?,
        "/close" => {
            let mut response = greeting();
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response.into()
        }
        "/trailers" => faults::trailers().into(),
        "/interim" => faults::interim(query, &format!("{}\n", worker.name))?.into(),
        "/headers" => chosen_fields(query, greeting())?.into(),
        "/header-bomb" => many_fields(query, greeting())?.into(),
        "/reset" => Reply::Reset,
        "/half" => faults::half(query)?.into(),
        "/half-chunk" => faults::half_chunk(query)?.into(),
        "/rubbish" => faults::rubbish().into(),
        "/two-lengths" => faults::two_lengths().into(),
        "/both-framings" => faults::both_framings().into(),
        "/hang" => Reply::Never,
        "/crash" => std::process::abort(),
        "/exit" => std::process::exit(query.number("code", 3, 0..=255)?.try_into().unwrap_or(3)),
        "/log" => {
            log(query)?;
            greeting().into()
        }
        _ => greeting().into(),
    })
}

async fn upload(mut body: Incoming) -> hyper::Result<Response<Body>> {
    let (mut length, mut hash) = (0_u64, 0xcbf2_9ce4_8422_2325_u64);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            length += data.len() as u64;
            hash = data.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        }
    }
    Ok(text(format!("{length} bytes, fnv1a {hash:016x}\n")))
}

fn bytes(query: Query<'_>) -> Result<Reply, Wrong> {
    let length = query.number("n", 102_400, 0..=BODY_MAX)?;
    let piece = query.number("chunk", 16_384, 1..=PIECE_MAX as u64)?;
    let pause = Duration::from_millis(query.number("pause_ms", 0, 0..=600_000)?);
    let pattern = Pattern::new(length, usize::try_from(piece).unwrap_or(PIECE_MAX), pause);
    Ok(match query.word("framing", ["length", "chunked", "close"])? {
        "length" => text_of(Body::counted(pattern)).into(),
        "chunked" => text_of(Body::chunked(pattern)).into(),
        _ => faults::until_close(pattern).into(),
    })
}

fn events(query: Query<'_>) -> Result<Response<Body>, Wrong> {
    let count = query.number("n", 3, 0..=1_000_000)?;
    let interval = Duration::from_millis(query.number("interval_ms", 100, 0..=600_000)?);
    let mut response = Response::new(Body::events(Events::new(count, interval)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn ping(query: Query<'_>) -> Result<Option<Duration>, Wrong> {
    let ms = query.number("ping_ms", 0, 0..=3_600_000)?;
    Ok((ms > 0).then(|| Duration::from_millis(ms)))
}

fn upgrade<B>(query: Query<'_>, request: &Request<B>) -> Result<Reply, Wrong> {
    let protocol = query.word("proto", ["echo", "websocket"])?;
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(protocol));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    let fields = request.headers();
    let asked = websocket::lists(fields, header::UPGRADE, protocol)
        && websocket::lists(fields, header::CONNECTION, "upgrade")
        && request.version() == http::Version::HTTP_11;
    if asked {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        Ok(Reply::Echo(response))
    } else {
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        Ok(response.into())
    }
}

fn early(query: Query<'_>, request: &Request<Incoming>) -> Result<Reply, Wrong> {
    let mut response = with_status(status(query, 413)?, "answered before the body was read\n");
    if request.body().is_end_stream() {
        return Ok(response.into());
    }
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(Reply::Last(response))
}

fn chosen_fields(query: Query<'_>, mut response: Response<Body>) -> Result<Response<Body>, Wrong> {
    for (name, value) in query.pairs() {
        let line = || String::from_utf8_lossy(&name).into_owned();
        let parsed = HeaderName::from_bytes(&name).map_err(|_| Wrong(format!("not a field name: {}\n", line())))?;
        if parsed == header::CONTENT_LENGTH || parsed == header::TRANSFER_ENCODING {
            return Err(Wrong("the framing has routes of its own: /two-lengths, /both-framings, /half\n".into()));
        }
        let value = HeaderValue::from_bytes(&value).map_err(|_| Wrong(format!("not a field value: {}\n", line())))?;
        let fields = response.headers_mut();
        if parsed == header::CONTENT_TYPE {
            fields.insert(parsed, value);
        } else {
            fields.try_append(parsed, value).map_err(|_| Wrong("too many fields\n".into()))?;
        }
    }
    Ok(response)
}

fn many_fields(query: Query<'_>, mut response: Response<Body>) -> Result<Response<Body>, Wrong> {
    // A line of 1 KiB: name, colon, space, value, line end.
    let value = HeaderValue::from_str(&"a".repeat(1024 - "x-bomb-00000: \r\n".len())).ok();
    for number in 0..query.number("n", 64, 0..=4096)? {
        let mut name = String::new();
        // Writing to a String does not fail.
        let _ = write!(name, "x-bomb-{number:05}");
        if let (Ok(name), Some(value)) = (HeaderName::try_from(name), &value) {
            response.headers_mut().try_append(name, value.clone()).map_err(|_| Wrong("too many fields\n".into()))?;
        }
    }
    Ok(response)
}

fn log(query: Query<'_>) -> Result<(), Wrong> {
    let mut line = query.get("line").unwrap_or_default();
    line.push(b'\n');
    // A reader that is gone is no reason to stop serving.
    let _ = match query.word("to", ["stdout", "stderr"])? {
        "stdout" => std::io::stdout().lock().write_all(&line),
        _ => std::io::stderr().lock().write_all(&line),
    };
    Ok(())
}

fn status(query: Query<'_>, default: u64) -> Result<StatusCode, Wrong> {
    let code = query.number("code", default, 200..=999)?;
    u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| Wrong("no status\n".into()))
}
