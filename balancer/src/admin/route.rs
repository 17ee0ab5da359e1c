//! Paths of the admin service → answers.

use std::path::Path;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, StatusCode};
use jiff::Timestamp;
use tokio::sync::mpsc::error::TrySendError;

use super::access::Asker;
use super::answer::{AnswerBody, EVENT_STREAM, JSON, JSON_LINES, PLAIN, ServiceAnswer, plain, text, with};
use super::client::CONFIGURATION;
use super::{
    AdminAction, AdminOrder, Instance, Report, Reporter, certificates, explain, follow, live, openmetrics, page,
    prometheus, status, view,
};
use crate::config::nearest;
use crate::observe::printable;

/// Answers one request.
pub(super) async fn answer(instance: &Arc<Instance>, head: &Parts, asker: Asker) -> ServiceAnswer {
    let meant = head.headers.get(CONFIGURATION).map(|path| decoded(&String::from_utf8_lossy(path.as_bytes())));
    if meant.is_some_and(|meant| !instance.serves(Path::new(&meant))) {
        return plain(StatusCode::MISDIRECTED_REQUEST, "this instance serves another configuration");
    }
    let query = Query(head.uri.query().unwrap_or_default());
    let path = head.uri.path();
    let is_action = path.strip_prefix("/api/").is_some_and(|name| ACTIONS.contains(&name));
    match (&head.method, path) {
        (&Method::POST, _) if is_action => match action(&path["/api/".len()..], &query) {
            Ok(action) => order(instance, action).await,
            Err(sentence) => plain(StatusCode::BAD_REQUEST, &sentence),
        },
        (_, _) if is_action => plain(StatusCode::METHOD_NOT_ALLOWED, "use POST for this"),
        (&Method::GET | &Method::HEAD, "/metrics") if openmetrics::is_wanted(&head.headers) => {
            text(StatusCode::OK, openmetrics::KIND, openmetrics::of(&prometheus::text(instance)))
        }
        (&Method::GET | &Method::HEAD, _) => read(instance, path, &query, asker),
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, "use GET for this"),
    }
}

fn read(instance: &Arc<Instance>, path: &str, query: &Query<'_>, asker: Asker) -> ServiceAnswer {
    if let Some((kind, part)) = page::part(path) {
        return text(StatusCode::OK, kind, part);
    }
    match path {
        "/healthz" => plain(StatusCode::OK, "ok"),
        "/readyz" if view::all_ready(instance) => plain(StatusCode::OK, "ready"),
        // What a worker has printed is not for everybody.
        "/readyz" => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            &match view::not_ready(instance).filter(|_| asker == Asker::Known) {
                Some(why) => format!("not ready: {}", printable::lines(&why)),
                None => "not ready: a pool has no endpoint that takes requests".to_owned(),
            },
        ),
        "/metrics" => text(StatusCode::OK, prometheus::KIND, prometheus::text(instance)),
        "/api/status" => {
            let status = status::json(instance).to_string();
            text(StatusCode::OK, JSON, format!("{}\n", printable::in_json(&status)))
        }
        "/api/certificates" => {
            let all = certificates::json(&certificates::views(instance, Timestamp::now())).to_string();
            text(StatusCode::OK, JSON, format!("{all}\n"))
        }
        "/api/live" => with(StatusCode::OK, EVENT_STREAM, live::stream(instance)),
        "/api/events" => {
            let body = follow::lines(&instance.events, query.wanted(), |_| true);
            with(StatusCode::OK, JSON_LINES, body)
        }
        "/api/logs" => logs(instance, query),
        "/api/requests" => {
            let most = query.get("n").and_then(|number| number.parse().ok());
            explain::list(instance, query.get("which").as_deref(), most)
        }
        _ => match path.strip_prefix("/api/requests/") {
            Some(id) => explain::one(instance, id),
            None => plain(StatusCode::NOT_FOUND, PATHS),
        },
    }
}

fn logs(instance: &Arc<Instance>, query: &Query<'_>) -> ServiceAnswer {
    let served = instance.served.load();
    let name = query.get("pool").unwrap_or_default();
    // `app.2` is a worker of `app`; names of pools have no dot.
    let (pool, index) = name.split_once('.').map_or((&*name, None), |(pool, index)| (pool, Some(index)));
    let mut with_workers = served.pools.iter().filter(|served| served.supervisor.is_some());
    let only = (pool.is_empty() && with_workers.clone().count() == 1).then(|| with_workers.next()).flatten();
    let Some(found) = only.or_else(|| with_workers.find(|served| **served.pool.name() == *pool)) else {
        let names: Vec<&str> =
            served.pools.iter().filter(|one| one.supervisor.is_some()).map(|one| &**one.pool.name()).collect();
        return plain(StatusCode::NOT_FOUND, &unknown_pool(pool, &names));
    };
    let worker = index.map(|_| name.clone());
    if let (Some(worker), Some(supervisor)) = (&worker, &found.supervisor) {
        let status = supervisor.status();
        // Those that are wanted, and those that have not ended.
        let mut names: Vec<String> = (1..=status.count).map(|index| format!("{pool}.{index}")).collect();
        let beyond = status.workers.iter().map(|one| one.name.to_string()).filter(|name| !names.contains(name));
        names.extend(beyond.collect::<Vec<_>>());
        if !names.contains(worker) {
            let text = format!("no worker is called {worker}; there is {}", names.join(", "));
            return plain(StatusCode::NOT_FOUND, &text);
        }
    }
    let wanted = move |line: &[u8]| worker.as_ref().is_none_or(|worker| follow::is_of(line, worker));
    with(StatusCode::OK, PLAIN, follow::lines(&found.log, query.wanted(), wanted))
}

/// Which pools there are, when none is called `name`.
fn unknown_pool(name: &str, names: &[&str]) -> String {
    let all = names.join(", ");
    match (name, nearest(name, names.iter().copied())) {
        (_, _) if names.is_empty() => "no pool has workers".to_owned(),
        ("", _) => format!("say of which pool: {all}"),
        (_, Some(near)) => format!("no pool with workers is called {name}; did you mean {near}?"),
        (_, None) => format!("no pool with workers is called {name}; there is {all}"),
    }
}

fn action(name: &str, query: &Query<'_>) -> Result<AdminAction, String> {
    let want =
        |key: &str| query.get(key).filter(|value| !value.is_empty()).ok_or_else(|| format!("`{key}` is missing"));
    Ok(match name {
        "reload" => AdminAction::Reload { dry_run: query.flag("dry_run") },
        "restart" => {
            AdminAction::Restart { pool: query.get("pool").filter(|pool| !pool.is_empty()), all: query.flag("all") }
        }
        "scale" => {
            let count = want("count")?.parse().map_err(|_| "`count` is no number of workers".to_owned())?;
            AdminAction::Scale { pool: want("pool")?, count }
        }
        "drain" => AdminAction::Drain { endpoint: want("endpoint")?, yes: query.flag("yes") },
        "undrain" => AdminAction::Undrain { endpoint: want("endpoint")? },
        _ => AdminAction::Stop { now: query.flag("now") },
    })
}

/// Hands an order over. The status tells only what is known at once: what comes later is in the last line.
async fn order(instance: &Instance, action: AdminAction) -> ServiceAnswer {
    let (reporter, mut lines) = Reporter::new();
    match instance.orders.try_send(AdminOrder { action, reporter }) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "too many commands wait already; try again");
        }
        Err(TrySendError::Closed(_)) => return plain(StatusCode::SERVICE_UNAVAILABLE, "it is stopping"),
    }
    let first = lines.recv().await;
    let status = match &first {
        Some(Report::Done(outcome)) => match outcome.code {
            0 => StatusCode::OK,
            2 => StatusCode::BAD_REQUEST,
            78 => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::CONFLICT,
        },
        Some(_) => StatusCode::OK,
        None => return plain(StatusCode::SERVICE_UNAVAILABLE, "it is stopping"),
    };
    with(status, JSON_LINES, AnswerBody::Lines(first, lines))
}

/// `a=1&b=%20`; a key without a value, or with 1 or true, is a flag that is set.
struct Query<'a>(&'a str);

impl Query<'_> {
    fn get(&self, key: &str) -> Option<String> {
        let pairs = self.0.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.filter(|(name, _)| *name == key).map(|(_, value)| decoded(value)).next()
    }

    /// Which lines of a journal.
    fn wanted(&self) -> follow::LineSelection {
        follow::LineSelection {
            follow: self.flag("follow"),
            times: self.flag("times"),
            last: self.get("n").and_then(|number| number.parse().ok()),
            since: self.get("since").and_then(|seconds| Timestamp::from_second(seconds.parse().ok()?).ok()),
        }
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| matches!(value.as_str(), "" | "1" | "true" | "yes"))
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let hex = |byte: u8| char::from(byte).to_digit(16);
        rest = others;
        let escaped = match (first, others) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| (high * 16 + low) as u8),
            _ => None,
        };
        match (escaped, first) {
            (Some(byte), _) => {
                bytes.push(byte);
                rest = &others[2..];
            }
            (None, b'+') => bytes.push(b' '),
            (None, byte) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const ACTIONS: [&str; 6] = ["reload", "restart", "scale", "drain", "undrain", "stop"];
const PATHS: &str = "there are /, /metrics, /healthz, /readyz, /api/status, /api/certificates, /api/live, /api/events, /api/logs?pool=, \
    /api/requests?which= (failed, slow or recent), /api/requests/ID, and by POST \
    /api/reload, /api/restart?pool= (or ?all=1), /api/scale?pool=&count=, /api/drain?endpoint=, /api/undrain?endpoint=, /api/stop";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_it_was_meant() {
        let query = Query("pool=app%2Fx&yes&now=1&dry_run=0&e=%zz+%C3%A9%4");
        assert_eq!(query.get("pool").unwrap(), "app/x");
        assert_eq!(query.get("e").unwrap(), "%zz é%4");
        assert!(query.flag("yes") && query.flag("now") && !query.flag("dry_run") && !query.flag("no"));
        assert_eq!(action("scale", &Query("pool=a&count=x")).unwrap_err(), "`count` is no number of workers");
        assert_eq!(action("scale", &Query("count=1")).unwrap_err(), "`pool` is missing");
        assert_eq!(action("restart", &Query("pool=")), Ok(AdminAction::Restart { pool: None, all: false }));
    }

    #[test]
    fn an_unknown_pool_is_answered_with_the_nearest() {
        assert_eq!(unknown_pool("ap", &["app", "web"]), "no pool with workers is called ap; did you mean app?");
        assert_eq!(unknown_pool("", &["app", "web"]), "say of which pool: app, web");
        assert_eq!(unknown_pool("x", &[]), "no pool has workers");
    }
}
