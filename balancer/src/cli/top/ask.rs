//! What is asked of the instance, again and again, without a word on the terminal.
//!
//! Decides nothing. Called by [`super`]. Each question is a connection of its own.

use serde_json::Value;

use super::super::target::InstancePlace;
use crate::admin::Report;
use crate::admin::client::{AdminAnswer, ask};

/// Knows where the instance is.
#[derive(Debug, Clone)]
pub(super) struct StatusSource(std::sync::Arc<InstancePlace>);

/// What an instance has answered.
#[derive(Debug, Default)]
pub(super) struct LookedAt {
    /// What `/api/status` says.
    pub(super) status: Value,
    /// The last events, the newest at the end.
    pub(super) events: Vec<String>,
}

impl StatusSource {
    pub(super) fn new(place: InstancePlace) -> Self {
        Self(place.into())
    }

    /// State and last events.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) fn look(&self) -> Result<LookedAt, String> {
        let text = self.ask("GET", "/api/status")?.text().map_err(|error| error.to_string())?;
        let status =
            serde_json::from_str(&text).map_err(|_| "the answer is not the status of a balancer".to_owned())?;
        let text = self.ask("GET", EVENTS)?.text().map_err(|error| error.to_string())?;
        let told = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            let time = event["time"].as_str()?.split_once('T')?.1.split('.').next()?.to_owned();
            Some(format!("{time} {}", event["text"].as_str()?))
        };
        Ok(LookedAt { status, events: text.lines().filter_map(told).collect() })
    }

    /// Has something done; what came of it.
    ///
    /// # Errors
    /// Why it could not be asked for.
    pub(super) fn order(&self, path: &str) -> Result<String, String> {
        let mut answer = self.ask("POST", path)?;
        while let Some(line) = answer.line().map_err(|error| error.to_string())? {
            match Report::parse(&line) {
                Some(Report::Done(outcome)) => return Ok(outcome.text),
                Some(_) => {}
                None => return Ok(line),
            }
        }
        Ok("it ended before it had answered".to_owned())
    }

    fn ask(&self, method: &str, path: &str) -> Result<AdminAnswer, String> {
        let InstancePlace { sockets, file, account } = &*self.0;
        ask((sockets, *account), file.as_deref(), method, path).map_err(|error| error.to_string())
    }
}

const EVENTS: &str = "/api/events?n=50";
