//! Our own open loop: arrivals that wait for nobody, latency counted from the moment a request was due.
//!
//! Decides its arguments and reads its report. Called by [`super::Tool`]. The load itself is [`crate::open_loop`]: `wrk` and
//! `ab` send the next request when the last is answered, and `h2load --rps` sends those of all its connections in one burst.

use super::{Percentile, Reading, number_in};

pub(super) fn load(connections: u32, rate: u32, seconds: u32) -> Vec<String> {
    let options = [("--connections", connections), ("--rate", rate), ("--seconds", seconds)];
    let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_string()]);
    std::iter::once("open-loop".to_owned()).chain(options).collect()
}

pub(super) fn read(stdout: &str) -> Result<Reading, String> {
    let requests = number_in(stdout, "requests:")? as u64;
    let seconds = number_in(stdout, "seconds:")?;
    let percentiles = if requests == 0 { &[][..] } else { &PERCENTS };
    let percentile = |percent: &f64| {
        let milliseconds = number_in(stdout, &format!("percentile {percent}:"))? / 1e3;
        Ok::<_, String>(Percentile { percent: *percent, milliseconds })
    };
    Ok(Reading {
        requests,
        requests_per_second: requests as f64 / seconds.max(0.001),
        failed: number_in(stdout, "failed:")? as u64,
        percentiles: percentiles.iter().map(percentile).collect::<Result<_, _>>()?,
        curve: stdout.lines().filter_map(point).collect(),
    })
}

/// `curve PERCENT MICROSECONDS`
fn point(line: &str) -> Option<Percentile> {
    let (percent, microseconds) = line.strip_prefix("curve ")?.split_once(' ')?;
    Some(Percentile { percent: percent.parse().ok()?, milliseconds: microseconds.parse::<f64>().ok()? / 1e3 })
}

/// What the report has lines for.
pub(crate) const PERCENTS: [f64; 8] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 100.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_gives_requests_rate_and_percentiles() {
        let text = crate::open_loop::Report { seconds: 2.0, failed: 3, microseconds: (1..=1000).collect() }.to_string();
        let reading = read(&text).unwrap();
        assert_eq!((reading.requests, reading.failed, reading.requests_per_second), (1000, 3, 500.0));
        let percentiles = reading.percentiles.iter().map(|p| (p.percent, p.milliseconds));
        let expected = [(50.0, 0.5), (75.0, 0.75), (90.0, 0.9), (95.0, 0.95), (99.0, 0.99)];
        assert_eq!(percentiles.take(5).collect::<Vec<_>>(), expected);
        let last = reading.curve.last().unwrap();
        assert!(last.percent > 99.8 && last.milliseconds == 1.0 && reading.curve.len() > 50, "{last:?}");
        assert_eq!((reading.percentile(99.9), reading.percentile(100.0)), (Some(0.999), Some(1.0)));
    }

    #[test]
    fn a_report_without_an_answer_has_no_percentiles() {
        let text = crate::open_loop::Report { seconds: 2.0, failed: 3, microseconds: Vec::new() }.to_string();
        assert_eq!(read(&text).unwrap().percentiles, []);
        assert!(read("").unwrap_err().contains("requests:"));
    }
}
