//! wrk: few connections kept open, one thread, a fixed time.
//!
//! Decides its arguments and scripts and reads its report. Called by [`super::Tool`]. Never runs a script per request: that
//! would be measured too.

use std::path::Path;

use super::{Reading, number_after, number_in};

/// `--timeout`: with thousands of connections two seconds, its default, are soon over, and it calls the answers errors.
pub(super) fn load(connections: u32, seconds: u32) -> Vec<String> {
    ["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--timeout", "30s", "--latency"]
        .map(str::to_owned)
        .to_vec()
}

/// What is written to [`script`]'s place in `folder` before the first run.
pub(crate) fn scripts() -> [(&'static str, String); 2] {
    let (report, upload) = (include_str!("report.lua"), include_str!("upload.lua"));
    [(REPORT, report.to_owned()), (UPLOAD, format!("{upload}{report}"))]
}

pub(super) fn script(upload: bool, folder: &Path) -> [String; 2] {
    let name = if upload { UPLOAD } else { REPORT };
    ["-s".to_owned(), folder.join(name).to_string_lossy().into_owned()]
}

pub(super) fn read(stdout: &str) -> Result<Reading, String> {
    let line = stdout.lines().find(|line| line.contains(" requests in ")).unwrap_or_default();
    let requests = line.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    Ok(Reading {
        requests: requests.ok_or("its output has no line \"NUMBER requests in TIME\"")?,
        requests_per_second: number_in(stdout, "Requests/sec:")?,
        failed: failed(stdout),
        percentiles: PERCENTS
            .iter()
            .map(|&percent| percentile(stdout, percent))
            .chain(MORE_PERCENTS.iter().filter_map(|&percent| scripted(stdout, percent).map(Ok)))
            .collect::<Result<_, _>>()?,
        curve: Vec::new(),
    })
}

const PERCENTS: [f64; 4] = [50.0, 75.0, 90.0, 99.0];
/// Those only the script prints.
const MORE_PERCENTS: [f64; 2] = [99.9, 100.0];
const REPORT: &str = "report.lua";
const UPLOAD: &str = "upload.lua";

/// Both lines are there only when they have something to say.
fn failed(stdout: &str) -> u64 {
    let digits = |text: &str| {
        let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok());
        numbers.sum::<u64>()
    };
    let labelled = |label| stdout.lines().filter_map(move |line| line.trim_start().strip_prefix(label)).map(digits);
    labelled("Socket errors:").chain(labelled("Non-2xx or 3xx responses:")).sum()
}

fn percentile(stdout: &str, percent: f64) -> Result<(f64, f64), String> {
    if let Some(found) = scripted(stdout, percent) {
        return Ok(found);
    }
    let label = format!("{percent}%");
    let table = stdout.split_once("Latency Distribution").map_or("", |(_, table)| table);
    let value = table.lines().find_map(|line| line.trim_start().strip_prefix(&label));
    let milliseconds = value.and_then(|text| milliseconds(text.trim()));
    let milliseconds = milliseconds.ok_or_else(|| format!("its latency distribution has no line for {label}"))?;
    Ok((percent, milliseconds))
}

/// The script's line: finer than wrk's own.
fn scripted(stdout: &str, percent: f64) -> Option<(f64, f64)> {
    let microseconds = number_after(stdout, &format!("percentile {percent}:"))?;
    Some((percent, microseconds / 1e3))
}

/// "60.00us", "1.25ms", "2.00s", "1.10m", "0.50h".
fn milliseconds(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let factor = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = include_str!("../../../testdata/wrk.txt");

    #[test]
    fn a_report_gives_requests_rate_and_percentiles() {
        let reading = read(REPORT).unwrap();
        assert_eq!((reading.requests, reading.failed), (87250, 0));
        assert_eq!(reading.requests_per_second, 79347.61);
        let percentiles = reading.percentiles.iter().map(|p| (p.0, (p.1 * 1e6).round() as u64));
        assert!(percentiles.eq([(50.0, 81_000), (75.0, 96_000), (90.0, 114_000), (99.0, 183_000)]));
    }

    #[test]
    fn the_script_adds_percentiles_and_is_finer() {
        let lines = "percentile 50: 80.5 us\npercentile 75: 96 us\npercentile 99.9: 2942 us\npercentile 100: 3954 us\n";
        let reading = read(&format!("{REPORT}{lines}")).unwrap();
        let expected = [(50.0, 0.0805), (75.0, 0.096), (90.0, 0.114), (99.0, 0.183), (99.9, 2.942), (100.0, 3.954)];
        assert_eq!(reading.percentiles, expected);
    }

    #[test]
    fn answers_other_than_2xx_and_3xx_are_failed() {
        let report = include_str!("../../../testdata/wrk_non_2xx.txt");
        let reading = read(report).unwrap();
        assert!(reading.requests > 0);
        assert_eq!(reading.failed, reading.requests);
    }

    #[test]
    fn socket_errors_of_every_kind_are_failed() {
        let report = include_str!("../../../testdata/wrk_errors.txt");
        assert_eq!((read(report).unwrap().requests, read(report).unwrap().failed), (0, 11002));
        assert_eq!(failed("  Socket errors: connect 1, read 20, write 300, timeout 4000"), 4321);
    }

    #[test]
    fn times_have_units() {
        let times = ["60.00us", "1.25ms", "2.00s", "1.50m", "1.00h"].map(milliseconds);
        assert_eq!(times, [Some(0.06), Some(1.25), Some(2_000.0), Some(90_000.0), Some(3_600_000.0)]);
        assert_eq!(["", "1", "1.0days", "us"].map(milliseconds), [None; 4]);
    }

    #[test]
    fn what_is_missing_in_a_report_is_named() {
        assert!(read("").unwrap_err().contains("requests in"));
        assert!(read(&REPORT.replace("Latency Distribution", "")).unwrap_err().contains("50%"));
        assert!(read("unable to connect to 127.0.0.1:1 Connection refused").is_err());
    }
}
