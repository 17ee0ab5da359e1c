//! `[tls]`. Decides which files hold certificates, and what clients have to show; called by [`crate::config::top`]; never opens one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::acme::{self, Acme};
use super::http2;
use super::listen::ListenAddress;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;
use crate::config::syntax::span::Placed;

/// What clients of `tls:` listeners are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Certificates that others renew; the first is shown to clients that name nobody.
    pub certificates: Vec<CertificateFiles>,
    /// Certificates that we renew.
    pub acme: Acme,
    /// Whom a client's own certificate has to be vouched for by: PEM; `None`: clients show none.
    pub client_ca: Option<PathBuf>,
    /// Whether a client has to show one.
    pub client_auth: ClientAuth,
    /// Whether a request without TLS, for a host that has a certificate, is answered with where to ask instead.
    pub redirect_https: bool,
    /// Whether clients are offered HTTP/2 in the handshake: the key `http2` at the top of the file.
    pub http2: bool,
    /// For how long browsers ask this host over TLS alone.
    pub hsts: Option<Duration>,
}

/// Whether a client has to show a certificate of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Who shows none is refused.
    Require,
    /// Who shows none is served; who shows one that nobody vouches for is refused.
    Optional,
}

/// A certificate, with those that vouch for it behind it, and its key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateFiles {
    /// PEM, its own certificate first.
    pub certificate: PathBuf,
    /// PEM, not encrypted.
    pub key: PathBuf,
}

/// The table, or nothing.
pub(in crate::config) fn read(section: &mut Section<'_>, listen: &[Placed<ListenAddress>]) -> Tls {
    let encrypted = listen.iter().find(|address| address.value.encrypts());
    let http2 = http2::read(section, "http2").unwrap_or(Tls::default().http2);
    let table = section.take("tls").and_then(|item| Some((item.clone(), item.section("tls", "[tls]")?)));
    let Some((item, mut table)) = table else {
        if let Some(address) = encrypted {
            let message = format!("`{}` has no certificate to show", address.value);
            section.findings.whole(address.span.clone(), message, NEEDED.to_owned());
        }
        return Tls::default();
    };
    let certificates_item = table.take("certificates");
    let certificates = certificates_item.as_ref().map(certificates);
    let has_some = |item: Option<Item<'_>>| item.is_some_and(|item| !item.is_empty_list());
    if !has_some(certificates_item) && !has_some(table.take("names")) {
        table.missing(&["certificates", "names"], "`[tls]` has no certificate".to_owned(), NEEDED);
    }
    let acme = acme::read(&mut table);
    let client_ca =
        table.take("client_ca").and_then(|item| Some(PathBuf::from(item.text("\"/etc/ssl/clients.pem\"")?)));
    let client_auth_item = table.take("client_auth");
    let words = &[("require", ClientAuth::Require), ("optional", ClientAuth::Optional)];
    let client_auth = client_auth_item.as_ref().and_then(|item| item.choice(words));
    if let (Some(item), None) = (&client_auth_item, &client_ca) {
        item.lacks(
            "client_ca",
            "`client_auth` needs to know who vouches for clients",
            "add client_ca = \"/etc/ssl/clients.pem\"",
        );
    }
    let redirect_https = table.take("redirect_https").and_then(|item| item.flag());
    let hsts = table.take("hsts").and_then(|item| hsts(&item));
    table.finish();
    // One that is wrong was meant all the same.
    let is_meant = |item: &Item<'_>| item.is_table() || item.as_text().is_some_and(|text| text.starts_with("tls:"));
    let meant = section.take("listen").is_none_or(|item| item.one_or_list().iter().any(is_meant));
    if encrypted.is_none() && !meant {
        let help = "write \"tls:\" in front of an address of `listen`, as in \"tls:0.0.0.0:443\"";
        item.key_wrong("no listener speaks TLS", help);
    }
    let default = Tls::default();
    Tls {
        http2,
        certificates: certificates.unwrap_or_default(),
        acme,
        client_ca,
        client_auth: client_auth.unwrap_or(default.client_auth),
        redirect_https: redirect_https.unwrap_or(default.redirect_https),
        hsts,
    }
}

/// Days, or years, which no other duration has.
fn hsts(item: &Item<'_>) -> Option<Duration> {
    let years = item
        .as_text()
        .and_then(|text| text.strip_suffix('y')?.parse::<u32>().ok())
        .filter(|years| (1..=HSTS_YEARS_MAX).contains(years));
    years.map(|years| YEAR * years).or_else(|| item.duration(Duration::ZERO..=YEAR * HSTS_YEARS_MAX))
}

fn certificates(item: &Item<'_>) -> Vec<CertificateFiles> {
    let items = item.list(PAIR).unwrap_or_default();
    items.iter().filter_map(|item| pair(item, "tls.certificates")).collect()
}

fn pair(item: &Item<'_>, table: &'static str) -> Option<CertificateFiles> {
    let mut section = item.section(table, PAIR)?;
    let mut path = |key, help| Some(Path::new(section.require(key, help)?.text("\"/etc/ssl/app.pem\"")?).to_owned());
    let certificate = path("certificate", "add certificate = \"/etc/ssl/app.pem\"");
    let key = path("key", "add key = \"/etc/ssl/app.key\"");
    section.finish();
    Some(CertificateFiles { certificate: certificate?, key: key? })
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// Browsers that are told more do no more.
const HSTS_YEARS_MAX: u32 = 10;
const PAIR: &str = "[{ certificate = \"/etc/ssl/app.pem\", key = \"/etc/ssl/app.key\" }]";
const NEEDED: &str = "add names = [\"example.com\"] to a table [tls], or certificates = [{ certificate = \"/etc/ssl/app.pem\", key = \"/etc/ssl/app.key\" }]";
