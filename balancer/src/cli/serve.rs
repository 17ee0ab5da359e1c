//! `balancer --config FILE`: serve until told to stop.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{fail, load, log, say};
use crate::app::{self, Origin};
use crate::config::{AccessLogPath, Config};
use crate::observe::Writer;

pub(super) fn run(file: Option<PathBuf>, log_level: &str) -> ExitCode {
    match load(file) {
        Ok((config, path)) => {
            let shown = path.display().to_string();
            // Whatever becomes of the directory we are in, the file stays the same.
            let path = super::whole(&path);
            serve(&config, &Origin { name: super::instance_name(&path), shown, path: Some(path) }, log_level)
        }
        Err(code) => code,
    }
}

/// Serves a configuration, whoever made it.
pub(super) fn serve(config: &Config, origin: &Origin, log_level: &str) -> ExitCode {
    let file = match &config.access_log.path {
        AccessLogPath::File(path) => Some(path.clone()),
        AccessLogPath::Stdout => None,
    };
    let writer = match Writer::start(file.clone()) {
        Ok(writer) => writer,
        Err(error) => {
            let path = file.unwrap_or_default();
            return fail(&format!("balancer: cannot open the access log {}: {error}", path.display()));
        }
    };
    if let Err(text) = log::start(log_level, &writer) {
        say(&format!("balancer: {text}"));
        return ExitCode::from(WRONG_ARGUMENTS);
    }
    let outcome = app::run(config, origin, &writer);
    if let Err(failure) = &outcome {
        tracing::error!("{failure}");
    }
    writer.finish();
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// As clap ends with.
pub(super) const WRONG_ARGUMENTS: u8 = 2;
