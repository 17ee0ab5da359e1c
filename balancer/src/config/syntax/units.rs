//! Text with a unit → a value. Decides what counts as a duration, a size or a share; called by [`super::section`]; never
//! judges whether a value fits its key.
//!
//! A reader that understands the text but does not take it says how to write it: `"5 sec"` → write `"5s"`.

use std::time::Duration;

/// `"250ms"`, `"5s"`, `"1m 30s"`: whole numbers with a unit, larger units first.
///
/// # Errors
///
/// What would be right.
pub fn duration(text: &str) -> Result<Duration, String> {
    let example = || format!("write a whole number and a unit ({}), as in \"5s\" or \"1m 30s\"", names(DURATIONS));
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("write \"{text}s\""));
    }
    let mut rest = text.trim();
    let (mut total, mut exact, mut last) = (0u64, rest == text && !rest.is_empty(), u64::MAX);
    while !rest.is_empty() {
        let part = Part::read(rest).ok_or_else(example)?;
        let (factor, known) = lookup(DURATIONS, DURATION_ALIASES, part.unit).ok_or_else(example)?;
        let (milliseconds, whole) = part.times(factor).ok_or_else(example)?;
        exact &= known && whole && factor < last;
        total = total.saturating_add(milliseconds);
        last = factor;
        rest = part.rest.trim_start();
    }
    match exact {
        true => Ok(Duration::from_millis(total)),
        false if last == u64::MAX => Err(example()),
        false => Err(format!("write \"{}\"", show_duration(Duration::from_millis(total)))),
    }
}

/// `"500B"`, `"64KiB"`, `"10MB"`: bytes.
///
/// # Errors
///
/// What would be right.
pub(in crate::config) fn size(text: &str) -> Result<u64, String> {
    let example = || format!("write a whole number and a unit ({}), as in \"64KiB\"", names(SIZES));
    let trimmed = text.trim().trim_end_matches("/s");
    let part = Part::read(trimmed).ok_or_else(example)?;
    let (factor, known) = lookup(SIZES, SIZE_ALIASES, part.unit).ok_or_else(example)?;
    let (bytes, whole) = part.times(factor).ok_or_else(example)?;
    match (known && whole && trimmed == text, part.rest) {
        (_, rest) if !rest.is_empty() => Err(example()),
        (true, _) => Ok(bytes),
        (false, _) => Err(format!("write \"{}\"", show_size(bytes))),
    }
}

/// `"20%"`: 0.2.
///
/// # Errors
///
/// What would be right.
pub(in crate::config) fn percent(text: &str) -> Result<f64, String> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit()));
    match (text.strip_suffix('%').and_then(number), text.trim().trim_end_matches('%').trim_end()) {
        (Some(share), _) => Ok(share / 100.0),
        (None, text) => Err(match number(text) {
            Some(share) => percent_hint(share),
            None => "write a share of a hundred, as in \"20%\"".to_owned(),
        }),
    }
}

/// How to write the bare number `share`: 0.2 and 20 both mean 20 %.
pub(super) fn percent_hint(share: f64) -> String {
    match share {
        share if share > 0.0 && share < 1.0 => format!("write \"{}%\"", (share * 1e4).round() / 1e2),
        share => format!("write \"{share}%\""),
    }
}

/// The text [`duration`] reads as `duration`, in its largest whole unit.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    show(DURATIONS, milliseconds, "s")
}

/// The text [`size`] reads as `bytes`, in its largest whole unit.
pub fn show_size(bytes: u64) -> String {
    show(SIZES, bytes, "B")
}

/// A number and the letters behind it.
struct Part<'a> {
    number: &'a str,
    unit: &'a str,
    rest: &'a str,
}

impl<'a> Part<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let split = |text: &'a str, inside: fn(char) -> bool| {
            text.split_at(text.find(|c: char| !inside(c)).unwrap_or(text.len()))
        };
        let (number, behind) = split(text, |c| c.is_ascii_digit() || c == '.');
        let (unit, rest) = split(behind.trim_start_matches(' '), |c| c.is_ascii_alphabetic());
        (number.starts_with(|c: char| c.is_ascii_digit())).then_some(Self { number, unit, rest })
    }

    /// The number times `factor`, rounded, and whether it was a whole one.
    fn times(&self, factor: u64) -> Option<(u64, bool)> {
        if self.number.bytes().all(|byte| byte.is_ascii_digit()) {
            // Too many digits for 64 bits are beyond every bound, and so is the largest value.
            let number = self.number.parse::<u64>().unwrap_or(u64::MAX);
            return Some((number.saturating_mul(factor), true));
        }
        let number = self.number.parse::<f64>().ok()?;
        Some(((number * factor as f64).round() as u64, false))
    }
}

/// The factor of `unit`, and whether it is written as we write it.
fn lookup(units: &[(&str, u64)], aliases: &[(&str, &str)], unit: &str) -> Option<(u64, bool)> {
    let factor = |name: &str| units.iter().find(|(known, _)| *known == name).map(|(_, factor)| *factor);
    if let Some(factor) = factor(unit) {
        return Some((factor, true));
    }
    let lower = unit.to_ascii_lowercase();
    let alias = aliases.iter().find(|(alias, _)| *alias == lower).map(|(_, name)| *name);
    alias.and_then(factor).map(|factor| (factor, false))
}

fn show(units: &[(&str, u64)], value: u64, base: &str) -> String {
    match units.iter().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", value / factor),
        None => format!("{value}{base}"),
    }
}

fn names(units: &[(&str, u64)]) -> String {
    units.iter().rev().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// In milliseconds, largest first.
const DURATIONS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Understood, in lower case, to say how it is written.
const DURATION_ALIASES: &[(&str, &str)] = &[
    ("d", "d"),
    ("day", "d"),
    ("days", "d"),
    ("h", "h"),
    ("hr", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("m", "m"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("s", "s"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("ms", "ms"),
    ("msec", "ms"),
    ("millis", "ms"),
    ("milliseconds", "ms"),
];

/// In bytes, largest first.
const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// Understood, in lower case, to say how it is written; a bare `K` means 1,024 in nginx, HAProxy and Apache.
const SIZE_ALIASES: &[(&str, &str)] = &[
    ("", "B"),
    ("b", "B"),
    ("byte", "B"),
    ("bytes", "B"),
    ("k", "KiB"),
    ("kb", "kB"),
    ("kib", "KiB"),
    ("m", "MiB"),
    ("mb", "MB"),
    ("mib", "MiB"),
    ("g", "GiB"),
    ("gb", "GB"),
    ("gib", "GiB"),
    ("t", "TiB"),
    ("tb", "TB"),
    ("tib", "TiB"),
];

/// Longest duration of any key; what is longer was hardly meant.
pub const DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Shortest duration of a key for which zero would end everything at once.
pub(in crate::config) const DURATION_MIN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_whole_numbers_with_units_larger_first() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("5s", 5_000),
            ("1m 30s", 90_000),
            ("1m30s", 90_000),
            ("5 s", 5_000),
            ("0s", 0),
            ("1d 2h", 93_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn a_duration_that_is_understood_but_not_taken_is_shown_as_it_should_be() {
        for (text, right) in [
            ("5 sec", "5s"),
            ("1.5s", "1500ms"),
            ("10 Minutes", "10m"),
            ("30s 1m", "90s"),
            ("5s 5s", "10s"),
            (" 5s", "5s"),
            ("0.5 hours", "30m"),
            ("5", "5s"),
        ] {
            assert_eq!(duration(text), Err(format!("write \"{right}\"")), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_gets_an_example() {
        for text in ["", " ", "s", "-5s", "5x", "5s,", "1..5s", "∞", "5µs", "5s 3"] {
            let help = duration(text).expect_err(text);
            assert!(help.contains("ms, s, m, h, d") && help.contains("\"5s\""), "{text}: {help}");
        }
    }

    #[test]
    fn a_size_is_a_whole_number_with_a_unit() {
        for (text, bytes) in [("0B", 0), ("500B", 500), ("64KiB", 65_536), ("10MB", 10_000_000), ("2 GiB", 1 << 31)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for (text, right) in [
            ("64K", "64KiB"),
            ("10mb", "10MB"),
            ("1.5MiB", "1536KiB"),
            ("500B/s", "500B"),
            ("4096", "4KiB"),
            ("1KB", "1kB"),
        ] {
            assert_eq!(size(text), Err(format!("write \"{right}\"")), "{text}");
        }
        for text in ["", "B", "-1B", "10XB", "10MB 5B", "1.2.3MB"] {
            assert!(size(text).expect_err(text).contains("\"64KiB\""), "{text}");
        }
    }

    #[test]
    fn numbers_beyond_64_bits_saturate() {
        assert_eq!(size("99999999999999999999999TiB"), Ok(u64::MAX));
        assert_eq!(duration("99999999999999999999999d"), Ok(Duration::from_millis(u64::MAX)));
    }

    #[test]
    fn a_share_is_a_number_of_hundredths() {
        assert_eq!(percent("20%"), Ok(0.2));
        assert_eq!(percent("0%"), Ok(0.0));
        assert_eq!(percent("12.5%"), Ok(0.125));
        for (text, right) in [("0.2", "20%"), ("20", "20%"), ("20 %", "20%")] {
            assert_eq!(percent(text), Err(format!("write \"{right}\"")), "{text}");
        }
        for text in ["", "%", "-5%", "inf%", "NaN%", "a lot"] {
            assert!(percent(text).expect_err(text).contains("\"20%\""), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for bytes in [0, 1, 500, 1_000, 1_024, 1_500, 65_536, 10_000_000, 1 << 40] {
            assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }
        for milliseconds in [0, 1, 999, 1_000, 90_000, 3_600_000, 2_592_000_000] {
            let value = Duration::from_millis(milliseconds);
            assert_eq!(duration(&show_duration(value)), Ok(value));
        }
    }
}
