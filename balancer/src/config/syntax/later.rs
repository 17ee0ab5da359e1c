//! What the file may say one day. Decides which documented names are refused as "not supported yet" instead of as
//! unknown; called by [`super::section`]; never reads a value.

/// Keys by table; a key leaves this list in the change that makes it work.
const KEYS: &[(&str, &[&str])] = &[
    ("", &["listener", "acme", "compress"]),
    (
        "route",
        &[
            "files",
            "fallback",
            "redirect",
            "respond",
            "strip_prefix",
            "request_fields",
            "response_fields",
            "basic_auth",
            "allow",
            "rate",
            "canary",
            "mirror",
            "compress",
        ],
    ),
];

/// Values of keys that are supported.
const VALUES: &[(&str, &[&str])] = &[];

/// The keys `table` will have.
pub(in crate::config) fn keys(table: &str) -> &'static [&'static str] {
    entry(KEYS, table)
}

/// The values `key` will take.
pub(in crate::config) fn values(key: &str) -> &'static [&'static str] {
    entry(VALUES, key)
}

fn entry(list: &[(&str, &'static [&'static str])], name: &str) -> &'static [&'static str] {
    list.iter().find(|(known, _)| *known == name).map_or(&[], |(_, names)| names)
}
