//! The keys of `[tls]` for certificates that a CA gives by ACME (RFC 8555). Decides which names can be ordered that way; called by
//! [`super::tls`]; never asks a CA.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::{BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};

use super::endpoint::is_name;
use super::listen::ListenAddress;
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;

/// Certificates that we order and renew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acme {
    /// Names, in lower case, each of which gets a certificate of its own; none: nothing is ordered.
    pub names: Vec<String>,
    /// Address for the CA's mail.
    pub email: Option<String>,
    /// The CA.
    pub directory: AcmeDirectory,
    /// PEM file with who vouches for the CA's own server; `None`: those whom browsers believe.
    pub directory_ca: Option<PathBuf>,
    /// The account that one has with the CA already (RFC 8555 §7.3.4).
    pub eab: Option<Eab>,
}

/// Where a CA says what it can do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AcmeDirectory {
    /// That of Let's Encrypt.
    #[default]
    LetsEncrypt,
    /// The one of Let's Encrypt for tries, whose certificates nobody believes.
    Staging,
    /// Another CA's.
    Url(String),
}

impl AcmeDirectory {
    /// Its address.
    pub fn url(&self) -> &str {
        match self {
            Self::LetsEncrypt => "https://acme-v02.api.letsencrypt.org/directory",
            Self::Staging => "https://acme-staging-v02.api.letsencrypt.org/directory",
            Self::Url(url) => url,
        }
    }
}

impl Acme {
    /// A sentence where a CA that wants to see whether a name is ours has to come by another way than straight to us.
    pub fn note_on_challenges(&self, listen: &[ListenAddress]) -> Option<String> {
        let at = |port, encrypts| {
            listen.iter().any(|one| match one.place() {
                ListenAddress::Tcp(address) => address.port() == port && one.encrypts() == encrypts,
                ListenAddress::Passed(_) => true,
                _ => false,
            })
        };
        (!self.names.is_empty() && !at(443, true) && !at(80, false)).then(|| {
            "a CA that is to give a certificate connects to port 443 or 80 of its name, and no listener has either: something has to lead \
             from there to a listener, as a mapping of ports does"
                .to_owned()
        })
    }
}

/// A key for joining an account that one has with a CA.
#[derive(Clone, PartialEq, Eq)]
pub struct Eab {
    /// What the CA calls it.
    pub key_id: String,
    /// The key itself.
    pub mac_key: Vec<u8>,
}

impl fmt::Debug for Eab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eab").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The keys that `section` has of them.
pub(super) fn read(section: &mut Section<'_>) -> Acme {
    let names_item = section.take("names");
    let rest = ["email", "directory", "directory_ca", "eab"].map(|key| section.take(key));
    if names_item.is_none() {
        for item in rest.iter().flatten() {
            item.key_wrong(
                format!("`{}` has no effect without `names`", item.key),
                "add names = [\"example.com\"], or leave it out",
            );
        }
    }
    let [email, directory, directory_ca, eab] = rest;
    let directory = directory.and_then(|item| self::directory(&item)).unwrap_or_default();
    Acme {
        names: names_item.map(|item| names(&item, &directory)).unwrap_or_default(),
        email: email.and_then(|item| self::email(&item)),
        directory,
        directory_ca: directory_ca.and_then(|item| Some(PathBuf::from(item.text("\"/etc/ssl/ca.pem\"")?))),
        eab: eab.and_then(|item| self::eab(&item)),
    }
}

fn names(item: &Item<'_>, directory: &AcmeDirectory) -> Vec<String> {
    let mut names = Vec::new();
    for item in item.list("[\"example.com\"]").unwrap_or_default() {
        let Some(text) = item.text("\"example.com\"") else { continue };
        match name(text, directory) {
            Err((message, help)) => item.wrong(format!("{} {message}", quote(text)), help),
            Ok(name) if names.contains(&name) => {
                item.wrong(format!("{} is there twice", quote(text)), "leave one of the two out");
            }
            Ok(name) => names.push(name),
        }
    }
    names
}

/// In lower case; or the end of a sentence, and what would be right.
fn name(text: &str, directory: &AcmeDirectory) -> Result<String, (&'static str, &'static str)> {
    if text.parse::<IpAddr>().is_ok() {
        let help = "write the name that leads to it, or give a certificate for it in `certificates`";
        return Err(("is an address, for which no certificate is ordered", help));
    }
    if text.starts_with("*.") {
        let help = "write each name, or give a certificate for all of them in `certificates`";
        return Err(("is a wildcard, which a CA gives by dns-01 alone, and that is not supported", help));
    }
    if !text.is_ascii() {
        return Err(("is no name in ASCII", "write it as DNS has it, with xn-- in front of such parts"));
    }
    if !is_name(text) || text.contains('_') || text.ends_with('.') {
        return Err(("is no name of a host", "write a name alone, as in \"example.com\", without a port or a scheme"));
    }
    if !text.contains('.') && !matches!(directory, AcmeDirectory::Url(_)) {
        return Err((
            "is a name that only this network knows",
            "a public CA gives certificates for public names alone",
        ));
    }
    Ok(text.to_ascii_lowercase())
}

fn email(item: &Item<'_>) -> Option<String> {
    let text = item.text("\"admin@example.com\"")?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !b",?&<>\"".contains(&byte);
    let is_one = |(before, behind): (&str, &str)| !before.is_empty() && is_name(behind);
    if !text.starts_with("mailto:") && text.bytes().all(plain) && text.split_once('@').is_some_and(is_one) {
        return Some(text.to_owned());
    }
    item.wrong(format!("{} is no address of mail", quote(text)), "write one, as in \"admin@example.com\"");
    None
}

fn directory(item: &Item<'_>) -> Option<AcmeDirectory> {
    match item.text("\"https://acme.example.com/directory\"")? {
        "letsencrypt" => Some(AcmeDirectory::LetsEncrypt),
        "staging" => Some(AcmeDirectory::Staging),
        text if is_url(text) => Some(AcmeDirectory::Url(text.to_owned())),
        text => {
            let help = "write \"letsencrypt\", \"staging\", or an address that begins with https://";
            item.wrong(format!("{} is no directory of a CA", quote(text)), help);
            None
        }
    }
}

/// RFC 8555 §6.1 wants TLS.
fn is_url(text: &str) -> bool {
    let uri = text.parse::<http::Uri>();
    uri.is_ok_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty()))
}

fn eab(item: &Item<'_>) -> Option<Eab> {
    let mut section = item.section("tls.eab", "{ key_id = \"…\", mac_key = \"…\" }")?;
    let key_id = section.require("key_id", "add key_id, as your CA gives it");
    let key_id = key_id.and_then(|item| Some(item.text("")?.to_owned()));
    let mac_key = section.require("mac_key", "add mac_key, as your CA gives it").and_then(|item| {
        let text = item.text("")?;
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(text).or_else(|_| BASE64_URL_SAFE.decode(text));
        decoded.ok().filter(|key| !key.is_empty()).or_else(|| {
            item.wrong("`mac_key` is not in the base64 of addresses", "write it as your CA gives it: A-Z a-z 0-9 - _");
            None
        })
    });
    section.finish();
    Some(Eab { key_id: key_id?, mac_key: mac_key? })
}
