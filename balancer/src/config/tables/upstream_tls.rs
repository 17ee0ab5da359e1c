//! `[pool.NAME.tls]`. Decides whom endpoints have to be vouched for by, and as whom; called by [`super::pool`]; never opens a file.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::endpoint;
use super::tls::CertificateFiles;
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;

/// How endpoints of a pool are spoken to in TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Who vouches for endpoints: PEM; `None`: those whom the system believes.
    pub ca: Option<PathBuf>,
    /// The name that an endpoint is asked for and has to have a certificate for; `None`: the host of its address.
    pub name: Option<String>,
    /// What an endpoint is shown that asks who we are.
    pub certificate: Option<CertificateFiles>,
}

/// The key `tls` of a pool.
pub(super) fn read(item: &Item<'_>) -> Option<UpstreamTls> {
    let mut table = item.section("pool.NAME.tls", "[pool.app.tls]")?;
    let ca = table.take("ca").and_then(|item| path(&item, "\"/etc/ssl/internal.pem\""));
    let name = table.take("name").and_then(|item| name(&item));
    let (certificate, key) = (table.take("certificate"), table.take("key"));
    match (&certificate, &key) {
        (Some(item), None) => item.lacks("key", "`certificate` needs its key", "add key = \"/etc/ssl/balancer.key\""),
        (None, Some(item)) => {
            item.lacks("certificate", "`key` needs its certificate", "add certificate = \"/etc/ssl/balancer.pem\"");
        }
        _ => {}
    }
    let certificate = certificate.and_then(|item| path(&item, "\"/etc/ssl/balancer.pem\""));
    let key = key.and_then(|item| path(&item, "\"/etc/ssl/balancer.key\""));
    table.finish();
    if cfg!(not(feature = "tls")) {
        item.key_wrong("this balancer was built without TLS", "leave it out, or build it with the feature `tls`");
        return None;
    }
    let certificate = certificate.zip(key).map(|(certificate, key)| CertificateFiles { certificate, key });
    Some(UpstreamTls { ca, name, certificate })
}

/// An endpoint that has no host needs a name: no certificate is for a socket.
pub(super) fn need_name(item: &Item<'_>, tls: &UpstreamTls, at_sockets: bool) {
    if at_sockets && tls.name.is_none() {
        item.lacks(
            "name",
            "an endpoint at a Unix socket has no host that its certificate could be for",
            "add name = \"app.example\", a name that its certificate has",
        );
    }
}

fn path(item: &Item<'_>, example: &'static str) -> Option<PathBuf> {
    Some(Path::new(item.text(example)?).to_owned())
}

fn name(item: &Item<'_>) -> Option<String> {
    let text = item.text("\"app.example\"")?;
    if text.parse::<IpAddr>().is_err() && !endpoint::is_name(text) {
        item.wrong(
            format!("{} is no name that a certificate could have", quote(text)),
            "write the name or the address alone, without a port, as in \"app.example\"",
        );
        return None;
    }
    Some(text.trim_end_matches('.').to_ascii_lowercase())
}
