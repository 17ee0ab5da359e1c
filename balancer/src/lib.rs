//! A reverse proxy that supervises the workers it balances over.
//!
//! The rooms, lowest first; each imports only lower ones (`tests/layers` holds this). `ARCHITECTURE.md` has the picture.
//!
//! - [`config`]: text → checked, plain data
//! - [`drain`]: the stop signal
//! - [`shown`]: times and sizes as people read them
//! - [`trust`]: whose what is in the file system is
//! - [`proxy_protocol`]: who the client of a connection is, as a proxy in front of it tells
//! - [`http1`]: HTTP/1 messages as pure functions over bytes, for both sides
//! - [`net`]: sockets and the memory for what passes through them
//! - [`tls`]: whose certificate a client is shown
//! - `acme`: certificates that a CA gives
//! - [`observe`]: access log, request ids, the writing thread
//! - [`listen`]: listeners, client connections and their limits, over any service
//! - [`spool`]: bodies that wait on a disk
//! - [`endpoint`]: one address, what is in flight there, and the verdict on its health
//! - [`pick`]: the policies
//! - [`pool`]: members, and the claim of a place
//! - [`share`]: connections that workers take without us in between
//! - [`route`]: host and path → pool
//! - [`probe`]: questions to endpoints besides their requests
//! - [`discover`]: names → addresses, kept fresh
//! - [`forward`]: one request, its attempts, its answer
//! - [`supervise`]: the workers' processes
//! - [`proxy`]: the spine: route → forward → respond → record
//! - [`admin`]: status, commands, metrics and the live page, on a socket of their own
//! - [`app`]: wires all of them
//! - [`cli`]: arguments → one call → a printed answer

#[cfg(feature = "tls")]
pub mod acme;
pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod discover;
pub mod drain;
pub mod endpoint;
pub mod forward;
pub mod http1;
pub mod listen;
pub mod net;
pub mod observe;
pub mod pick;
pub mod pool;
pub mod probe;
pub mod proxy;
pub mod proxy_protocol;
pub mod route;
pub mod share;
pub mod shown;
pub mod spool;
pub mod supervise;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/without.rs"]
pub mod tls;
pub mod trust;
