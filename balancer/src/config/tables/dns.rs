//! The keys `dns`, `dns_interval` and `dns_hold` of a pool. Decides what a name to ask for is; called by [`super::pool`]; never
//! asks for one.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::endpoint::is_name;
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;
use crate::config::syntax::units::DURATION_MAX;

/// What DNS is asked for a pool, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Every address of it is an endpoint.
    pub name: Option<DnsName>,
    /// From one question to the next, whatever the answer said of its age; at least a second.
    pub interval: Duration,
    /// For how long the last addresses stay once the name has none.
    pub hold: Duration,
}

/// A name whose addresses are endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsName {
    /// In lower case.
    pub name: String,
    /// Where each address listens, 1 to 65535; `None` where the name has SRV records, which say that.
    pub port: Option<u16>,
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The keys of a pool that are about names; `names` says whether an endpoint has one.
pub(in crate::config) fn read(section: &mut Section<'_>, default: Dns, names: bool) -> Dns {
    let item = section.take("dns");
    let asks = names || item.is_some();
    let mut duration = |key, least| {
        let item: Option<Item<'_>> = section.take(key);
        if let (Some(item), false) = (&item, asks) {
            let message = format!("`{key}` has no effect without a name to look up");
            item.key_wrong(message, "add dns = \"app:8000\", or leave it out");
        }
        item.filter(|_| asks).and_then(|item| item.duration(least..=DURATION_MAX))
    };
    Dns {
        interval: duration("dns_interval", INTERVAL_MIN).unwrap_or(default.interval),
        hold: duration("dns_hold", Duration::ZERO).unwrap_or(default.hold),
        name: item.and_then(|item| if HAS_RESOLVER { name(&item) } else { refuse(&item) }),
    }
}

/// A program without a resolver of its own cannot keep the addresses of a name fresh.
fn refuse<T>(item: &Item<'_>) -> Option<T> {
    item.key_wrong(
        "`dns` cannot be followed: this balancer was built without its feature `dns`",
        "take a balancer that was built with it (it is on by default), or write the name or its addresses into `endpoints`",
    );
    None
}

fn name(item: &Item<'_>) -> Option<DnsName> {
    let text = item.text("\"app:8000\"")?;
    match parse(text) {
        Ok(name) => Some(name),
        Err(help) => {
            item.wrong(format!("{} is not a name to ask DNS for", quote(text)), help);
            None
        }
    }
}

/// `name:port`, or `_service._proto.name`; the error is what would be right.
fn parse(text: &str) -> Result<DnsName, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    if text.parse::<std::net::SocketAddr>().is_ok() || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err("an address needs no DNS: write it into `endpoints`".to_owned());
    }
    if text.starts_with("unix:") {
        return Err("a socket needs no DNS: write it into `endpoints`".to_owned());
    }
    if !is_name(host) {
        return Err(EXAMPLE.to_owned());
    }
    let name = host.to_ascii_lowercase();
    match port {
        None if is_service(host) => Ok(DnsName { name, port: None }),
        None => Err(format!("add the port: write \"{host}:8000\"")),
        Some(_) if is_service(host) => Err(format!("its SRV records have the ports: write \"{host}\"")),
        Some(port) => match port.parse() {
            Ok(port @ 1..) => Ok(DnsName { name, port: Some(port) }),
            _ => Err("behind the `:` comes a port from 1 to 65535".to_owned()),
        },
    }
}

/// `_service._proto.name` (RFC 2782).
fn is_service(name: &str) -> bool {
    let mut labels = name.split('.');
    let underlined = |label: Option<&str>| label.is_some_and(|label| label.starts_with('_'));
    underlined(labels.next()) && underlined(labels.next()) && labels.next().is_some_and(|label| !label.is_empty())
}

/// Help for what cannot be guessed.
const EXAMPLE: &str = "write \"name:port\", as in \"app:8000\", or \"_service._proto.name\"";

/// Whether names can be asked for again and again.
const HAS_RESOLVER: bool = cfg!(feature = "dns");

/// Whoever asks more often is a burden to a resolver that many share.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_port_unless_its_records_have_one() {
        let ok = |name: &str, port| Ok(DnsName { name: name.to_owned(), port });
        assert_eq!(parse("App:8000"), ok("app", Some(8000)));
        assert_eq!(parse("tasks.app.:80"), ok("tasks.app.", Some(80)));
        assert_eq!(parse("_http._tcp.app.default.svc"), ok("_http._tcp.app.default.svc", None));
        for (text, help) in [
            ("app", "add the port: write \"app:8000\""),
            ("app:0", "behind the `:` comes a port from 1 to 65535"),
            ("app:http", "behind the `:` comes a port from 1 to 65535"),
            ("_http._tcp.app:80", "its SRV records have the ports: write \"_http._tcp.app\""),
            ("_http.app", "add the port: write \"_http.app:8000\""),
            ("10.0.0.1:80", "an address needs no DNS: write it into `endpoints`"),
            ("[::1]:80", "an address needs no DNS: write it into `endpoints`"),
            ("10.0.0.1", "an address needs no DNS: write it into `endpoints`"),
            ("unix:/s", "a socket needs no DNS: write it into `endpoints`"),
            ("http://app:80", EXAMPLE),
            ("", EXAMPLE),
        ] {
            assert_eq!(parse(text), Err(help.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_program_without_a_resolver_refuses_a_name_to_follow() {
        let text = "listen = \"127.0.0.1:0\"\n[pool.app]\ndns = \"app:8000\"\n";
        let refused = crate::config::parse(text, "test").err().map(|mistakes| mistakes.to_string());
        let refused = refused.as_ref().map(|text| text.contains("this balancer was built without its feature `dns`"));
        assert_eq!(refused, (!HAS_RESOLVER).then_some(true));
    }
}
