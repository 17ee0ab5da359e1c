//! `balancer reload`, `restart`, `scale`, `drain`, `undrain`, `stop`: orders to a running instance.

use std::path::PathBuf;
use std::process::ExitCode;

use super::ask::cut_off;
use super::say::say;
use super::target::Target;
use crate::admin::client::escaped;

/// How to reload.
#[derive(Debug, clap::Args)]
pub(super) struct ReloadOptions {
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    target: Target,
}

/// What to restart.
#[derive(Debug, clap::Args)]
pub(super) struct RestartOptions {
    /// The pool whose workers are replaced, or one of them as in app.2 [default: the only pool with workers]
    #[arg(value_name = "POOL[.INDEX]")]
    pool: Option<String>,

    /// The workers of every pool, one pool after another
    #[arg(long, conflicts_with = "pool")]
    all: bool,

    #[command(flatten)]
    target: Target,
}

/// How many.
#[derive(Debug, clap::Args)]
pub(super) struct ScaleOptions {
    /// The pool
    pool: String,

    /// The new number of workers
    #[arg(value_name = "N")]
    count: usize,

    #[command(flatten)]
    target: Target,
}

/// Which endpoint to take out.
#[derive(Debug, clap::Args)]
pub(super) struct DrainOptions {
    /// An address, a worker as in app.2, or either with its pool in front, as in app/127.0.0.1:8000
    endpoint: String,

    /// Drain also the last endpoint that takes requests
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    target: Target,
}

/// Which endpoint to take back.
#[derive(Debug, clap::Args)]
pub(super) struct UndrainOptions {
    /// An address or a worker, as for `drain`
    endpoint: String,

    #[command(flatten)]
    target: Target,
}

/// How to stop.
#[derive(Debug, clap::Args)]
pub(super) struct StopOptions {
    /// Cut requests in flight and kill workers
    #[arg(long)]
    now: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn reload(options: ReloadOptions, config: Option<PathBuf>) -> ExitCode {
    let query = if options.dry_run { "?dry_run=1" } else { "" };
    options.target.or(config).order(&format!("/api/reload{query}"), "the reload")
}

pub(super) fn restart(options: RestartOptions, config: Option<PathBuf>) -> ExitCode {
    let path = match (&options.pool, options.all) {
        (Some(pool), _) => format!("/api/restart?pool={}", escaped(pool)),
        (None, true) => "/api/restart?all=1".to_owned(),
        (None, false) => "/api/restart".to_owned(),
    };
    options.target.or(config).order(&path, "the roll")
}

pub(super) fn scale(options: ScaleOptions, config: Option<PathBuf>) -> ExitCode {
    let pool = escaped(&options.pool);
    options.target.or(config).order(&format!("/api/scale?pool={pool}&count={}", options.count), "the change")
}

pub(super) fn drain(options: DrainOptions, config: Option<PathBuf>) -> ExitCode {
    let (endpoint, yes) = (escaped(&options.endpoint), if options.yes { "&yes=1" } else { "" });
    options.target.or(config).order(&format!("/api/drain?endpoint={endpoint}{yes}"), "the drain")
}

pub(super) fn undrain(options: UndrainOptions, config: Option<PathBuf>) -> ExitCode {
    options.target.or(config).order(&format!("/api/undrain?endpoint={}", escaped(&options.endpoint)), "the change")
}

/// The end of the connection is the end of the instance.
pub(super) fn stop(options: StopOptions, config: Option<PathBuf>) -> ExitCode {
    let target = options.target.or(config);
    let mut answer = match target.ask("POST", if options.now { "/api/stop?now=1" } else { "/api/stop" }) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    let stopped = answer.instance.as_ref().map_or("stopped".to_owned(), |instance| format!("stopped {instance}"));
    match target.follow(&mut answer) {
        Ok(None) => {
            say(&stopped);
            ExitCode::SUCCESS
        }
        Ok(Some(outcome)) => {
            say(&outcome.text);
            ExitCode::from(outcome.code)
        }
        // Cut off with the process: it has ended.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
            say(&stopped);
            ExitCode::SUCCESS
        }
        Err(error) => cut_off(&error),
    }
}
