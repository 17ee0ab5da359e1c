//! Where all servers listen, and what their clients are shown. Decides what is left of addresses that take each other's clients; called by
//! [`super`]; never looks at paths.

use std::path::Path;

use toml::{Table, Value};

use super::scope::Scope;
use super::server::{Purpose, VirtualServer};
use super::tree::Directive;
use crate::cli::import::setup::{Setup, plain};
use crate::config::ListenAddress;

/// Adds the listeners of all servers.
pub(super) fn add(servers: &[VirtualServer], setup: &mut Setup) {
    let mut all: Vec<ListenAddress> = Vec::new();
    for server in servers.iter().filter(|server| server.purpose != Purpose::Refuses) {
        for listen in &server.listens {
            let text = if listen.tls { format!("tls:{}", listen.address) } else { listen.address.clone() };
            let Ok(address) = text.parse::<ListenAddress>() else { continue };
            let covers = |one: &ListenAddress, other: &ListenAddress| one.covers(other, std::slice::from_ref(other));
            let known = all.iter().find(|known| covers(known, &address));
            if known.is_some_and(|known| known.encrypts() != address.encrypts()) {
                setup
                    .seen(&server.place, format!("server: {} is there with TLS and without: left out", listen.address));
            } else if known.is_none() {
                all.retain(|known| !covers(&address, known));
                all.push(address);
            }
            if listen.http2 && !listen.tls && server.listens.iter().all(|other| !other.tls) {
                setup.top.set("h2c", true);
            }
        }
    }
    setup.listen = all.iter().map(written).collect();
}

/// Whom a header of the PROXY protocol is read from is to be known.
pub(super) fn announced(servers: &[VirtualServer], setup: &mut Setup) {
    let announced = |server: &&VirtualServer| server.listens.iter().any(|listen| listen.proxy_protocol);
    if let Some(server) = servers.iter().find(announced).filter(|_| setup.top.get("proxy_protocol_from").is_none()) {
        let why = "add `proxy_protocol_from` with the networks of what stands in front";
        setup.seen(&server.place, format!("server: it listens with proxy_protocol: {why}"));
    }
}

/// A Unix socket of nginx is open to every account.
fn written(address: &ListenAddress) -> Value {
    match address.place() {
        ListenAddress::Unix(_) => {
            let mut table = Table::new();
            table.insert("address".to_owned(), plain(&address.to_string()).into());
            table.insert("mode".to_owned(), "0666".into());
            table.into()
        }
        _ => address.to_string().into(),
    }
}

/// Adds `[tls]`; `blocks` are the servers with what holds in each, `directory` that of the file.
pub(super) fn tls(servers: &[VirtualServer], blocks: &[(&Directive, Scope<'_>)], directory: &Path, setup: &mut Setup) {
    let encrypted = |server: &VirtualServer| server.listens.iter().any(|listen| listen.tls);
    let pairs: Vec<_> = servers
        .iter()
        .zip(blocks)
        .filter(|(server, _)| encrypted(server) && server.purpose != Purpose::Refuses)
        .collect();
    let mut certificates: Vec<Value> = Vec::new();
    for (_, (_, scope)) in &pairs {
        for (certificate, key) in scope.all("ssl_certificate").into_iter().zip(scope.all("ssl_certificate_key")) {
            match (path(certificate, directory), path(key, directory)) {
                (Some(own), Some(key)) => {
                    let pair: Value =
                        Table::from_iter([("certificate".to_owned(), own.into()), ("key".to_owned(), key.into())])
                            .into();
                    if !certificates.contains(&pair) {
                        certificates.push(pair);
                    }
                }
                _ => setup.seen(
                    &certificate.place,
                    format!("{}: certificates are files with fixed names here", certificate.shown()),
                ),
            }
        }
    }
    if certificates.is_empty() {
        if let Some((server, _)) = pairs.first() {
            setup.seen(&server.place, "server: it listens with TLS and has no certificate here: add it to [tls]");
        }
        return to_tls(servers, setup);
    }
    setup.tls.set("certificates", certificates);
    client_certificates(&pairs.iter().map(|(_, (_, scope))| scope).collect::<Vec<_>>(), directory, setup);
    for (_, (_, scope)) in &pairs {
        if let Some(versions) = scope.find("ssl_protocols").filter(|versions| !super::pools::is_told(setup, versions)) {
            let old = versions.args.iter().any(|version| !["TLSv1.2", "TLSv1.3"].contains(&version.as_str()));
            if old {
                setup.seen(&versions.place, format!("{}: clients speak TLS 1.2 or 1.3", versions.shown()));
            }
        }
    }
    to_tls(servers, setup);
}

/// Who is sent from plain listeners to those with TLS.
fn to_tls(servers: &[VirtualServer], setup: &mut Setup) {
    let encrypted = |server: &&VirtualServer| server.listens.iter().any(|listen| listen.tls);
    let both = servers.iter().filter(|server| server.purpose == Purpose::Serves).find(|server| {
        let is_plain = server.listens.iter().any(|listen| !listen.tls);
        let shares = |other: &VirtualServer| {
            other.hosts.iter().any(|host| server.hosts.contains(host)) || other.hosts.is_empty()
        };
        is_plain && servers.iter().filter(encrypted).any(shares)
    });
    let leading: Vec<&VirtualServer> = servers.iter().filter(|server| server.purpose == Purpose::LeadsToTls).collect();
    let has_tls = !setup.tls.is_empty();
    for server in &leading {
        match has_tls {
            true => setup.unseen(&server.place, "server: `redirect_https` sends these clients to TLS, by 308"),
            false => setup.seen(&server.place, "server: no listener here speaks TLS, so nobody is sent there"),
        }
    }
    match both {
        Some(server) if has_tls && !leading.is_empty() => {
            setup.seen(&server.place, "server: `redirect_https` sends its clients without TLS to TLS too");
        }
        Some(_) if has_tls => setup.tls.set("redirect_https", false),
        _ => {}
    }
}

fn client_certificates(scopes: &[&Scope<'_>], directory: &Path, setup: &mut Setup) {
    let asks = |scope: &&&Scope<'_>| scope.find("ssl_verify_client").is_some_and(|verify| verify.arg(0) != "off");
    let asking: Vec<_> = scopes.iter().filter(asks).collect();
    let Some(first) = asking.first() else { return };
    let (Some(verify), Some(ca)) = (first.find("ssl_verify_client"), first.find("ssl_client_certificate")) else {
        return;
    };
    let is_one = asking.iter().all(|scope| {
        scope.find("ssl_client_certificate").map(|ca| ca.arg(0)) == Some(ca.arg(0))
            && scope.find("ssl_verify_client").map(|verify| verify.arg(0)) == Some(verify.arg(0))
    });
    let Some(file) = path(ca, directory).filter(|_| is_one && asking.len() == scopes.len()) else {
        let why = "all listeners with TLS ask for the same certificates of clients, or none does: NONE IS ASKED FOR";
        return setup.seen(&verify.place, format!("{}: {why}", verify.shown()));
    };
    setup.tls.set("client_ca", file);
    if verify.arg(0) != "on" {
        setup.tls.set("client_auth", "optional");
    }
}

/// The file that a directive names, from the directory of nginx's own file.
fn path(directive: &Directive, directory: &Path) -> Option<String> {
    let name = directive.arg(0);
    let is_file = !name.is_empty()
        && !name.contains('$')
        && !["data:", "engine:", "store:"].iter().any(|kind| name.starts_with(kind));
    is_file.then(|| plain(&directory.join(name).display().to_string()))
}
