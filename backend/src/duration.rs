//! A time as an argument. Decides which units there are; called by the readers of arguments.

use std::time::Duration;

/// `250ms`, `5s`, `1m`, or a number of milliseconds.
///
/// # Errors
/// What would be right.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        unit => return Err(format!("unknown unit \"{unit}\": say \"250ms\", \"5s\", \"1m\" or milliseconds")),
    };
    let number: u32 = digits.parse().map_err(|_| format!("\"{digits}\" is not a whole number up to {}", u32::MAX))?;
    Ok(Duration::from_millis(u64::from(number) * unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_milliseconds_unless_it_has_a_unit() {
        for (text, ms) in [("0", 0), ("1500", 1500), ("250ms", 250), ("5s", 5000), ("2m", 120_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn a_duration_that_is_none_is_refused() {
        for text in ["", "s", "5 s", "-1", "1.5s", "5h", "99999999999", "é"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
