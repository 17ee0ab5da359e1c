//! What is asked of an endpoint for its readiness, its warm-up or a probe. Decides what can be asked; called by the readers of these
//! tables; never asks.

use super::path::path_mistake;
use super::proxy_protocol::ProxyProtocol;
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;

/// A GET without a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its target: a path, perhaps with a query.
    pub path: String,
    /// Its `Host`; without it the endpoint's address.
    pub host: Option<String>,
    /// Further fields, names and values.
    pub fields: Vec<(String, String)>,
    /// The header that the endpoint wants before it, as before a request of a client.
    pub announced: Option<ProxyProtocol>,
    /// Whether it is asked in HTTP/2.
    pub http2: bool,
    /// The service of gRPC whose health is asked for, with an empty name that of the whole server.
    pub grpc: Option<String>,
}

impl Question {
    /// For `path`, as whoever knows only the endpoint's address would ask.
    pub fn of(path: impl Into<String>) -> Self {
        Self { path: path.into(), host: None, fields: Vec::new(), announced: None, http2: false, grpc: None }
    }
}

/// The keys `host` and `fields` of a table. `asks`: whether it asks for a path at all.
pub(in crate::config) fn read(section: &mut Section<'_>, asks: bool) -> (Option<String>, Vec<(String, String)>) {
    let (host, fields) = (section.take("host"), section.take("fields"));
    for item in host.iter().chain(&fields).filter(|_| !asks) {
        item.key_wrong(format!("`{}` has no effect without `path`", item.key), "add path = \"/\", or leave it out");
    }
    let host = host.and_then(|item| host_to_name(&item));
    (host, fields.map_or(Vec::new(), |item| fields_to_send(&item)))
}

/// The path of a question; a query may stand behind it.
pub(in crate::config) fn path(item: &Item<'_>) -> Option<String> {
    let text = item.text("\"/health\"")?;
    match path_mistake(text.split('?').next().unwrap_or_default()) {
        Some((message, help)) => item.wrong(message, help),
        None if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            item.wrong(format!("{} has characters that must be percent-encoded", quote(text)), "percent-encode it");
        }
        None => return Some(text.to_owned()),
    }
    None
}

/// A service of gRPC; empty for the whole server.
pub(super) fn service(item: &Item<'_>) -> Option<String> {
    let text = item.text("\"my.package.Service\"")?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if text.len() >= SERVICE_MAX || !text.bytes().all(fits) {
        item.wrong(
            format!("{} cannot be the name of a service", quote(text)),
            "write it as in \"my.package.Service\", or \"\" for the whole server",
        );
        return None;
    }
    Some(text.to_owned())
}

fn host_to_name(item: &Item<'_>) -> Option<String> {
    let text = item.text("\"app.example\"")?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if text.is_empty() || !text.bytes().all(fits) {
        item.wrong(
            format!("{} cannot be a Host", quote(text)),
            "write a name, perhaps with a port, as in \"app.example\"",
        );
        return None;
    }
    Some(text.to_owned())
}

fn fields_to_send(item: &Item<'_>) -> Vec<(String, String)> {
    let Some(section) = item.section("pool.NAME.fields", "{ X-Forwarded-Proto = \"https\" }") else {
        return Vec::new();
    };
    let mut fields = Vec::new();
    for item in section.entries() {
        let name = item.key;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            item.key_wrong(format!("{} cannot be the name of a field", quote(name)), "write letters, digits and `-`");
        } else if OURS.contains(&&*name.to_ascii_lowercase()) {
            item.key_wrong(format!("balancer writes `{name}` itself"), "leave it out; `host` is a key of its own");
        } else if let Some(value) = item.text("") {
            if value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)) {
                fields.push((name.to_owned(), value.to_owned()));
            } else {
                item.wrong("a field cannot hold control characters", "write one line of text");
            }
        }
    }
    fields
}

/// Its length is one byte in what is sent.
const SERVICE_MAX: usize = 128;

/// What frames the question, or says who asks.
const OURS: [&str; 9] =
    ["host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect", "keep-alive"];
