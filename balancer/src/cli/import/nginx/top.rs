//! What nginx says for all servers → the top level of our file. Decides what one value is made of several; called by [`super`]; never looks at
//! pools.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use toml::Value;

use super::tree::Directive;
use super::values::{bytes, duration_text, milliseconds, size_text};
use crate::cli::import::setup::Setup;
use crate::config::show_duration;

/// Reads the limits of clients, and who is trusted; `all` is the whole file.
pub(super) fn read(all: &[Directive], setup: &mut Setup) {
    let mut found = Vec::new();
    collect(all, &mut found);
    let named =
        |names: &[&str]| found.iter().copied().filter(|one| names.contains(&one.name.as_str())).collect::<Vec<_>>();
    if let Some(number) = named(&["worker_processes"]).first().and_then(|one| one.arg(0).parse::<i64>().ok()) {
        setup.top.set("threads", number.clamp(1, THREADS_MAX));
    }
    for (key, names) in [
        ("header_timeout", &["client_header_timeout"][..]),
        ("body_timeout", &["client_body_timeout", "send_timeout"]),
        ("keep_alive_timeout", &["keepalive_timeout"]),
    ] {
        longest(key, &named(names), setup);
    }
    let sizes = named(&["client_max_body_size"]);
    // None at all is written as nothing.
    largest(
        "body_bytes_max",
        &sizes,
        |one| bytes(one.arg(0)).map(|size| if size == 0 { BODY_MAX } else { size }),
        (1, BODY_MAX),
        setup,
    );
    let buffers = named(&["large_client_header_buffers"]);
    let of_buffers = |one: &Directive| Some(one.arg(0).parse::<u64>().ok()?.saturating_mul(bytes(one.arg(1))?));
    largest("header_bytes_max", &buffers, of_buffers, (8 << 10, 1 << 20), setup);
    if named(&["underscores_in_headers"]).iter().any(|one| one.arg(0) == "on") {
        setup.top.set("ambiguous_fields", "pass");
    }
    trusted(&named(&["set_real_ip_from"]), &named(&["real_ip_header"]), setup);
    access_log(all, &named(&["access_log"]), setup);
    response_fields(&named(&["add_header"]), setup);
}

/// Off where it is off for all.
fn access_log(all: &[Directive], said: &[&Directive], setup: &mut Setup) {
    let is_off = |block: &[Directive]| block.iter().any(|one| one.name == "access_log" && one.arg(0) == "off");
    let blocks = |name: &'static str| {
        let within = all.iter().filter(|one| one.name == "http").flat_map(Directive::children);
        all.iter().chain(within).filter(move |one| one.name == name).map(Directive::children)
    };
    let wide = is_off(all) || blocks("http").any(is_off) || blocks("server").all(is_off);
    match said.iter().find(|log| log.arg(0) != "off") {
        Some(log) => {
            let text = format!(
                "{}: the access log goes to stdout; [access_log] path = \"FILE\" has it elsewhere",
                log.shown()
            );
            setup.unseen(&log.place, text);
        }
        None if !said.is_empty() && wide => setup.access_log.set("format", "off"),
        None => {}
    }
}

/// Every directive, whatever block it stands in.
fn collect<'a>(directives: &'a [Directive], found: &mut Vec<&'a Directive>) {
    for directive in directives {
        found.push(directive);
        // Names mean something else there.
        if !["upstream", "stream", "mail", "events", "map", "geo", "types"].contains(&directive.name.as_str()) {
            collect(directive.children(), found);
        }
    }
}

fn longest(key: &'static str, said: &[&Directive], setup: &mut Setup) {
    let times = said.iter().filter_map(|one| Some((milliseconds(one.arg(0))?, *one)));
    let times: Vec<(u64, &Directive)> = times.filter(|(time, _)| *time > 0).collect();
    let Some(longest) = times.iter().map(|(time, _)| *time).max() else { return };
    setup.top.set(key, duration_text(longest));
    for (_, one) in times.iter().filter(|(time, _)| *time != longest) {
        let text = format!("{}: `{key}` is one for all: {}, the longest", one.shown(), duration_text(longest));
        setup.unseen(&one.place, text);
    }
}

fn largest(
    key: &'static str,
    said: &[&Directive],
    size: impl Fn(&Directive) -> Option<u64>,
    (least, most): (u64, u64),
    setup: &mut Setup,
) {
    let sizes: Vec<(u64, &Directive)> = said.iter().filter_map(|one| Some((size(one)?, *one))).collect();
    let Some(largest) = sizes.iter().map(|(size, _)| *size).max() else { return };
    let text = size_text(largest, least, most);
    for (_, one) in sizes.iter().filter(|(size, _)| *size != largest) {
        setup.seen(&one.place, format!("{}: `{key}` is one for all: {text}, the largest", one.shown()));
    }
    setup.top.set(key, text);
}

/// Proxies in front that are believed.
fn trusted(from: &[&Directive], field: &[&Directive], setup: &mut Setup) {
    let mut networks: Vec<Value> = Vec::new();
    for one in from {
        let network = one.arg(0);
        let address = network.parse::<IpAddr>().ok().map(IpNet::from);
        match address.or(network.parse::<IpNet>().ok()).map(|network| Value::from(network.trunc().to_string())) {
            Some(network) if !networks.contains(&network) => networks.push(network),
            Some(_) => {}
            // Those who connect there are trusted anyway.
            None if network == "unix:" => {}
            None => {
                setup.seen(&one.place, format!("{}: `trusted_proxies` has addresses and networks alone", one.shown()))
            }
        }
    }
    let name = field.first().map_or("X-Real-IP", |one| one.arg(0)).to_ascii_lowercase();
    let Some(first) = from.first() else { return };
    match name.as_str() {
        "x-forwarded-for" if !networks.is_empty() => setup.top.set("trusted_proxies", networks),
        "proxy_protocol" if !networks.is_empty() => setup.top.set("proxy_protocol_from", networks),
        "x-forwarded-for" | "proxy_protocol" => {}
        _ if !networks.is_empty() => {
            setup.top.set("trusted_proxies", networks);
            let place = field.first().map_or(&first.place, |one| &one.place);
            setup.seen(
                place,
                format!("real_ip_header {name}: the client is taken from X-Forwarded-For or Forwarded alone"),
            );
        }
        _ => {}
    }
}

/// Fields that responses get: one of them has a key.
fn response_fields(fields: &[&Directive], setup: &mut Setup) {
    let has_tls = setup.listen.iter().any(|listen| listen.as_str().is_some_and(|text| text.starts_with("tls:")));
    for field in fields {
        let value = field.arg(1).to_ascii_lowercase();
        let age = value
            .split(';')
            .find_map(|part| part.trim().strip_prefix("max-age=")?.trim_matches('"').parse::<u64>().ok());
        match age.filter(|_| has_tls && field.arg(0).eq_ignore_ascii_case("strict-transport-security")) {
            Some(age) => {
                setup.tls.set("hsts", show_duration(Duration::from_secs(age.min(HSTS_MAX))));
                if value.contains("includesubdomains") || value.contains("preload") {
                    setup.seen(
                        &field.place,
                        format!(
                            "{}: `hsts` is for the host itself, without includeSubDomains and preload",
                            field.shown()
                        ),
                    );
                }
            }
            None => setup.seen(
                &field.place,
                format!("{}: responses have the fields that the app gives them: let the app set it", field.shown()),
            ),
        }
    }
}

/// As our file has them.
const BODY_MAX: u64 = 1 << 40;
const THREADS_MAX: i64 = 1_024;
/// Ten years, in seconds.
const HSTS_MAX: u64 = 10 * 365 * 24 * 3_600;
