//! What the readers found. Decides which of it is a mistake once all tables are read; called by [`super::section`] and
//! [`super::document`]; never reads the file itself.
//!
//! One slip of the pen is one mistake: where `lisen` is unknown, `listen` is not reported missing as well, and where
//! the file is not TOML, what can only be known of a whole file is not judged.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::diagnostics::{LineStarts, quote};
use super::span::Span;
use super::synonyms;

/// Shared by all sections of a file; its insides change while they are read.
#[derive(Default)]
pub(in crate::config) struct Findings {
    syntax: RefCell<Vec<Mistake>>,
    unreadable: RefCell<Vec<RangeInclusive<usize>>>,
    wrong: RefCell<Vec<Mistake>>,
    unknown: RefCell<Vec<Unknown>>,
    missing: RefCell<Vec<Missing>>,
    asked: RefCell<Keys>,
    unset: RefCell<Vec<Mistake>>,
    filled: RefCell<Vec<Filled>>,
}

/// Keys by table, and whether the file has them.
pub(in crate::config) type Keys = BTreeMap<(&'static str, &'static str), bool>;

/// Where, what, and what would be right.
pub(in crate::config) type Mistake = (Span, String, String);

/// A key nobody asked for.
pub(super) struct Unknown {
    pub(in crate::config) name: String,
    /// Of the schema.
    pub(super) table: &'static str,
    pub(in crate::config) span: Span,
    /// The key of the same table it may have meant.
    pub(in crate::config) nearest: Option<&'static str>,
    /// The keys of the table that are likest, a few.
    pub(super) likest: String,
}

/// A key, or one of several, that must be there.
pub(super) struct Missing {
    pub(in crate::config) keys: Vec<&'static str>,
    pub(in crate::config) span: Span,
    pub(in crate::config) message: String,
    pub(in crate::config) help: String,
}

/// A text of the file in which variables were filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filled {
    pub(in crate::config) span: Span,
    /// Those whose value must not be shown.
    pub(in crate::config) secrets: Vec<String>,
}

impl Findings {
    /// The file is not TOML here.
    pub(in crate::config) fn syntax(&self, span: Span, message: String, help: String) {
        self.syntax.borrow_mut().push((span, message, help));
    }

    /// What stands here was not read as it was meant; no value in it is judged.
    pub(super) fn unreadable(&self, bytes: RangeInclusive<usize>) {
        self.unreadable.borrow_mut().push(bytes);
    }

    /// A value that variables were filled into.
    pub(super) fn filled(&self, filled: Filled) {
        self.filled.borrow_mut().push(filled);
    }

    /// Whether the value at `span` is one.
    pub(super) fn is_filled(&self, span: &Span) -> bool {
        self.filled.borrow().iter().any(|filled| filled.span == *span)
    }

    /// The value at `span` cannot be told, for what stands at `place` of it.
    pub(super) fn unset(&self, span: Span, place: Span, message: String, help: String) {
        self.unset.borrow_mut().push((place, message, help));
        self.unreadable(span.start..=span.end);
    }

    /// A value is wrong. What is in it from a variable that may hold a secret is not repeated.
    pub(in crate::config) fn wrong(&self, span: Span, message: String, help: String) {
        let filled = self.filled.borrow();
        let secrets = filled.iter().find(|filled| filled.span == span).map(|filled| filled.secrets.join(", "));
        let (message, help) = match secrets.filter(|secrets| !secrets.is_empty()) {
            None => (message, help),
            Some(names) => (
                format!("this is wrong with the value of {names}, which may be a secret and is not shown"),
                "give the variable another value, or write it out".to_owned(),
            ),
        };
        self.wrong.borrow_mut().push((span, message, help));
    }

    /// Tables do not go together; not judged where some of them may not have been read.
    pub(in crate::config) fn whole(&self, span: Span, message: String, help: String) {
        if self.is_toml() {
            self.wrong(span, message, help);
        }
    }

    /// A documented name we do not support yet.
    pub(in crate::config) fn later(&self, span: Span, name: &str) {
        self.wrong(span, format!("\"{name}\" is not supported yet"), "leave it out for now".to_owned());
    }

    /// A key is not known.
    pub(super) fn unknown(&self, unknown: Unknown) {
        self.unknown.borrow_mut().push(unknown);
    }

    /// A key is not there.
    pub(super) fn missing(&self, missing: Missing) {
        self.missing.borrow_mut().push(missing);
    }

    /// The reader of `table` knows `key`, and the file has it or not.
    pub(super) fn asked(&self, table: &'static str, key: &'static str, found: bool) {
        *self.asked.borrow_mut().entry((table, key)).or_default() |= found;
    }

    /// Every key some reader knows, by table, and whether the file has it.
    pub(in crate::config) fn keys(&self) -> Keys {
        self.asked.borrow().clone()
    }

    /// Whether the file as a whole can be judged.
    pub(super) fn is_toml(&self) -> bool {
        self.syntax.borrow().is_empty()
    }

    /// The mistakes, in no order; `keys` are all that exist.
    pub(in crate::config) fn into_mistakes(self, text: &str, keys: impl Fn() -> Keys) -> Vec<Mistake> {
        let mut mistakes = self.syntax.into_inner();
        let lines = LineStarts::new(text);
        let line = |span: &Span| lines.line(span.start);
        let broken: BTreeSet<usize> = mistakes.iter().map(|(span, ..)| line(span)).collect();
        let unknown = self.unknown.into_inner();
        mistakes.extend(self.unset.into_inner());

        let unreadable = self.unreadable.into_inner();
        let read =
            |span: &Span| !broken.contains(&line(span)) && !unreadable.iter().any(|bytes| bytes.contains(&span.start));
        mistakes.extend(self.wrong.into_inner().into_iter().filter(|(span, ..)| read(span)));
        if broken.is_empty() {
            let missing = self.missing.into_inner().into_iter();
            let explained = |missing: &Missing| unknown.iter().any(|unknown| unknown.explains(missing));
            mistakes.extend(missing.filter(|it| !explained(it)).map(|it| (it.span, it.message, it.help)));
        }
        // Behind a header that cannot be read, keys stand in a table they do not belong to.
        let first = broken.first().copied().unwrap_or(usize::MAX);
        let keys = if unknown.is_empty() { Keys::new() } else { keys() };
        let sure = unknown.into_iter().filter(|unknown| line(&unknown.span) < first);
        mistakes.extend(sure.map(|unknown| unknown.into_mistake(&keys)));
        mistakes
    }
}

impl Unknown {
    fn explains(&self, missing: &Missing) -> bool {
        let meant = synonyms::ours(&self.name);
        missing.keys.iter().any(|key| self.name == *key || self.nearest == Some(key) || meant == Some(key))
    }

    fn into_mistake(self, keys: &Keys) -> Mistake {
        if let Some(instead) = synonyms::instead(self.table, &self.name) {
            return (self.span, format!("unknown key {}", quote(&self.name)), instead.to_owned());
        }
        let place = |table: &str| match table {
            "" => "at the top of the file, before the first [table]".to_owned(),
            table => format!("in {table}"),
        };
        let elsewhere = keys.keys().filter(|(_, key)| *key == self.name).map(|(table, _)| place(table));
        let elsewhere = elsewhere.collect::<Vec<_>>().join(" or ");
        let of_ours = synonyms::ours(&self.name);
        let called = of_ours.and_then(|ours| {
            let (table, _) = keys.keys().find(|(_, key)| *key == ours)?;
            Some(format!("it is called `{ours}` here, {}", place(table)))
        });
        let called = called.unwrap_or_default();
        let help = match self.nearest {
            _ if !elsewhere.is_empty() => format!("`{}` belongs {elsewhere}", self.name),
            _ if !called.is_empty() => called,
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("the nearest keys are {}; deploy/lb.example.toml has every key", self.likest),
        };
        (self.span, format!("unknown key {}", quote(&self.name)), help)
    }
}
