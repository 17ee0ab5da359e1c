//! `policy`, `hash_key` and `affinity`. Decides how the words of the file name a policy; called by [`super::pool`];
//! never picks.

use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;

/// How an endpoint is picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Each in turn, smooth by weight.
    RoundRobin,
    /// Fewest requests in flight for its weight.
    LeastConnections,
    /// The better of two drawn at random.
    TwoChoices,
    /// At random by weight.
    Random,
    /// By a key, so that few keys move when endpoints come and go.
    Hash(HashKey),
}

/// What `hash` hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    ClientIp,
    /// Path and query.
    Uri,
    /// A request field; the name is lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
}

/// Same client, same endpoint, by a cookie we set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affinity {
    /// The cookie's name, an RFC 6265 token.
    pub cookie: String,
}

/// The keys `policy` and `hash_key` of a pool.
pub(in crate::config) fn read(section: &mut Section<'_>, default: Policy) -> Policy {
    let words = &[
        ("round_robin", Policy::RoundRobin),
        ("least_connections", Policy::LeastConnections),
        ("two_choices", Policy::TwoChoices),
        ("random", Policy::Random),
        ("hash", Policy::Hash(HashKey::ClientIp)),
    ];
    let item = section.take("policy");
    let misread = item.is_some();
    let policy = item.and_then(|item| item.choice(words));
    let misread = misread && policy.is_none();
    let key = section.take("hash_key");
    match (policy.unwrap_or(default), key) {
        (Policy::Hash(default), key) => Policy::Hash(key.and_then(|item| hash_key(&item)).unwrap_or(default)),
        (policy, Some(_)) if misread => policy,
        (policy, Some(key)) => {
            key.wrong("`hash_key` has no effect without policy = \"hash\"", "add policy = \"hash\", or leave it out");
            policy
        }
        (policy, None) => policy,
    }
}

fn hash_key(item: &Item<'_>) -> Option<HashKey> {
    let text = item.text("\"client_ip\"")?;
    let valid = match text.split_once(':') {
        None if text == "client_ip" => Some(HashKey::ClientIp),
        None if text == "uri" => Some(HashKey::Uri),
        Some(("header", name)) if is_token(name) => Some(HashKey::Header(name.to_ascii_lowercase())),
        Some(("cookie", name)) if is_token(name) => Some(HashKey::Cookie(name.to_owned())),
        _ => None,
    };
    valid.or_else(|| {
        let help = match text.split_once([':', '=', ' ']).map_or(text, |(word, _)| word) {
            "header" => "name the field, as in \"header:X-Tenant\"",
            "cookie" => "name the cookie, as in \"cookie:session\"",
            _ => "write \"client_ip\", \"uri\", \"header:NAME\" or \"cookie:NAME\"",
        };
        item.wrong(format!("`hash_key` cannot be {}", quote(text)), help);
        None
    })
}

/// The key `affinity` of a pool.
pub(in crate::config) fn affinity(section: &mut Section<'_>) -> Option<Affinity> {
    let example = "affinity = { cookie = \"lb\" }";
    let mut table = section.take("affinity")?.section("pool.NAME.affinity", example)?;
    let cookie = table.require("cookie", &format!("name the cookie, as in {example}"));
    table.finish();
    let cookie = cookie?;
    let name = cookie.text("\"lb\"")?;
    if !is_token(name) {
        let help = "write letters, digits, `-` and `_`, as in \"lb\"";
        cookie.wrong(format!("{} cannot be the name of a cookie", quote(name)), help);
        return None;
    }
    Some(Affinity { cookie: name.to_owned() })
}

/// A token of RFC 9110 §5.6.2, which names of fields and of cookies (RFC 6265 §4.1.1) are.
fn is_token(text: &str) -> bool {
    let mark = |byte| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || mark(byte))
}
