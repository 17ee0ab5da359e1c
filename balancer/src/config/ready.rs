//! `ready` of workers. Decides what readiness can be told by; called by [`super::workers`]; never asks a worker.

use super::diagnostics::quote;
use super::item::Item;
use super::route::path_mistake;

/// When a worker may take requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// It accepts a connection.
    Connect,
    /// It answers this path with 200 to 399.
    Path(String),
    /// It prints a line that contains this text.
    Line(String),
}

/// The key `ready`.
pub(super) fn read(item: &Item<'_>) -> Option<Ready> {
    let choices = "{ connect = true }, { path = \"/health\" } or { line = \"Listening\" }";
    let mut section = item.section("pool.NAME.workers.ready", choices)?;
    let (connect, path, line) = (section.take("connect"), section.take("path"), section.take("line"));
    let found = usize::from(connect.is_some()) + usize::from(path.is_some()) + usize::from(line.is_some());
    if found == 0 {
        section.missing(&["connect", "path", "line"], "`ready` is empty".to_owned(), &format!("write {choices}"));
    } else if found > 1 {
        item.wrong("`ready` can be only one thing", format!("write {choices}"));
    }
    section.finish();

    let wrong = |item: Item<'_>, message: String, help: String| {
        item.wrong(message, help);
        None
    };
    match (connect, path, line) {
        (Some(item), ..) => match item.flag()? {
            true => Some(Ready::Connect),
            false => wrong(item, "a worker must become ready by something".to_owned(), format!("write {choices}")),
        },
        (_, Some(item), _) => path_to_ask(&item).map(Ready::Path),
        (_, _, Some(item)) => {
            let text = item.text("\"Listening\"")?;
            if text.trim().is_empty() || text.contains(['\n', '\r']) {
                let help = "write a piece of one line of its output, as in \"Listening\"".to_owned();
                return wrong(item, format!("{} is not a piece of a line", quote(text)), help);
            }
            Some(Ready::Line(text.to_owned()))
        }
        _ => None,
    }
}

/// The path of a question; a query may stand behind it.
pub(super) fn path_to_ask(item: &Item<'_>) -> Option<String> {
    let text = item.text("\"/health\"")?;
    match path_mistake(text.split('?').next().unwrap_or_default()) {
        Some((message, help)) => item.wrong(message, help),
        None if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            item.wrong(format!("{} is not written as it travels", quote(text)), "percent-encode it");
        }
        None => return Some(text.to_owned()),
    }
    None
}
