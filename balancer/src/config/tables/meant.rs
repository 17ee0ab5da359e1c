//! What was meant by an address to listen on that is none. Decides the help of a mistake; called by the readers of addresses; never takes
//! an address for another.

use std::net::{IpAddr, SocketAddr};

use crate::config::syntax::diagnostics::quote;

/// What is wrong with it.
pub(super) fn wrong(text: &str) -> String {
    format!("{} is not an address to listen on", quote(text))
}

/// What was meant by an address that is none.
pub(super) fn right(text: &str) -> String {
    if let Some((scheme @ ("http" | "https"), rest)) = text.split_once("://") {
        let address = rest.trim_end_matches('/');
        return match (scheme, address.parse::<SocketAddr>()) {
            ("http", Ok(address)) => format!("write \"{address}\""),
            ("http", Err(_)) => right(address),
            (_, Ok(address)) => format!("write \"tls:{address}\""),
            (_, Err(_)) => "write an address and a port, as in \"tls:0.0.0.0:443\"".to_owned(),
        };
    }
    if text.starts_with('/') {
        return format!("write \"unix:{text}\"");
    }
    if let Ok(ip) = text.parse() {
        return add_port(text, ip, 8080);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    match (host, port.parse::<u16>()) {
        ("" | "*", Ok(port)) => format!("write {}", suggest(port)),
        ("localhost", Ok(port)) => {
            format!("names are not looked up here: write \"127.0.0.1:{port}\", \"[::1]:{port}\" or both in a list")
        }
        (host, Ok(port)) => match host.parse::<IpAddr>() {
            Ok(ip) => format!("write \"{}\"", SocketAddr::new(ip, port)),
            Err(_) => {
                format!("names are not looked up here: write an address of this machine, or \"0.0.0.0:{port}\" for all")
            }
        },
        (host, Err(_)) if host.parse::<IpAddr>().is_ok() => "ports are 0 to 65535".to_owned(),
        _ => "write an address and a port, as in \"127.0.0.1:8080\", or \"unix:/path\"".to_owned(),
    }
}

/// What was meant by an address without a port, or by an IPv6 address whose port looks like its last part.
pub(super) fn add_port(text: &str, ip: IpAddr, example: u16) -> String {
    let ported = text.rsplit_once(':').and_then(|(ip, port)| Some((ip.parse().ok()?, port.parse().ok()?)));
    match ported {
        Some((ip, port)) => format!("write \"{}\"", SocketAddr::new(ip, port)),
        None => format!("add the port: write \"{}\"", SocketAddr::new(ip, example)),
    }
}

/// The two addresses that a port alone may mean.
pub(super) fn suggest(port: u16) -> String {
    format!("\"0.0.0.0:{port}\" for every address of this machine, or \"127.0.0.1:{port}\" for this machine alone")
}
