//! `[admin]`. Decides where commands and metrics may be asked for; called by [`crate::config::top`]; never opens anything.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::identity;
use super::identity::Identity;
use super::listen::ListenAddress;
use super::listen::unix_path;
use crate::config::regular;
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::findings::Findings;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;
use crate::config::syntax::span::Placed;
use crate::config::syntax::{document, text, variables};

/// Where the admin service listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Its Unix socket; `None`: the usual place.
    pub socket: Option<PathBuf>,
    /// A TCP address besides; a loopback address unless there is a token.
    pub address: Option<SocketAddr>,
    /// A file that holds the token TCP clients must show.
    pub token_file: Option<PathBuf>,
    /// Whether requests that are over are remembered for a while, for `balancer explain`.
    pub explain: bool,
}

/// Whether files that hold secrets are looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Secrets {
    /// By whoever is about to use them.
    Checked,
    /// Not by a running instance, which has read them as another account.
    Unread,
}

/// The table, or the default.
pub(in crate::config) fn read(section: &mut Section<'_>, listen: &[Placed<ListenAddress>], secrets: Secrets) -> Admin {
    let Some(item) = section.take("admin") else { return Admin::default() };
    let Some(mut table) = item.section("admin", "[admin]") else { return Admin::default() };
    let socket = table.take("socket").and_then(|item| {
        let path = item.text(SOCKET)?;
        unix_path(&item, path.strip_prefix("unix:").unwrap_or(path))
    });
    let address_item = table.take("address");
    let address = address_item.as_ref().and_then(|item| address(item, listen));
    let token_item = table.take("token_file");
    let token_file = token_item.as_ref().and_then(|item| token_file(item, secrets));
    if let (Some(item), Some(address), None) = (&address_item, address, &token_item)
        && !address.ip().is_loopback()
    {
        let help = format!("add token_file, or write \"127.0.0.1:{}\"", address.port());
        item.wrong(format!("every client that reaches `{address}` could stop balancer"), help);
    }
    let explain = table.take("explain").and_then(|item| item.flag()).unwrap_or(Admin::default().explain);
    table.finish();
    Admin { socket, address, token_file, explain }
}

/// The socket and the account that the file at `path` names, though the rest of it may be wrong: who changes a running
/// instance's file still wants to reach the instance.
pub fn admin_place(path: &Path) -> (Option<PathBuf>, Identity) {
    let text = text::read(path).unwrap_or_default();
    let findings = Findings::default();
    let mut tree = document::read(&text, &findings);
    variables::fill_in(&mut tree, &text, &findings, &|name| std::env::var_os(name));
    let mut section = Section::root(&tree, &findings);
    (read(&mut section, &[], Secrets::Unread).socket, identity::read(&mut section))
}

fn address(item: &Item<'_>, listen: &[Placed<ListenAddress>]) -> Option<SocketAddr> {
    let text = item.text(ADDRESS)?;
    let Ok(address) = text.parse() else {
        item.wrong(format!("{} is not an address to listen on", quote(text)), format!("write one as in {ADDRESS}"));
        return None;
    };
    let own = ListenAddress::Tcp(address);
    let all: Vec<ListenAddress> = listen.iter().map(|known| known.value.clone()).collect();
    if let Some(taken) = listen.iter().find(|known| known.value.covers(&own, &all) || own.covers(&known.value, &[])) {
        item.wrong(format!("`{}` has that address already", taken.value), "give the admin service a port of its own");
    }
    Some(address)
}

fn token_file(item: &Item<'_>, secrets: Secrets) -> Option<PathBuf> {
    let text = item.text("\"/etc/balancer/token\"")?;
    if secrets == Secrets::Unread {
        return Some(PathBuf::from(text));
    }
    match read_token(Path::new(text)) {
        Ok(_) => Some(PathBuf::from(text)),
        Err(why) => {
            item.wrong(why, "write the path of a file that holds one long random word");
            None
        }
    }
}

/// The token in a file: one word.
///
/// # Errors
/// A sentence: it cannot be read, or holds something else.
pub fn read_token(path: &Path) -> Result<String, String> {
    let shown = quote(&path.display().to_string());
    let bytes = regular::read(path, TOKEN_FILE_MAX).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let token = str::from_utf8(&bytes).unwrap_or_default().trim();
    let is_word = token.len() >= TOKEN_MIN && token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_word { Ok(token.to_owned()) } else { Err(format!("{shown} does not hold a word of {TOKEN_MIN} characters")) }
}

/// A sentence, where accounts besides owner and group can read the token in a file, or write another.
pub fn token_is_open(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    let can = match (mode & 0o004 != 0, mode & 0o002 != 0) {
        (false, false) => return None,
        (true, false) => "read",
        (false, true) => "write",
        (true, true) => "read and write",
    };
    Some(format!(
        "every account of this machine can {can} the token in {} (mode {mode:04o}), and could stop balancer: chmod 0600 or 0640",
        quote(&path.display().to_string())
    ))
}

const SOCKET: &str = "\"/run/balancer/lb.sock\"";
const ADDRESS: &str = "\"127.0.0.1:9100\"";
/// A path to a log must not fill the memory.
const TOKEN_FILE_MAX: u64 = 4_096;
/// Shorter ones can be guessed.
const TOKEN_MIN: usize = 16;
