//! The share of a freshly up endpoint, a pure function: a worker with cold caches is not given what a warm one takes.

use std::time::Duration;

/// The whole share.
pub const WHOLE: u32 = 256;

/// The share of [`WHOLE`] that an endpoint gets which has been up for `up`: from a tenth, which warms it, straight to the
/// whole over `slow_start`.
pub(super) fn share(up: Duration, slow_start: Duration) -> u32 {
    if up >= slow_start {
        return WHOLE;
    }
    let grown = f64::from(WHOLE) * up.as_secs_f64() / slow_start.as_secs_f64();
    (grown as u32).clamp(FIRST, WHOLE)
}

/// A tenth.
const FIRST: u32 = WHOLE / 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_from_a_tenth_to_the_whole() {
        let slow_start = Duration::from_secs(10);
        for (up_ms, expected) in
            [(0, 25), (500, 25), (2_500, 64), (5_000, 128), (9_999, 255), (10_000, 256), (60_000, 256)]
        {
            assert_eq!(share(Duration::from_millis(up_ms), slow_start), expected, "{up_ms} ms");
        }
        assert_eq!(share(Duration::ZERO, Duration::ZERO), WHOLE);
    }
}
