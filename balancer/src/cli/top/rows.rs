//! One row for each endpoint and worker of a status, and what two statuses say between them.
//!
//! Decides what belongs into one row, and in which order rows stand. Called by [`super::state`]. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// What stands in a line of the table.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct TopRow {
    pub(super) pool: String,
    pub(super) name: String,
    /// In words.
    pub(super) state: String,
    pub(super) level: RowLevel,
    /// Requests that it was ever given.
    pub(super) requests: u64,
    pub(super) in_flight: u64,
    /// Failures of the last seconds.
    pub(super) errors: u64,
    pub(super) p95: Option<f64>,
    pub(super) rss_bytes: Option<u64>,
    /// 100: one processor.
    pub(super) cpu_percent: Option<f64>,
    pub(super) restarts: Option<u64>,
    pub(super) last_end: String,
    /// Whether it is a worker's.
    pub(super) is_worker: bool,
    /// Requests a second since the status before; `None` at first.
    pub(super) rate: Option<f64>,
}

/// How much it wants to be looked at, most first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowLevel {
    Bad,
    Warn,
    #[default]
    Ok,
}

/// By what rows are sorted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// What wants to be looked at first.
    #[default]
    Worst,
    Name,
    Rate,
    InFlight,
    Memory,
    Cpu,
}

impl Sort {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Worst => Self::Name,
            Self::Name => Self::Rate,
            Self::Rate => Self::InFlight,
            Self::InFlight => Self::Memory,
            Self::Memory => Self::Cpu,
            Self::Cpu => Self::Worst,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Worst => "worst",
            Self::Name => "name",
            Self::Rate => "req/s",
            Self::InFlight => "in flight",
            Self::Memory => "memory",
            Self::Cpu => "CPU",
        }
    }

    /// Whether `a` stands before `b`. Among equals the name decides, so that rows do not jump.
    pub(super) fn order(self, a: &TopRow, b: &TopRow) -> std::cmp::Ordering {
        let most = |a: f64, b: f64| b.total_cmp(&a);
        let first = match self {
            Self::Worst => a.level.cmp(&b.level),
            Self::Name => std::cmp::Ordering::Equal,
            Self::Rate => most(a.rate.unwrap_or_default(), b.rate.unwrap_or_default()),
            Self::InFlight => b.in_flight.cmp(&a.in_flight),
            Self::Memory => b.rss_bytes.cmp(&a.rss_bytes),
            Self::Cpu => most(a.cpu_percent.unwrap_or_default(), b.cpu_percent.unwrap_or_default()),
        };
        first.then_with(|| natural(&a.pool, &b.pool)).then_with(|| natural(&a.name, &b.name))
    }
}

/// The rows of a status, those of one name together, as they came.
pub(super) fn of(status: &Value) -> Vec<TopRow> {
    each(&status["pools"]).flat_map(of_pool).collect()
}

/// Fills in what has changed since `before`, so many seconds ago.
pub(super) fn compare(rows: &mut [TopRow], before: &[TopRow], seconds: f64) {
    let known: BTreeMap<(&str, &str), &TopRow> = before.iter().map(|row| ((&*row.pool, &*row.name), row)).collect();
    for row in rows {
        let Some(before) = known.get(&(&*row.pool, &*row.name)).filter(|_| seconds > 0.0) else { continue };
        // One that was away has begun anew.
        let more = row.requests.checked_sub(before.requests).unwrap_or(row.requests);
        row.rate = Some(more as f64 / seconds);
    }
}

/// While a worker is being replaced, two have one name: the worse one tells its state.
fn of_pool(pool: &Value) -> Vec<TopRow> {
    let pool_name = word(&pool["name"]);
    let mut rows: Vec<TopRow> = Vec::new();
    for told in each(&pool["rows"]) {
        let row = row(&pool_name, told);
        let Some(known) = rows.iter_mut().find(|known| known.name == row.name) else {
            rows.push(row);
            continue;
        };
        if row.level < known.level {
            (known.state, known.level) = (row.state, row.level);
        }
        known.requests = known.requests.max(row.requests);
        known.in_flight += row.in_flight;
        known.errors = known.errors.max(row.errors);
        known.rss_bytes = known.rss_bytes.zip(row.rss_bytes).map(|(a, b)| a + b).or(known.rss_bytes).or(row.rss_bytes);
        known.cpu_percent =
            known.cpu_percent.zip(row.cpu_percent).map(|(a, b)| a + b).or(known.cpu_percent).or(row.cpu_percent);
    }
    rows
}

fn row(pool: &str, told: &Value) -> TopRow {
    let (figures, worker) = (&told["figures"], &told["worker"]);
    let state = [&told["state_text"], &told["state"]].map(word).into_iter().find(|text| !text.is_empty());
    TopRow {
        pool: pool.to_owned(),
        name: word(&told["name"]),
        state: state.unwrap_or_default(),
        level: match told["level"].as_str() {
            Some("bad") => RowLevel::Bad,
            Some("warn") => RowLevel::Warn,
            _ => RowLevel::Ok,
        },
        requests: figures["requests"].as_u64().unwrap_or_default(),
        in_flight: told["in_flight"].as_u64().unwrap_or_default(),
        errors: figures["recent"]["errors"].as_u64().unwrap_or_default(),
        p95: figures["seconds_p95"].as_f64(),
        rss_bytes: worker["rss_bytes"].as_u64(),
        cpu_percent: worker["cpu_percent"].as_f64(),
        restarts: worker["restarts"].as_u64(),
        last_end: word(&worker["last_end"]["how"]),
        is_worker: !worker.is_null(),
        rate: None,
    }
}

pub(super) fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What a value says, in characters that do nothing on a terminal.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        value => plain(&value.to_string()),
    }
}

/// Names and lines may be anybody's. A tab, which has no width of its own, becomes a space.
pub(super) fn plain(text: &str) -> String {
    let shown = |character: char| match character {
        '\t' => ' ',
        character if crate::observe::printable::is_active(character) => '\u{b7}',
        character => character,
    };
    text.chars().map(shown).collect()
}

/// `app.2` before `app.10`.
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    let parts = |text: &str| {
        let digits = text.len() - text.trim_end_matches(|character: char| character.is_ascii_digit()).len();
        let (name, number) = text.split_at(text.len() - digits);
        (name.to_owned(), number.parse::<u64>().ok())
    };
    parts(a).cmp(&parts(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status() -> Value {
        let row = |name: &str, state: &str, level: &str, in_flight: u64, requests: u64| {
            json!({ "name": name, "state": state, "state_text": state, "level": level, "in_flight": in_flight,
                "figures": { "requests": requests, "recent": { "errors": 2 }, "seconds_p95": 0.25 }, "worker": null })
        };
        let (mut new, mut old) = (row("app.2", "up", "ok", 2, 150), row("app.2", "draining, cut in 5 s", "warn", 1, 0));
        new["worker"] =
            json!({ "rss_bytes": 10, "cpu_percent": 20.0, "restarts": 1, "last_end": { "how": "SIGKILL\u{1b}[2J" } });
        old["worker"] = json!({ "rss_bytes": 20, "cpu_percent": 5.0, "restarts": 1, "last_end": null });
        old["figures"] = Value::Null;
        json!({ "pools": [
            { "name": "app", "rows": [row("app.10", "up", "ok", 1, 7), new, old, row("app.3", "ejected 8 s more", "bad", 0, 9)] },
            { "name": "other", "rows": [row("10.0.0.7:80", "down", "bad", 0, 0)] },
        ] })
    }

    #[test]
    fn two_that_have_one_name_are_one_row_and_the_worse_tells_its_state() {
        let rows = of(&status());
        let names: Vec<_> = rows.iter().map(|row| (&*row.name, &*row.state)).collect();
        let expected = [
            ("app.10", "up"),
            ("app.2", "draining, cut in 5 s"),
            ("app.3", "ejected 8 s more"),
            ("10.0.0.7:80", "down"),
        ];
        assert_eq!(names, expected);
        let both = &rows[1];
        assert_eq!((both.requests, both.in_flight, both.rss_bytes, both.cpu_percent), (150, 3, Some(30), Some(25.0)));
        assert_eq!((both.last_end.as_str(), both.is_worker, rows[3].is_worker), ("SIGKILL\u{b7}[2J", true, false));
    }

    #[test]
    fn rows_stand_as_they_are_wished_and_the_worst_stand_first() {
        let sorted = |sort: Sort| {
            let mut rows = of(&status());
            rows.sort_by(|a, b| sort.order(a, b));
            rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(sorted(Sort::Worst), ["app.3", "10.0.0.7:80", "app.2", "app.10"]);
        assert_eq!(sorted(Sort::Name), ["app.2", "app.3", "app.10", "10.0.0.7:80"]);
        assert_eq!(sorted(Sort::InFlight)[0], "app.2");
        let (mut sort, mut all) = (Sort::default(), Vec::new());
        while !all.contains(&sort.word()) {
            all.push(sort.word());
            sort = sort.next();
        }
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn rates_are_what_came_since_and_one_that_began_anew_is_no_loss() {
        let before = of(&status());
        let mut rows = before.clone();
        (rows[0].requests, rows[1].requests) = (27, 4);
        rows.push(TopRow { name: "new".into(), requests: 5, ..TopRow::default() });
        compare(&mut rows, &before, 2.0);
        let rates: Vec<_> = rows.iter().map(|row| row.rate).collect();
        assert_eq!(rates, [Some(10.0), Some(2.0), Some(0.0), Some(0.0), None]);
    }

    #[test]
    fn a_status_of_something_else_has_no_rows() {
        for odd in [json!(null), json!([1]), json!({ "pools": 3 }), json!({ "pools": [{ "rows": { "a": 1 } }] })] {
            assert!(of(&odd).is_empty(), "{odd}");
        }
    }
}
