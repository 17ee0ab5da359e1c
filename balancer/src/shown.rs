//! Times and sizes as people read them, in one form everywhere: in the log, in events, in what commands print.
//!
//! Decides units and digits. Called by whoever writes a sentence. Never reads one: what people type is `config`'s.

use std::time::Duration;

/// `98 ms`, `3.2 s`, `60 s`, `5 min`, `2 h 5 min`.
pub fn time(time: Duration) -> String {
    let (millis, seconds) = (time.as_millis(), time.as_secs());
    let with_rest = |whole: u64, unit: &str, rest: u64, of_rest: &str| match rest {
        0 => format!("{whole} {unit}"),
        _ => format!("{whole} {unit} {rest} {of_rest}"),
    };
    match seconds {
        0 => format!("{millis} ms"),
        1..MINUTES if millis.is_multiple_of(1_000) => format!("{seconds} s"),
        1..MINUTES => format!("{:.1} s", time.as_secs_f64()),
        MINUTES..HOURS => with_rest(seconds / 60, "min", seconds % 60, "s"),
        HOURS..DAYS => with_rest(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => with_rest(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// Whole seconds in one unit, where many stand below each other: `45 s`, `2 min`, `3 h`, `4 d`.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..MINUTES => format!("{seconds} s"),
        MINUTES..HOURS => format!("{} min", seconds / 60),
        HOURS..DAYS => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// From now on so many seconds, for who has time: `in 61 days`, `in 5 h`, `3 days ago`, `now`.
pub fn distance(seconds: i64) -> String {
    let length = match seconds.unsigned_abs() {
        0 => return "now".to_owned(),
        length @ DAYS.. => format!("{} days", length / 86_400),
        length => age(length),
    };
    if seconds > 0 { format!("in {length}") } else { format!("{length} ago") }
}

/// `2.0 MiB`, `22.4 GiB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..GIBIBYTES => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// In seconds, from where on the next unit says more: there are two of it.
const MINUTES: u64 = 120;
const HOURS: u64 = 7_200;
const DAYS: u64 = 172_800;
/// In bytes, likewise.
const GIBIBYTES: u64 = 2 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_the_unit_that_says_most() {
        let millis = [0, 98, 1_000, 3_210, 60_000, 119_950, 120_000, 125_400, 7_200_000, 7_505_000, 180_000_000];
        let shown = millis.map(|millis| time(Duration::from_millis(millis)));
        let expected =
            ["0 ms", "98 ms", "1 s", "3.2 s", "60 s", "120.0 s", "2 min", "2 min 5 s", "2 h", "2 h 5 min", "2 d 2 h"];
        assert_eq!(shown, expected);
        assert_eq!([119, 120, 7_200, 172_800].map(age), ["119 s", "2 min", "2 h", "2 d"]);
    }

    #[test]
    fn a_distance_says_on_which_side_of_now_it_is() {
        let shown = [5_300_000, 172_799, 45, 0, -45, -172_800].map(distance);
        assert_eq!(shown, ["in 61 days", "in 47 h", "in 45 s", "now", "45 s ago", "2 days ago"]);
    }

    #[test]
    fn a_size_is_in_mebibytes_and_from_two_gibibytes_on_in_those() {
        let sizes = [2_097_152, 33_500_000, (2 << 30) - 1, 2 << 30, 24_029_000_000];
        assert_eq!(sizes.map(size), ["2.0 MiB", "31.9 MiB", "2048.0 MiB", "2.0 GiB", "22.4 GiB"]);
    }
}
