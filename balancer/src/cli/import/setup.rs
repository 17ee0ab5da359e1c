//! A set-up as it was read from another program's file: plain values, in the words of our configuration. Decides nothing; filled by the
//! reader of each format, and written by [`super::writer`].

use std::fmt;
use std::rc::Rc;

use toml::Value;

/// What a file of another program comes to.
#[derive(Debug, Default)]
pub(super) struct Setup {
    /// Keys of the top level besides `listen`.
    pub(super) top: TableKeys,
    /// Where clients connect, each as `listen` has it.
    pub(super) listen: Vec<Value>,
    /// Keys of `[tls]`.
    pub(super) tls: TableKeys,
    /// Keys of `[access_log]`.
    pub(super) access_log: TableKeys,
    pub(super) pools: Vec<PoolDraft>,
    pub(super) routes: Vec<RouteDraft>,
    /// What has no counterpart, in the order it was found.
    pub(super) remarks: Vec<Remark>,
}

impl Setup {
    /// Notes what is missing here, and that clients see it.
    pub(super) fn seen(&mut self, place: &FileLine, text: impl Into<String>) {
        self.remarks.push(Remark { place: place.clone(), text: text.into(), weight: Weight::Seen });
    }

    /// Notes what is missing here, though no client sees it.
    pub(super) fn unseen(&mut self, place: &FileLine, text: impl Into<String>) {
        self.remarks.push(Remark { place: place.clone(), text: text.into(), weight: Weight::Unseen });
    }

    /// Whether something is missing that clients see.
    pub(super) fn changes_what_clients_see(&self) -> bool {
        self.remarks.iter().any(|remark| remark.weight == Weight::Seen)
    }

    /// A name like `wanted` that no pool has yet.
    pub(super) fn free_name(&self, wanted: &str) -> String {
        let fits = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let fitted = wanted.chars().map(|character| if fits(character) { character } else { '-' });
        let plain: String = fitted.take(NAME_MAX).collect();
        let plain = match plain.trim_matches('-') {
            "" => "app".to_owned(),
            plain => plain.to_owned(),
        };
        let is_free = |name: &str| self.pools.iter().all(|pool| pool.name != name);
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        std::iter::once(plain.clone()).chain(numbered).find(|name| is_free(name)).unwrap_or(plain)
    }
}

/// `[pool.NAME]`.
#[derive(Debug, Default)]
pub(super) struct PoolDraft {
    pub(super) name: String,
    pub(super) keys: TableKeys,
    /// Keys of `[pool.NAME.workers]`.
    pub(super) workers: Option<TableKeys>,
}

/// `[[route]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RouteDraft {
    /// `None`: every host.
    pub(super) host: Option<String>,
    pub(super) path: String,
    pub(super) pool: String,
}

/// Keys of a table in the order they are written, each once.
#[derive(Debug, Default, Clone)]
pub(super) struct TableKeys(Vec<(&'static str, Value)>);

impl TableKeys {
    /// Sets a key, in place of an earlier value.
    pub(super) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => self.0.push((key, value)),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(&'static str, Value)> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Something of the other file that has no counterpart.
#[derive(Debug)]
pub(super) struct Remark {
    pub(super) place: FileLine,
    /// What it is, and what holds instead.
    pub(super) text: String,
    pub(super) weight: Weight,
}

/// Whether clients see the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Seen,
    Unseen,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileLine {
    /// As the user named it.
    pub(super) file: Rc<str>,
    /// From 1.
    pub(super) line: usize,
}

impl fmt::Display for FileLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Why a file cannot be read as what it is said to be.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) place: FileLine,
    /// What is wrong, and what would be right.
    pub(super) message: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// A text of the other file as our file spells it: `$` would name a variable.
pub(super) fn plain(text: &str) -> String {
    text.replace('$', "$$")
}

/// The beginning of something long, as a remark shows it.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Below the longest name that our file may have, with room for a number.
const NAME_MAX: usize = 60;

/// Characters of another file that a remark repeats.
const SHOWN_MAX: usize = 60;
