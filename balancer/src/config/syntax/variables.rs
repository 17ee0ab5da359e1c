//! `${NAME}` in the texts of a file. Decides what is filled in, and what of it may be shown; called by [`crate::config::parse`] before any table is
//! read; never touches `command`, in which the worker's own environment counts.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::LineStarts;
use super::findings::{Filled, Findings};
use super::span::Span;
use super::{document, text};

/// A variable that a file asks for, as far as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What stands in the file for it; `None` where it may be a secret.
    pub value: Option<String>,
    /// Whether that is the default in the file.
    pub is_default: bool,
    /// The key in whose value it stands.
    pub key: String,
    /// The line of the value, from 1.
    pub line: usize,
}

/// What a file at `path` takes from the environment; nothing where it cannot be read.
pub fn variables(path: &Path) -> Vec<Variable> {
    let Ok(text) = text::read(path) else { return Vec::new() };
    let findings = Findings::default();
    let mut tree = document::read(&text, &findings);
    fill_in(&mut tree, &text, &findings, &|name| std::env::var_os(name))
}

/// Fills in every text of `tree`; what cannot be is a mistake.
pub(in crate::config) fn fill_in(
    tree: &mut Spanned<DeTable<'_>>,
    text: &str,
    findings: &Findings,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Vec<Variable> {
    let mut filling = Filling { text, lines: LineStarts::new(text), findings, environment, taken: Vec::new() };
    filling.table(tree.get_mut(), &mut Vec::new());
    filling.taken.sort_by(|a, b| (a.line, &a.name).cmp(&(b.line, &b.name)));
    filling.taken
}

struct Filling<'a> {
    text: &'a str,
    lines: LineStarts<'a>,
    findings: &'a Findings,
    environment: &'a dyn Fn(&str) -> Option<OsString>,
    taken: Vec<Variable>,
}

impl Filling<'_> {
    fn table(&mut self, table: &mut DeTable<'_>, keys: &mut Vec<String>) {
        for (key, value) in table.iter_mut() {
            keys.push(key.get_ref().to_string());
            if !is_command(keys) {
                let span = value.span();
                self.value(value.get_mut(), span, keys);
            }
            keys.pop();
        }
    }

    fn value(&mut self, value: &mut DeValue<'_>, span: Span, keys: &mut Vec<String>) {
        match value {
            DeValue::Table(table) => self.table(table, keys),
            DeValue::Array(list) => {
                for element in list.iter_mut() {
                    let span = element.span();
                    self.value(element.get_mut(), span, keys);
                }
            }
            DeValue::String(text) if text.contains('$') => {
                if let Some(filled) = self.string(text, &span, keys) {
                    *text = Cow::Owned(filled);
                }
            }
            _ => {}
        }
    }

    /// The text with everything filled in; `None` where nothing is to be, or where that cannot be.
    fn string(&mut self, text: &str, span: &Span, keys: &[String]) -> Option<String> {
        let pieces = match pieces(text) {
            Ok(pieces) => pieces,
            Err(wrong) => {
                let help = "write ${NAME} or ${NAME:-default}, and $$ for a dollar";
                self.wrong(span, &wrong, format!("`{wrong}` names no variable"), help.to_owned());
                return None;
            }
        };
        let (mut filled, mut secrets, mut is_filled) = (String::new(), Vec::new(), false);
        for piece in pieces {
            let (name, default) = match piece {
                Piece::Text(text) => {
                    filled.push_str(text);
                    continue;
                }
                Piece::Variable { name, default } => (name, default),
            };
            is_filled = true;
            let found = (self.environment)(name).filter(|value| default.is_none() || !value.is_empty());
            let value = match found.map(OsString::into_string) {
                Some(Ok(value)) => Some(value),
                Some(Err(_)) => {
                    let help = "give it another value";
                    self.wrong(span, name, format!("`{name}` of the environment is not UTF-8 text"), help.to_owned());
                    return None;
                }
                None => None,
            };
            let is_default = value.is_none();
            let Some(value) = value.or(default.map(str::to_owned)) else {
                let help = format!("set {name} in the environment, or give a default: ${{{name}:-…}}");
                self.wrong(span, name, format!("`{name}` is not set"), help);
                return None;
            };
            let is_secret = !is_default && is_secret(name, keys);
            secrets.extend(is_secret.then(|| name.to_owned()));
            self.taken.push(Variable {
                name: name.to_owned(),
                value: (!is_secret).then(|| value.clone()),
                is_default,
                key: keys.join("."),
                line: self.lines.line(span.start),
            });
            filled.push_str(&value);
        }
        if is_filled {
            self.findings.filled(Filled { span: span.clone(), secrets });
        }
        Some(filled)
    }

    /// A mistake at `part` of the text at `span`, of which nothing else is judged then.
    fn wrong(&self, span: &Span, part: &str, message: String, help: String) {
        let source = self.text.get(span.clone()).unwrap_or_default();
        let at = source.find(part).map_or(span.clone(), |at| span.start + at..span.start + at + part.len());
        self.findings.unset(span.clone(), at, message, help);
    }
}

enum Piece<'t> {
    Text(&'t str),
    Variable { name: &'t str, default: Option<&'t str> },
}

/// The parts of a text; the error is what names no variable. A `$` before anything but `{` and `$` is one.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find('$') {
        let behind = &rest[at + 1..];
        if let Some(after) = behind.strip_prefix('$') {
            pieces.push(Piece::Text(&rest[..=at]));
            rest = after;
            continue;
        }
        let Some(inside) = behind.strip_prefix('{') else {
            pieces.push(Piece::Text(&rest[..=at]));
            rest = behind;
            continue;
        };
        pieces.push(Piece::Text(&rest[..at]));
        let Some((inside, after)) = inside.split_once('}') else { return Err(rest[at..].to_owned()) };
        let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, text)| (name, Some(text)));
        if !is_name(name) {
            return Err(format!("${{{inside}}}"));
        }
        pieces.push(Piece::Variable { name, default });
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// POSIX.1-2017 section 8.1.
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty() && !text.as_bytes()[0].is_ascii_digit() && text.bytes().all(is_part)
}

/// `command` is the worker's: its `$PORT` is another one.
fn is_command(keys: &[String]) -> bool {
    matches!(keys, [pool, _, workers, command] if pool == "pool" && workers == "workers" && command == "command")
}

/// Whether a value may be a secret: by the variable's name, or for going to workers (`env` holds passwords of databases, `fields` what
/// a health page asks for).
fn is_secret(name: &str, keys: &[String]) -> bool {
    let name = name.to_ascii_uppercase();
    // Behind the name of the pool, which may be anything.
    let goes_to_workers = keys.iter().skip(2).any(|key| key == "env" || key == "fields");
    SECRETS.iter().any(|word| name.contains(word)) || goes_to_workers
}

const SECRETS: [&str; 9] = ["SECRET", "TOKEN", "PASS", "KEY", "CREDENTIAL", "AUTH", "PRIVATE", "DSN", "DATABASE"];

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} (line {}): ", self.name, self.key, self.line)?;
        match &self.value {
            None => f.write_str("set, and not shown"),
            Some(value) if self.is_default => write!(f, "not set, so {value:?}"),
            Some(value) => write!(f, "{value:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::syntax::diagnostics::Diagnostics;
    use crate::config::top;

    const FILE: &str = r#"
listen = "127.0.0.1:${PORT:-8080}"
threads = "${THREADS:-2}"
[pool.app]
connect_timeout = "${TIMEOUT}"
[pool.app.workers]
command = ["sh", "-c", "exec app ${PORT} $$"]
count = "${COUNT}"
env = { URL = "db://${USER}:${DB_PASSWORD}@db/$$x$HOME", EMPTY = "${EMPTY:-full}" }
"#;

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<(crate::config::Config, Vec<String>), String> {
        let findings = Findings::default();
        let mut tree = document::read(text, &findings);
        let lookup =
            |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        let taken = fill_in(&mut tree, text, &findings, &lookup);
        let config = top::read(&tree, &findings, crate::config::tables::admin::Secrets::Unread);
        match findings.into_mistakes(text, top::keys) {
            mistakes if mistakes.is_empty() => Ok((config, taken.iter().map(ToString::to_string).collect())),
            mistakes => Err(Diagnostics::new("lb.toml", text, mistakes).render(false)),
        }
    }

    #[test]
    fn texts_and_numbers_are_filled_in_and_commands_are_not() {
        let environment = [
            ("PORT", "9000"),
            ("TIMEOUT", "2s"),
            ("COUNT", "3"),
            ("USER", "app"),
            ("DB_PASSWORD", "s3cret"),
            ("EMPTY", ""),
        ];
        let (config, taken) = read(FILE, &environment).unwrap();
        assert_eq!(config.listen[0].to_string(), "127.0.0.1:9000");
        assert_eq!(config.threads, 2);
        let pool = &config.pools[0];
        assert_eq!(pool.timeouts.connect.as_secs(), 2);
        let workers = pool.workers.as_ref().unwrap();
        assert_eq!((workers.command[2].as_str(), workers.count), ("exec app ${PORT} $$", 3));
        assert_eq!((&*workers.env["URL"], &*workers.env["EMPTY"]), ("db://app:s3cret@db/$x$HOME", "full"));
        assert_eq!(
            taken,
            [
                "PORT in listen (line 2): \"9000\"",
                "THREADS in threads (line 3): not set, so \"2\"",
                "TIMEOUT in pool.app.connect_timeout (line 5): \"2s\"",
                "COUNT in pool.app.workers.count (line 8): \"3\"",
                "DB_PASSWORD in pool.app.workers.env.URL (line 9): set, and not shown",
                "EMPTY in pool.app.workers.env.EMPTY (line 9): not set, so \"full\"",
                "USER in pool.app.workers.env.URL (line 9): set, and not shown",
            ]
        );
    }

    #[test]
    fn names_that_people_choose_are_no_keys_and_fields_of_a_question_are_secret() {
        let file = r#"
listen = "127.0.0.1:8080"
[pool.command]
connect_timeout = "${WAIT}"
[pool.command.workers]
command = ["app", "{port}"]
env = { command = "${WHAT}" }
ready = { path = "/", fields = { X-Auth = "${HEALTH}" } }
[pool.env]
endpoints = ["${WHERE}"]
[[route]]
pool = "command"
[[route]]
path = "/env"
pool = "env"
"#;
        let environment = [("WAIT", "2s"), ("WHAT", "serve"), ("HEALTH", "hunter2"), ("WHERE", "10.0.0.1:80")];
        let (config, taken) = read(file, &environment).unwrap();
        let pool = config.pools.iter().find(|pool| pool.name == "command").unwrap();
        assert_eq!((pool.timeouts.connect.as_secs(), &*pool.workers.as_ref().unwrap().env["command"]), (2, "serve"));
        assert!(taken.iter().all(|told| !told.contains("hunter2") && !told.contains("serve\"")), "{taken:?}");
        assert!(taken.contains(&"WHERE in pool.env.endpoints (line 10): \"10.0.0.1:80\"".to_owned()), "{taken:?}");
    }

    #[test]
    fn one_that_is_not_set_is_a_mistake_at_its_place_and_the_only_one_there() {
        let error = read(FILE, &[("COUNT", "3"), ("USER", "")]).unwrap_err();
        for part in [
            "`TIMEOUT` is not set",
            "lb.toml:5:22",
            "give a default: ${TIMEOUT:-…}",
            "`DB_PASSWORD` is not set",
            "2 mistakes",
        ] {
            assert!(error.contains(part), "no {part} in {error}");
        }
        for (text, wrong) in [("${}", "${}"), ("${A B}", "${A B}"), ("${1}", "${1}"), ("a ${open", "${open")] {
            let error = read(&format!("listen = \"{text}\"\n[pool.a]\nendpoints = [\"a:1\"]\n"), &[]).unwrap_err();
            assert!(
                error.contains(&format!("`{wrong}` names no variable")) && error.ends_with(" 1 mistake"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_wrong_value_is_shown_with_its_variable_and_a_secret_never() {
        let file = "listen = \"${WHERE}\"\n[pool.a]\nendpoints = [\"${TOKEN_X}\"]\nslots = \"${N}\"\n";
        let error = read(file, &[("WHERE", "nowhere"), ("TOKEN_X", "hunter2 hunter2"), ("N", "many")]).unwrap_err();
        assert!(error.contains("`nowhere` is not an address to listen on"), "{error}");
        assert!(error.contains("TOKEN_X") && !error.contains("hunter2"), "{error}");
        assert!(error.contains("`slots` must be a whole number") && error.ends_with(" 3 mistakes"), "{error}");
    }
}
