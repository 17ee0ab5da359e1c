//! What each request costs besides its answer.
//!
//! Decides what `--work` means. Called by the argument parser. Never works.

use std::time::Duration;

use crate::duration::parse_duration;

/// CPU time first, then a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Computed on the thread that serves the request.
    pub cpu: Duration,
    /// Waited, as for a database.
    pub sleep: Duration,
}

/// `cpu=5ms`, `sleep=10s`, or both with a comma.
pub(crate) fn parse(text: &str) -> Result<Work, String> {
    let mut work = Work::default();
    for part in text.split(',') {
        let (name, time) =
            part.split_once('=').ok_or_else(|| format!("\"{part}\" is neither cpu=TIME nor sleep=TIME"))?;
        let time = parse_duration(time)?;
        match name {
            "cpu" if time <= CPU_MAX => work.cpu = time,
            "sleep" if time <= SLEEP_MAX => work.sleep = time,
            "cpu" | "sleep" => return Err(format!("\"{part}\" is too long: one minute of cpu, ten of sleep")),
            _ => return Err(format!("\"{name}\" is no work: say cpu=5ms or sleep=10s")),
        }
    }
    Ok(work)
}

const CPU_MAX: Duration = Duration::from_secs(60);
const SLEEP_MAX: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_cpu_time_or_a_wait_or_both() {
        let ms = Duration::from_millis;
        assert_eq!(parse("cpu=5ms"), Ok(Work { cpu: ms(5), sleep: ms(0) }));
        assert_eq!(parse("sleep=10s"), Ok(Work { cpu: ms(0), sleep: ms(10_000) }));
        assert_eq!(parse("cpu=5ms,sleep=1s"), Ok(Work { cpu: ms(5), sleep: ms(1_000) }));
        for text in ["", "5ms", "io=5ms", "cpu=", "cpu=2m", "sleep=11m", "cpu=5ms,"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
