//! So much of YAML as the files of `deploy/` are written in: block and flow collections, plain and double-quoted scalars, comments. What
//! else there is of YAML fails the test that meets it.

use std::collections::VecDeque;

use serde_json::{Map, Value};

type Lines = VecDeque<(usize, String)>;

/// Each document of a file.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let document = |part: &str| {
        let mut lines: Lines =
            part.lines().map(without_comment).filter(|line| !line.is_empty()).map(indented).collect();
        let value = block(&mut lines, 0);
        assert!(lines.is_empty(), "at another depth than what is before it: {lines:?}");
        value
    };
    text.split("\n---\n").map(document).collect()
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let begins = |(at, byte): &(usize, u8)| {
        quoted ^= *byte == b'"';
        *byte == b'#' && !quoted && (*at == 0 || line.as_bytes()[at - 1] == b' ')
    };
    let end = line.bytes().enumerate().find(begins).map_or(line.len(), |(at, _)| at);
    line[..end].trim_end()
}

fn indented(line: &str) -> (usize, String) {
    let text = line.trim_start();
    (line.len() - text.len(), text.to_owned())
}

/// The collection whose lines begin at this depth.
fn block(lines: &mut Lines, depth: usize) -> Value {
    if lines.front().is_some_and(|(_, text)| text.starts_with("- ")) { list(lines, depth) } else { map(lines, depth) }
}

fn list(lines: &mut Lines, depth: usize) -> Value {
    let mut items = Vec::new();
    while let Some((_, text)) = lines.pop_front_if(|(at, text)| *at == depth && text.starts_with("- ")) {
        let rest = text[2..].trim_start();
        if entry(rest).is_some() {
            let inner = depth + text.len() - rest.len();
            lines.push_front((inner, rest.to_owned()));
            items.push(map(lines, inner));
        } else {
            items.push(scalar(rest));
        }
    }
    Value::Array(items)
}

fn map(lines: &mut Lines, depth: usize) -> Value {
    let mut entries = Map::new();
    while let Some((_, text)) = lines.pop_front_if(|(at, text)| *at == depth && !text.starts_with("- ")) {
        let (key, rest) = entry(&text).unwrap_or_else(|| panic!("no `key: value`: {text}"));
        let inner = lines
            .front()
            .filter(|(at, text)| *at > depth || (*at == depth && text.starts_with("- ")))
            .map(|(at, _)| *at);
        let value = match (rest, inner) {
            // What is below, with an anchor or without.
            ("", Some(inner)) => block(lines, inner),
            (anchor, Some(inner)) if anchor.starts_with('&') => block(lines, inner),
            ("", None) => Value::Null,
            (rest, _) => scalar(rest),
        };
        assert!(entries.insert(key.to_owned(), value).is_none(), "twice: {key}");
    }
    Value::Object(entries)
}

/// Key and value of a line that is an entry of a map.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (key, rest) = line.strip_suffix(':').map(|key| (key, "")).or_else(|| line.split_once(": "))?;
    (!line.starts_with(['{', '[', '"'])).then_some((key, rest.trim()))
}

/// All of the text.
fn scalar(text: &str) -> Value {
    if text.starts_with(['{', '[', '"']) {
        let mut rest = text;
        let value = flow(&mut rest);
        assert_eq!(rest.trim(), "", "behind the end of {text}");
        return value;
    }
    assert!(!text.starts_with(['|', '>', '\'', '!']), "not known here: {text}");
    plain(text)
}

fn plain(text: &str) -> Value {
    match text.trim() {
        "true" => true.into(),
        "false" => false.into(),
        text => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
    }
}

/// One value of the text, which is cut down to what follows.
fn flow(rest: &mut &str) -> Value {
    *rest = rest.trim_start();
    if let Some(inner) = rest.strip_prefix('"') {
        let (text, after) = inner.split_once('"').unwrap();
        *rest = after;
        return text.into();
    }
    if let Some(inner) = rest.strip_prefix('[') {
        *rest = inner;
        let mut items = Vec::new();
        while !closed(rest, ']') {
            items.push(flow(rest));
        }
        return items.into();
    }
    if let Some(inner) = rest.strip_prefix('{') {
        *rest = inner;
        let mut entries = Map::new();
        while !closed(rest, '}') {
            let (key, after) = rest.split_once(": ").unwrap();
            *rest = after;
            entries.insert(key.trim().to_owned(), flow(rest));
        }
        return entries.into();
    }
    let (text, after) = rest.split_at(rest.find([',', ']', '}']).unwrap());
    *rest = after;
    plain(text)
}

/// Whether the collection ends here; a comma before the next of it is passed over.
fn closed(rest: &mut &str, end: char) -> bool {
    *rest = rest.trim_start();
    *rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    let after = rest.strip_prefix(end);
    *rest = after.unwrap_or(rest);
    after.is_some()
}

#[test]
fn what_the_files_are_written_in_is_understood() {
    let text = "# about\na: 1 # one\nb:\n  - { c: \"x # y\", d: [1, two] }\n  - e: f\n    g: true\n  - h\ni: &j\n  k: ${L:-m}\nn:\n- \"o: p\"\n---\nq:";
    let expected = [
        serde_json::json!({"a": 1, "b": [{"c": "x # y", "d": [1, "two"]}, {"e": "f", "g": true}, "h"], "i": {"k": "${L:-m}"}, "n": ["o: p"]}),
        serde_json::json!({"q": null}),
    ];
    assert_eq!(documents(text), expected);
}
