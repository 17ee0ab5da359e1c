//! ab (ApacheBench): the articles' test, a connection per request.
//!
//! Decides its arguments and reads its report and its table of percentiles. Called by [`super::Tool`]. Never adds `-k`.

use std::path::Path;

use super::{Reading, number_after, number_in};

pub(super) fn load(requests: u32, concurrency: u32) -> Vec<String> {
    ["-n", &requests.to_string(), "-c", &concurrency.to_string()].map(str::to_owned).to_vec()
}

/// `-q`: no progress on stderr; `-e`: percentiles in fractions of a millisecond, where the report rounds to whole ones.
pub(super) fn quietly_into(csv: &Path) -> [String; 3] {
    ["-q".to_owned(), "-e".to_owned(), csv.to_string_lossy().into_owned()]
}

pub(super) fn read(stdout: &str, csv: &str, body_bytes: u64) -> Result<Reading, String> {
    let requests = number_in(stdout, "Complete requests:")? as u64;
    // ab takes a connection that closes without an answer for a complete, fast request; only the bytes give it away.
    let bytes = number_in(stdout, "HTML transferred:")? as u64;
    let unanswered = requests.saturating_mul(body_bytes).saturating_sub(bytes).div_ceil(body_bytes.max(1));
    let counted: f64 = [number_in(stdout, "Failed requests:")?]
        .into_iter()
        .chain(["Write errors:", "Non-2xx responses:"].iter().filter_map(|label| number_after(stdout, label)))
        .sum();
    Ok(Reading {
        requests,
        requests_per_second: number_in(stdout, "Requests per second:")?,
        // One request may be counted under several heads; the largest is the least that failed.
        failed: unanswered.max(counted as u64),
        percentiles: PERCENTS.iter().map(|&percent| percentile(csv, percent)).collect::<Result<_, _>>()?,
        curve: Vec::new(),
    })
}

/// The articles' table.
const PERCENTS: [f64; 9] = [50.0, 66.0, 75.0, 80.0, 90.0, 95.0, 98.0, 99.0, 100.0];

fn percentile(csv: &str, percent: f64) -> Result<(f64, f64), String> {
    let value = csv.lines().find_map(|line| line.strip_prefix(&format!("{percent},")));
    let milliseconds = value.and_then(|text| text.trim().parse().ok());
    let milliseconds = milliseconds.ok_or_else(|| format!("its -e file has no line for {percent} %"))?;
    Ok((percent, milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = include_str!("../../../testdata/ab.txt");
    const CSV: &str = include_str!("../../../testdata/ab.csv");

    #[test]
    fn a_report_gives_requests_rate_and_the_articles_percentiles() {
        let reading = read(REPORT, CSV, 11).unwrap();
        assert_eq!((reading.requests, reading.failed), (2000, 0));
        assert_eq!(reading.requests_per_second, 16062.32);
        let percents: Vec<f64> = reading.percentiles.iter().map(|p| p.0).collect();
        assert_eq!(percents, PERCENTS);
        assert_eq!(reading.percentiles[0].1, 3.058);
        assert_eq!(reading.percentiles[8].1, 3.510);
    }

    #[test]
    fn answers_other_than_2xx_are_failed() {
        let reading = read(include_str!("../../../testdata/ab_non_2xx.txt"), CSV, 2).unwrap();
        assert_eq!(reading.failed, 500);
    }

    #[test]
    fn answers_of_another_length_are_failed() {
        let reading = read(include_str!("../../../testdata/ab_failed.txt"), CSV, 1).unwrap();
        assert_eq!(reading.failed, 492);
    }

    #[test]
    fn connections_closed_without_an_answer_are_failed_although_ab_calls_them_complete() {
        let report = include_str!("../../../testdata/ab_no_answer.txt");
        assert!(report.contains("Failed requests:        0"));
        assert_eq!(read(report, CSV, 11).unwrap().failed, 500);
    }

    #[test]
    fn what_is_missing_in_a_report_is_named() {
        assert!(read("", CSV, 11).unwrap_err().contains("Complete requests:"));
        assert!(read(REPORT, "", 11).unwrap_err().contains("50 %"));
        let cut = &REPORT[..REPORT.find("Requests per second").unwrap()];
        assert!(read(cut, CSV, 11).unwrap_err().contains("Requests per second:"));
        assert!(read(&REPORT.replace("2000", "nan"), CSV, 11).is_err());
    }
}
