//! Who the client is, where proxies of ours stand between it and us.
//!
//! Decides by what those say who are trusted. Called by `proxy` for the requests of a trusted peer. Never believes a hop that
//! a stranger names: only what stands behind the right-most untrusted one was written by somebody trusted.

use std::iter::successors;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::http1::{Fields, Name};

/// The right-most hop that is not trusted, of `X-Forwarded-For` or, where that says nothing, of `Forwarded` (RFC 7239 §4);
/// with none such, the left-most. A hop that is no address ends the chain: what stands before it is anybody's word. A chain
/// that says nothing leaves the `peer`.
pub fn client_behind(fields: &Fields, peer: Option<IpAddr>, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut hops = fields.all(Name::XForwardedFor).rev().flat_map(|value| elements(value, b',')).peekable();
    if hops.peek().is_some() {
        return right_most(hops.map(address), peer, trusted);
    }
    let hops = fields.all(Name::Forwarded).rev().flat_map(|value| elements(value, b','));
    right_most(hops.map(|hop| address(node(hop)?)), peer, trusted)
}

/// `hops` come from the right.
fn right_most(hops: impl Iterator<Item = Option<IpAddr>>, peer: Option<IpAddr>, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut client = peer;
    for hop in hops.map_while(|hop| hop) {
        client = Some(hop);
        if !trusted.iter().any(|network| network.contains(&hop)) {
            break;
        }
    }
    client
}

/// What stands between the separators that are not quoted, from the right, so that a quote that somebody further left has not
/// closed changes nothing. Empty ones do not count (RFC 9110 §5.6.1).
fn elements(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let split =
        successors(Some(split_last(value, separator)), move |(before, _)| Some(split_last((*before)?, separator)));
    split.map(|(_, element)| element.trim_ascii()).filter(|element| !element.is_empty())
}

/// What stands before the last separator, and what behind it.
fn split_last(value: &[u8], separator: u8) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    for at in (0..value.len()).rev() {
        match value[at] {
            b'"' if !is_escaped(&value[..at]) => quoted = !quoted,
            byte if byte == separator && !quoted => return (Some(&value[..at]), &value[at + 1..]),
            _ => {}
        }
    }
    (None, value)
}

/// Whether a quote behind these bytes belongs to what is quoted.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

/// The value of `for` in an element of `Forwarded`.
fn node(element: &[u8]) -> Option<&[u8]> {
    elements(element, b';').find_map(|pair| {
        let (name, value) = pair.split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    })
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`, in quotes
/// or not.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if let Some(bracketed) = text.strip_prefix('[') {
        let (ip, port) = bracketed.split_once(']')?;
        let ends = port.is_empty() || port.starts_with(':');
        return ip.parse().ok().filter(|ip: &IpAddr| ends && ip.is_ipv6()).map(|ip| ip.to_canonical());
    }
    let plain = text.parse().map(|ip: IpAddr| ip.to_canonical());
    plain.ok().or_else(|| text.split_once(':')?.0.parse::<Ipv4Addr>().ok().map(IpAddr::V4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(lines: &[(&str, &str)]) -> String {
        let mut fields = Fields::default();
        lines.iter().for_each(|(name, value)| fields.append(name, value.as_bytes()));
        let trusted = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|network| network.parse().unwrap());
        let client = client_behind(&fields, Some([10, 0, 0, 1].into()), &trusted);
        client.unwrap().to_string()
    }

    fn forwarded_for(value: &str) -> String {
        behind(&[("X-Forwarded-For", value)])
    }

    #[test]
    fn it_is_the_right_most_hop_that_is_not_trusted() {
        assert_eq!(forwarded_for("192.0.2.7"), "192.0.2.7");
        assert_eq!(forwarded_for("6.6.6.6, 192.0.2.7"), "192.0.2.7");
        assert_eq!(forwarded_for("6.6.6.6, 10.9.9.9, 192.0.2.7,10.0.0.2 ,\t10.0.0.3"), "192.0.2.7");
        assert_eq!(behind(&[("X-Forwarded-For", "6.6.6.6"), ("x-forwarded-for", "192.0.2.7")]), "192.0.2.7");
        assert_eq!(behind(&[("X-Forwarded-For", "192.0.2.7"), ("x-forwarded-for", "10.0.0.2")]), "192.0.2.7");
        assert_eq!(forwarded_for("10.0.0.5, 10.0.0.2"), "10.0.0.5", "a client within the trusted networks");
        assert_eq!(forwarded_for("6.6.6.6, 2001:db8::1, 2001:db8:ffff::2"), "2001:db8::1");
        assert_eq!(forwarded_for(", 192.0.2.7, ,"), "192.0.2.7");
        assert_eq!(behind(&[]), "10.0.0.1");
        assert_eq!(behind(&[("X-Forwarded-For", " , ")]), "10.0.0.1");
    }

    #[test]
    fn a_port_is_no_part_of_it() {
        for (value, client) in [
            ("192.0.2.7:4711", "192.0.2.7"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("\"[2001:db8::1]:80\"", "2001:db8::1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:80", "192.0.2.7"),
        ] {
            assert_eq!(forwarded_for(value), client, "{value}");
        }
    }

    #[test]
    fn what_stands_before_a_hop_that_is_no_address_is_not_believed() {
        for hop in ["unknown", "_hidden", "192.0.2", "[2001:db8::1", "[2001:db8::1]x", "[192.0.2.7]", "a:80", "\"", "é"]
        {
            assert_eq!(forwarded_for(&format!("6.6.6.6, {hop}")), "10.0.0.1", "{hop}");
            assert_eq!(forwarded_for(&format!("6.6.6.6, {hop}, 192.0.2.7")), "192.0.2.7", "{hop}");
            assert_eq!(forwarded_for(&format!("6.6.6.6, {hop}, 10.0.0.2")), "10.0.0.2", "{hop}");
        }
    }

    #[test]
    fn forwarded_says_it_where_the_other_field_says_nothing() {
        for (value, client) in [
            ("for=192.0.2.7", "192.0.2.7"),
            ("for=6.6.6.6;proto=http, For=192.0.2.7;proto=https", "192.0.2.7"),
            ("proto=https;by=10.0.0.1;for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=\"192.0.2.7:80\" ; host=\"a;b, c\"", "192.0.2.7"),
            ("for=\"6.6.6.6, for=192.0.2.7", "192.0.2.7"),
            ("for=6.6.6.6;ext=\"\\\", for=192.0.2.7", "192.0.2.7"),
            ("for=192.0.2.7, host=\"x, for=6.6.6.6;a=\"", "10.0.0.1"),
            ("for=192.0.2.7;host=\"x, for=6.6.6.6;a=\\\"\"", "192.0.2.7"),
            ("for=6.6.6.6, for=unknown", "10.0.0.1"),
            ("for=6.6.6.6, proto=http", "10.0.0.1"),
            ("for=192.0.2.7, for=10.0.0.2", "192.0.2.7"),
        ] {
            assert_eq!(behind(&[("Forwarded", value)]), client, "{value}");
        }
        assert_eq!(behind(&[("Forwarded", "for=6.6.6.6"), ("X-Forwarded-For", "192.0.2.7")]), "192.0.2.7");
    }
}
