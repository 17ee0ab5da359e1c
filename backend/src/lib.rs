//! A worker: a small real HTTP/1.1 server that names itself, echoes, streams, and fails on request.
//!
//! It decides nothing about balancing: it is what a balancer starts, probes, kills and sends requests to. The demo, the
//! tests and the bench start it, as the program `backend` or through [`run`]. It never trusts a client to be polite: one
//! that leaves early ends its own connection only.
//!
//! | room | decides |
//! |---|---|
//! | [`options`](Options) | what the operator asked for |
//! | `source`, `listen` | where connections come from: a listening socket, passed or its own, or connections handed over one by one |
//! | `serve` | the life of the process: start, privileges, drain |
//! | `event_loop`, `multi` | accepting on one thread, or on one for each core |
//! | `connection` | the life of one connection, and who owns its bytes |
//! | `service` | what is done to every request before its route is |
//! | `routes` | path → answer |
//! | `streams`, `body` | the bytes of an answer |
//! | `report` | what the worker tells about itself and about what it received |
//! | `faults` | answers that break HTTP on purpose |
//! | `tunnel`, `websocket` | what follows a 101 |
//! | `models`, `exchange`, `head`, `queue`, `prefork` | the classic server models, for comparison |
//! | `worker` | names and counts |
//! | `query`, `work`, `duration`, `cpu` | query parameters, what a request costs, burnt CPU time |
//!
//! # Routes of the event-loop model
//!
//! Query parameters are percent-decoded; one that is malformed or out of bounds answers 400 and says so. Every other
//! path answers as `/` does. But for `/early`, `/echo`, `/reset`, `/hang`, `/crash` and `/exit`, a request's body is read
//! to its end before the answer.
//!
//! | path | answer |
//! |---|---|
//! | `/` | the worker's name and a newline |
//! | `/hello` | `hello world`, 11 bytes |
//! | `/echo` | `METHOD TARGET VERSION`, one line per field `name: value` in lower case, an empty line, the body as it comes; then, if there were trailers, a newline and `trailer name: value` lines. Counted if the request was, else chunked. What the parser drops is not seen: a `Content-Length` beside `Transfer-Encoding`, the order among equal names and others between them |
//! | `/upload` | `N bytes, fnv1a 0123456789abcdef` (64-bit FNV-1a of the body) |
//! | `/bytes?n=102400&chunk=16384&framing=length\|chunked\|close&pause_ms=0` | `n` bytes of `0…9a…z` over and over |
//! | `/status?code=503` | that status, 200–999; 204, 205 and 304 without a body |
//! | `/delay?ms=100`, `/work?us=5000` | the name, after that wait, after that much CPU time |
//! | `/sse?n=3&interval_ms=100` | `n` server-sent events |
//! | `/ws?ping_ms=0` | WebSocket echo, messages up to 1 MiB |
//! | `/upgrade?proto=echo` | 101 to `echo` or `websocket`, whichever is named, then every byte back as it came, until the client's half-close |
//! | `/early?code=413` | that status without reading the body |
//! | `/close` | `Connection: close` |
//! | `/trailers` | a chunked body with the trailer `x-checksum` |
//! | `/interim?n=1&code=103&final=1` | `n` interim answers, then 200, or a close if `final=0` |
//! | `/headers?name=value…` | those response fields, repeated ones too; not the framing ones |
//! | `/header-bomb?n=64` | `n` KiB of response fields |
//! | `/reset` | RST before a byte of the answer |
//! | `/half?n=1000` | `Content-Length: n`, half of it, close |
//! | `/half-chunk?n=1000&cut=inside\|between` | chunked, cut in a chunk or between two |
//! | `/rubbish` | bytes that are no HTTP, close |
//! | `/two-lengths`, `/both-framings` | framing that two readers read in two ways, close |
//! | `/hang` | nothing, ever |
//! | `/crash`, `/exit?code=3` | the process aborts, exits |
//! | `/log?line=…&to=stdout\|stderr` | the name, after that line was printed |
//! | `/info?env=NAME` | the process and its counts, one `key: value` a line; with `env`, that variable's value too |
//! | `/seen?id=…` | how many requests with that `X-Test-Id` were run |
//!
//! `/info`, `/seen` and `/stats` only look: they are not counted, delayed or crashed.
//!
//! `/stats` has the counts of this moment; those of the model `pool` are `active: 3/8`, its threads, and `queue: 5/64`, who waits for one.
//!
//! The classic models know `/delay`, `/info`, `/seen` and `/stats` of these. `overlaps` of `/info` is for the sequential model: answers
//! before which another connection was waiting already, which a balancer that gives it one request at a time never lets
//! happen.

mod answers;
mod body;
mod connection;
mod cpu;
mod duration;
mod event_loop;
mod exchange;
mod faults;
mod head;
mod listen;
mod models;
mod multi;
mod options;
mod prefork;
mod query;
mod queue;
mod report;
mod routes;
mod serve;
mod service;
mod socket;
mod source;
mod streams;
mod takeover;
mod tunnel;
mod websocket;
mod work;
mod worker;

pub use options::{Model, Options};
pub use serve::run;
pub use work::Work;
