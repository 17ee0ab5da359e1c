//! `endpoints` of a pool. Decides what the address of an endpoint is; called by [`super::pool`]; never resolves a name.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::listen::{interface, unix_path, zoned};
use super::meant::add_port;
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;
use crate::config::syntax::span::Placed;

/// A fixed endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: Address,
    /// Share of picks, 1 to 256.
    pub weight: u16,
    /// Used only when no other is available.
    pub backup: bool,
}

/// Where an endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// `host:port`; a name is asked for again and again, see [`crate::config::Dns`].
    Tcp {
        /// Address or name.
        host: Host,
        /// 1 to 65535.
        port: u16,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}

/// The host of an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A literal.
    Ip(IpAddr),
    /// A literal that counts on one interface alone, which is given by its number (RFC 4007 §11).
    Zone(Ipv6Addr, u32),
    /// A name for the resolver.
    Name(String),
}

impl Endpoint {
    /// Whether it is at a Unix socket, which has no host.
    pub(in crate::config) fn is_socket(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }

    /// Whether its host is a name, which DNS is asked for.
    pub fn has_name(&self) -> bool {
        matches!(self.address, Address::Tcp { host: Host::Name(_), .. })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: Host::Ip(IpAddr::V6(ip)), port } => write!(f, "[{ip}]:{port}"),
            Self::Tcp { host: host @ Host::Zone(..), port } => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Zone(ip, interface) => write!(f, "{ip}%{interface}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The key `endpoints` of a pool: each address once, not all of them `backup`.
pub(in crate::config) fn read_all(section: &mut Section<'_>) -> Vec<Placed<Endpoint>> {
    let Some(item) = section.take("endpoints") else { return Vec::new() };
    let Some(items) = item.list("[\"127.0.0.1:8000\", \"127.0.0.1:8001\"]") else { return Vec::new() };
    if items.is_empty() {
        item.wrong("`endpoints` is empty", "write at least one address, as in [\"127.0.0.1:8000\"], or leave it out");
    }
    let mut all: Vec<Placed<Endpoint>> = Vec::new();
    for item in &items {
        let Some(endpoint) = read(item) else { continue };
        if all.iter().any(|known| known.value.address == endpoint.address) {
            let message = format!("{} is there twice", quote(&endpoint.address.to_string()));
            item.wrong(message, "keep one of the two; for a larger share write { address = …, weight = 2 }");
        } else {
            all.push(item.place(endpoint));
        }
    }
    let complete = all.len() == items.len();
    if complete && !all.is_empty() && all.iter().all(|endpoint| endpoint.value.backup) {
        item.wrong(
            "every endpoint is a `backup`",
            "a backup serves when no other can: leave at least one without `backup`",
        );
    }
    all
}

/// An address alone, or a table.
fn read(item: &Item<'_>) -> Option<Endpoint> {
    if !item.holds_tables() {
        return address(item).map(Endpoint::new);
    }
    let mut table = item.section("pool.NAME.endpoints", "\"127.0.0.1:8000\"")?;
    let address_item = table.require("address", "add address = \"127.0.0.1:8000\"");
    let weight = table.take("weight").and_then(|item| item.integer(1..=WEIGHT_MAX));
    let backup = table.take("backup").and_then(|item| item.flag());
    table.finish();
    let default = Endpoint::new(address(&address_item?)?);
    Some(Endpoint { weight: weight.unwrap_or(default.weight), backup: backup.unwrap_or(default.backup), ..default })
}

fn address(item: &Item<'_>) -> Option<Address> {
    if let Some(port) = item.as_integer().and_then(|port| u16::try_from(port).ok()) {
        return item.mistyped("an address and a port", format!("write \"127.0.0.1:{port}\""));
    }
    let text = item.text("\"127.0.0.1:8000\"")?;
    if let Some(path) = text.strip_prefix("unix:") {
        return unix_path(item, path).map(Address::Unix);
    }
    let help = match tcp(text) {
        Ok(Address::Tcp { host: Host::Ip(ip), port }) if ip.is_unspecified() => {
            let local: IpAddr = if ip.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
            format!("{ip} is for listening, not for connecting: write \"{}\"", SocketAddr::new(local, port))
        }
        Ok(address) => return Some(address),
        Err(help) => help,
    };
    item.wrong(format!("{} is not the address of an endpoint", quote(text)), help);
    None
}

/// `host:port`; the error is what would be right.
fn tcp(text: &str) -> Result<Address, String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let authority = rest.split('/').next().unwrap_or_default();
        return Err(match (scheme, tcp(authority)) {
            ("http", Ok(address)) => format!("write \"{address}\", without a scheme and a path"),
            ("http", Err(_)) if is_name(authority) => format!("write \"{authority}:80\", without a scheme and a path"),
            ("https", Ok(address)) => format!("write \"{address}\", and add a table [pool.NAME.tls]"),
            ("https", Err(_)) if is_name(authority) => {
                format!("write \"{authority}:443\", and add a table [pool.NAME.tls]")
            }
            _ => EXAMPLE.to_owned(),
        });
    }
    // First, for the standard library takes a number as a zone too, and an address has no place for it.
    if let Some((ip, zone, port)) = zoned(text) {
        let index = interface(zone).ok_or_else(|| format!("there is no interface {}", quote(zone)))?;
        return with_port(Host::Zone(ip, index), port);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return with_port(Host::Ip(address.ip()), address.port());
    }
    if let Ok(ip) = text.parse() {
        return Err(add_port(text, ip, 8000));
    }
    if text.starts_with('/') {
        return Err(format!("write \"unix:{text}\""));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(match text.parse::<u16>() {
            Ok(port) => format!("write \"127.0.0.1:{port}\""),
            Err(_) if is_name(text) => format!("add the port: write \"{text}:8000\""),
            Err(_) => EXAMPLE.to_owned(),
        });
    };
    let Ok(port) = port.parse::<u16>() else {
        return Err("behind the last `:` comes a port from 1 to 65535".to_owned());
    };
    match host {
        "" | "*" => Err(format!("write \"127.0.0.1:{port}\"")),
        _ if is_name(host) => with_port(Host::Name(host.to_ascii_lowercase()), port),
        _ => Err(match host.parse::<IpAddr>() {
            Ok(ip) => format!("write \"{}\"", SocketAddr::new(ip, port)),
            Err(_) if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
                "an IPv4 address is four numbers from 0 to 255".to_owned()
            }
            Err(_) => EXAMPLE.to_owned(),
        }),
    }
}

fn with_port(host: Host, port: u16) -> Result<Address, String> {
    match port {
        0 => Err("an endpoint's port is 1 to 65535".to_owned()),
        port => Ok(Address::Tcp { host, port }),
    }
}

/// A name the resolver may know: labels of letters, digits, `-` and `_` (docker compose makes such), not all digits.
pub(in crate::config) fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let inside = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (1..=63).contains(&label.len()) && inside && !label.starts_with('-') && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let numeric = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (1..=253).contains(&name.len()) && !numeric && name.split('.').all(label)
}

/// Help for what cannot be guessed.
const EXAMPLE: &str = "write \"host:port\" or \"unix:/path\", as in \"127.0.0.1:8000\"";

/// HAProxy's bound; larger ratios starve the light endpoint.
pub const WEIGHT_MAX: u16 = 256;
