//! The configuration as the program uses it: plain, checked data.
//!
//! Decides whether a file is right, and says of every mistake where it is and what would be right. [`load()`] turns a
//! file into a [`Config`] or into all its mistakes; `app` and `cli` call it and hand every other room the slice it needs.
//! It never opens a socket, starts a process, or knows another room.

mod defaults;
pub mod env_file;
mod load;
pub mod regular;
mod rules;
mod syntax;
mod tables;
mod top;

pub use load::{LoadError, load, load_again, parse};
pub use syntax::diagnostics::{Diagnostic, Diagnostics};
pub use syntax::likeness::nearest;
pub use syntax::text::read as read_text;
pub use syntax::units::{DURATION_MAX, duration, show_duration, show_size};
pub use syntax::variables::{Variable, variables};
pub use tables::access_log::{AccessLog, AccessLogFormat, AccessLogPath};
pub use tables::acme::{Acme, AcmeDirectory, Eab};
pub use tables::admin::{Admin, admin_place, read_token, token_is_open};
pub use tables::client::{AmbiguousFields, ClientLimits};
pub use tables::dns::{Dns, DnsName};
pub use tables::endpoint::{Address, Endpoint, Host, WEIGHT_MAX};
pub use tables::health::{EJECT_TIME_MAX, Health, Probe, StatusSet};
pub use tables::identity::Identity;
pub use tables::listen::{ListenAddress, UnixSocket};
pub use tables::output::Output;
pub use tables::policy::{Affinity, HashKey, Policy};
pub use tables::pool::{Pool, UpstreamTimeouts};
pub use tables::proxy_protocol::ProxyProtocol;
pub use tables::question::Question;
pub use tables::queue::{Buffers, Shed, Slots};
pub use tables::ready::Ready;
pub use tables::recycle::{Recycle, WarmUp};
pub use tables::restart::{Backoff, Restart};
pub use tables::route::{HostPattern, Route};
pub use tables::sharing::{Mode, Sharing};
pub use tables::spool::Spool;
pub use tables::stop_signal::StopSignal;
pub use tables::tls::{CertificateFiles, ClientAuth, Tls};
pub use tables::upstream_tls::UpstreamTls;
pub use tables::workers::{COUNT_MAX, MayListen, Roll, Workers};
pub use top::Config;

#[cfg(test)]
mod tests;
