//! `docs/configuration.md` against the code: its keys are those that the readers ask for, and its defaults those that hold.

use std::collections::{BTreeMap, BTreeSet};

use super::example::EXAMPLE;
use super::*;
use crate::config::syntax::document;
use crate::config::syntax::findings::Findings;
use crate::config::tables::admin;

/// The page with every key.
const PAGE: &str = include_str!("../../../../docs/configuration.md");

#[test]
fn the_page_has_a_line_for_every_key_and_no_other() {
    let known: BTreeSet<_> = top::keys().into_keys().filter(|(table, _)| *table != "pool").collect();
    let known: BTreeSet<_> = known.iter().map(|(table, key)| (table.to_string(), key.to_string())).collect();
    let shown: BTreeSet<_> = rows().into_iter().map(|row| (row.table, row.key)).collect();
    let without_line: Vec<_> = known.difference(&shown).collect();
    let without_key: Vec<_> = shown.difference(&known).collect();
    assert!(without_line.is_empty() && without_key.is_empty(), "no line: {without_line:?}; no key: {without_key:?}");
}

#[test]
fn every_line_of_the_page_has_its_four_cells_and_is_there_once() {
    let mut lines = BTreeMap::new();
    for row in rows() {
        assert!(row.cells.len() == 4 && row.cells.iter().all(|cell| !cell.is_empty()), "{}.{}", row.table, row.key);
        let place = format!("{}.{}", row.table, row.key);
        assert!(lines.insert(place.clone(), ()).is_none(), "{place} is there twice");
    }
}

#[test]
fn writing_a_default_of_the_page_changes_nothing() {
    let mut compared = 0;
    for Row { table, key, cells } in rows() {
        let Some(default) = literal(&cells[1]) else { continue };
        let without = parse(&file(&table, &key, None), "without").unwrap();
        let text = file(&table, &key, Some(default));
        let with = parse(&text, "with").unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}"));
        assert_eq!(plain(with), plain(without), "{table}.{key} = {default}");
        compared += 1;
    }
    assert!(compared > 45, "{compared} defaults were compared");
}

#[test]
fn the_page_has_a_default_where_the_example_has_one() {
    let findings = Findings::default();
    top::read(&document::read(EXAMPLE, &findings), &findings, admin::Secrets::Checked);
    let live = findings.keys();
    let live = |row: &Row| live.iter().any(|((table, key), found)| *found && row.table == *table && row.key == *key);
    let named = ["required", "–"];
    let silent: Vec<_> = rows()
        .into_iter()
        .filter(|row| live(row) && literal(&row.cells[1]).is_none())
        .filter(|row| !["workers", "access_log", "admin", "route"].contains(&&*row.key) && row.cells[1] != named[0])
        .map(|row| format!("{}.{}", row.table, row.key))
        .collect();
    assert!(silent.is_empty(), "the example has a default for {silent:?}");
}

/// One line of a table of keys.
struct Row {
    /// As [`Keys`](findings::Keys) has it: `pool.NAME`; empty for the top level.
    table: String,
    key: String,
    cells: Vec<String>,
}

/// The lines of all tables that begin with `key`, below headings that name a table of the file.
fn rows() -> Vec<Row> {
    let (mut table, mut within, mut rows) = (None, false, Vec::new());
    for line in PAGE.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let named = heading.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
            table = named.map(|name| name.trim_matches(['[', ']']).to_owned());
            table = table.or_else(|| (heading == "Top level").then(String::new));
        }
        within = line.starts_with('|') && (within || line.starts_with("| key |"));
        // A `|` inside a cell is written `\|`.
        let hidden = line.replace("\\|", "\0");
        let cells: Vec<_> = hidden.trim_matches('|').split('|').map(|cell| cell.trim().replace('\0', "|")).collect();
        if let (true, Some(table), Some(key)) = (within, &table, cells[0].strip_prefix('`')) {
            rows.push(Row { table: table.clone(), key: key.trim_end_matches('`').to_owned(), cells });
        }
    }
    rows
}

/// The value that a cell begins with, in backticks.
fn literal(cell: &str) -> Option<&str> {
    let value = cell.strip_prefix('`')?.split('`').next()?;
    // `$STATE_DIRECTORY` and the like are places, not values.
    (!value.starts_with('$')).then_some(value)
}

/// A file with every table in which `table` has `key`, and what that key cannot be without.
fn file(table: &str, key: &str, value: Option<&str>) -> String {
    let mut tables: BTreeMap<&str, String> = BTreeMap::new();
    let mut add = |table, lines: &str| tables.entry(table).or_default().push_str(lines);
    match table {
        "listen" => add("", "listen = [{ address = \"unix:/run/lb.sock\" KEY }]\n"),
        "tls" => add("", "listen = \"tls:127.0.0.1:8080\"\n"),
        _ => add("", "listen = \"127.0.0.1:8080\"\n"),
    }
    match table {
        "pool.NAME.endpoints" => add("pool.NAME", "endpoints = [{ address = \"127.0.0.1:1\" KEY }, \"127.0.0.1:2\"]\n"),
        "pool.NAME.affinity" => add("pool.NAME", "affinity = { cookie = \"lb\" }\n"),
        "pool.NAME.probe" if key == "status" => add("pool.NAME.probe", "path = \"/\"\n"),
        "pool.NAME.probe" => add("pool.NAME.probe", ""),
        "pool.NAME.workers.warm_up" => add("pool.NAME.workers", "warm_up = { TABLE }\n"),
        "pool.NAME.workers.backoff" => add("pool.NAME.workers", "backoff = { TABLE }\n"),
        "route" => add("route", "pool = \"app\"\n"),
        "tls.eab" => add("tls", "names = [\"a.test\"]\neab = { TABLE }\n"),
        "tls" => add(
            "tls",
            "names = [\"a.test\"]\ncertificates = [{ certificate = \"/a\", key = \"/b\" }]\nclient_ca = \"/c\"\n",
        ),
        _ => {}
    }
    match key {
        "hash_key" => add("pool.NAME", "policy = \"hash\"\n"),
        "dns_interval" | "dns_hold" => add("pool.NAME", "dns = \"localhost:1\"\n"),
        "queue_max" | "queue_timeout" | "slow_lane" | "shed" => add("pool.NAME", "slots = 1\n"),
        _ => {}
    }
    add("pool.NAME.workers", "command = [\"true\", \"{port}\"]\n");
    let inline = ["listen", "pool.NAME.endpoints", "pool.NAME.workers.warm_up", "pool.NAME.workers.backoff"];
    let line = value.map_or(String::new(), |value| format!("{key} = {value}"));
    if !inline.contains(&table) {
        let table = ["", "pool.NAME", "pool.NAME.probe", "pool.NAME.workers", "route", "access_log", "admin", "tls"]
            .into_iter()
            .find(|known| *known == table);
        add(table.unwrap_or_else(|| panic!("a table of which this test has no example")), &(line.clone() + "\n"));
    }
    let comma = if line.is_empty() { String::new() } else { format!(", {line}") };
    let header = |table: &str| match table {
        "" => String::new(),
        "route" => "[[route]]\n".to_owned(),
        table => format!("[{}]\n", table.replace("NAME", "app")),
    };
    let text: String = tables.iter().map(|(table, lines)| header(table) + lines).collect();
    text.replace(" KEY", &comma).replace("TABLE", &line)
}

/// What is filled in later, filled in.
fn plain(mut config: Config) -> Config {
    for pool in &mut config.pools {
        pool.ready_wait = Some(pool.ready_wait());
    }
    config
}
