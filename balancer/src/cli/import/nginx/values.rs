//! nginx's times and sizes → texts of our file. Decides what a number without a unit means; called by the files beside it; never knows a
//! directive.

use std::time::Duration;

use crate::config::{DURATION_MAX, show_duration, show_size};

/// `60`, `60s`, `1h 30m`, `500ms`; a number without a unit counts seconds. In milliseconds.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let (mut total, mut rest, mut parts) = (0_u64, text.trim(), 0);
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let factor = match unit {
            "ms" => 1,
            "" | "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "M" => 30 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        total = total.saturating_add(number.parse::<u64>().ok()?.saturating_mul(factor));
        rest = behind.trim_start();
        parts += 1;
    }
    (parts > 0).then_some(total)
}

/// `10m`, `512k`, `1g`, or a number of bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, factor) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 1_u64 << 10),
        (at, 'm' | 'M') => (&text[..at], 1 << 20),
        (at, 'g' | 'G') => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    number.parse::<u64>().ok().map(|number| number.saturating_mul(factor))
}

/// As our file writes it, within what it takes: nothing lasts no time at all, nor more than a month.
pub(super) fn duration_text(milliseconds: u64) -> String {
    let longest = u64::try_from(DURATION_MAX.as_millis()).unwrap_or(u64::MAX);
    show_duration(Duration::from_millis(milliseconds.clamp(1, longest)))
}

/// As our file writes it, within these bounds.
pub(super) fn size_text(bytes: u64, least: u64, most: u64) -> String {
    show_size(bytes.clamp(least, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_as_nginx_reads_them() {
        for (text, expected) in [
            ("60", Some(60_000)),
            ("60s", Some(60_000)),
            ("1h 30m", Some(5_400_000)),
            ("1h30m", Some(5_400_000)),
            ("500ms", Some(500)),
            ("1M", Some(2_592_000_000)),
            ("0", Some(0)),
            ("99999999999999999999", None),
            ("99999999999999999y", Some(u64::MAX)),
            ("5x", None),
            ("s", None),
            ("", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
        for (text, expected) in [
            ("10m", Some(10 << 20)),
            ("0", Some(0)),
            ("8K", Some(8 << 10)),
            ("2g", Some(2 << 30)),
            ("m", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
        assert_eq!(duration_text(90_000), "90s");
        assert_eq!(duration_text(0), "1ms");
        assert_eq!(duration_text(u64::MAX), "30d");
        assert_eq!(size_text(10 << 20, 0, 1 << 40), "10MiB");
    }
}
