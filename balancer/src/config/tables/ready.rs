//! `ready` of workers. Decides what readiness can be told by; called by [`super::workers`]; never asks a worker.

use std::time::Duration;

use super::question::{self, Question};
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::units::{DURATION_MAX, DURATION_MIN};

/// When a worker may take requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// It answers HTTP, with whatever status; or it has accepted connections for a third of `ready_timeout` and answers none.
    Answer(Question),
    /// It accepts a connection.
    Connect,
    /// It answers this with 200 to 399.
    Path(Question),
    /// It prints a line that contains this text.
    Line(String),
    /// Its process has lived for so long; it takes no requests at all.
    Alive(Duration),
}

impl Ready {
    /// Whether a worker that is ready takes requests.
    pub fn serves(&self) -> bool {
        !matches!(self, Self::Alive(_))
    }
}

/// The key `ready`.
pub(in crate::config) fn read(item: &Item<'_>) -> Option<Ready> {
    let choices = "{ path = \"/health\" }, { host = \"app.example\" }, { line = \"Listening\" }, { connect = true } or { alive = \"1s\" }";
    let mut section = item.section("pool.NAME.workers.ready", choices)?;
    let ways = ["connect", "path", "line", "alive"];
    let [connect, path, line, alive] = ways.map(|key| section.take(key));
    let found = [&connect, &path, &line, &alive].into_iter().flatten().count();
    let asks = section.take("host").is_some() || section.take("fields").is_some();
    let (host, fields) = question::read(&mut section, found == 0 || path.is_some());
    if found == 0 && !asks {
        section.missing(&ways, "`ready` is empty".to_owned(), &format!("write {choices}"));
    } else if found > 1 {
        item.wrong("`ready` can be only one thing", format!("write {choices}"));
    }
    section.finish();

    let wrong = |item: Item<'_>, message: String, help: String| {
        item.wrong(message, help);
        None
    };
    let question = |path| Question { host, fields, ..Question::of(path) };
    match (connect, path, line, alive) {
        (Some(item), ..) => match item.flag()? {
            true => Some(Ready::Connect),
            false => wrong(item, "a worker must become ready by something".to_owned(), format!("write {choices}")),
        },
        (_, Some(item), ..) => question::path(&item).map(|path| Ready::Path(question(path))),
        (_, _, Some(item), _) => {
            let text = item.text("\"Listening\"")?;
            if text.trim().is_empty() || text.contains(['\n', '\r']) {
                let help = "write a piece of one line of its output, as in \"Listening\"".to_owned();
                return wrong(item, format!("{} is not a piece of a line", quote(text)), help);
            }
            Some(Ready::Line(text.to_owned()))
        }
        (.., Some(item)) => item.duration(DURATION_MIN..=DURATION_MAX).map(Ready::Alive),
        _ => Some(Ready::Answer(question("/".to_owned()))),
    }
}
