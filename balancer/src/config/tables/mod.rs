//! The tables of the file, a file for each, and the values that several of them share.
//!
//! Decides what each key means, what is right in it, and what holds without it. Called by [`super::top`], in the order of the file.
//! Never compares two tables, which is what [`super::rules`] does.

pub(super) mod access_log;
pub(super) mod acme;
pub(super) mod admin;
pub(super) mod client;
pub(super) mod command;
pub(super) mod dns;
pub(super) mod endpoint;
pub(super) mod health;
pub(super) mod http2;
pub(super) mod identity;
pub(super) mod listen;
mod meant;
pub(super) mod network;
pub(super) mod output;
pub(super) mod passed;
pub(super) mod path;
pub(super) mod policy;
pub(super) mod pool;
pub(super) mod proxy_protocol;
pub(super) mod question;
pub(super) mod queue;
pub(super) mod ready;
pub(super) mod recycle;
pub(super) mod restart;
pub(super) mod route;
pub(super) mod sharing;
mod spoken;
pub(super) mod spool;
pub(super) mod stop_signal;
pub(super) mod tls;
pub(super) mod upstream_tls;
pub(super) mod workers;
