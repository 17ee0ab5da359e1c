//! The tables of a file, read key by key. Decides which keys are unknown or missing; called by the reader of each table;
//! never knows what a key means.
//!
//! A reader asks a [`Section`] for its keys and gets [`Item`]s, turns them into values, and goes on with the default
//! where that fails: the mistake is noted in [`Findings`] with its place.

use toml::Spanned;
use toml::de::DeTable;

use super::findings::{Findings, Missing, Unknown};
use super::item::Item;
use super::later;
use super::likeness::{likest, nearest};
use super::span::Span;

/// A table whose keys are being asked for.
pub(in crate::config) struct Section<'a> {
    /// Which table of the schema: `"pool.NAME"`; `""` is the top level.
    table: &'static str,
    /// Its header, or the inline table.
    pub(in crate::config) span: Span,
    entries: &'a DeTable<'a>,
    asked: Vec<&'static str>,
    pub(in crate::config) findings: &'a Findings,
}

impl<'a> Section<'a> {
    /// The top level.
    pub(in crate::config) fn root(tree: &'a Spanned<DeTable<'a>>, findings: &'a Findings) -> Self {
        Self::new("", tree.span(), tree.get_ref(), findings)
    }

    /// The table `table`, at `span`.
    pub(in crate::config) fn new(
        table: &'static str,
        span: Span,
        entries: &'a DeTable<'a>,
        findings: &'a Findings,
    ) -> Self {
        Self { table, span, entries, asked: Vec::new(), findings }
    }

    /// The value of `key`, which from now on is a known one.
    pub(in crate::config) fn take(&mut self, key: &'static str) -> Option<Item<'a>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        let found = self.entries.get_key_value(key);
        self.findings.asked(self.table, key, found.is_some());
        found.map(|(key, value)| Item::new(key.get_ref(), key.span(), value, self.findings))
    }

    /// As [`take`](Self::take); that it is missing is a mistake.
    pub(in crate::config) fn require(&mut self, key: &'static str, help: &str) -> Option<Item<'a>> {
        let found = self.take(key);
        if found.is_none() {
            self.missing(&[key], format!("`{key}` is missing"), help);
        }
        found
    }

    /// Notes that none of `keys` is there.
    pub(in crate::config) fn missing(&self, keys: &[&'static str], message: String, help: &str) {
        let (span, help) = (self.span.clone(), help.to_owned());
        self.findings.missing(Missing { keys: keys.to_vec(), span, message, help });
    }

    /// Every entry, in the order of the file: for tables whose keys are names the operator chose.
    pub(in crate::config) fn entries(&self) -> Vec<Item<'a>> {
        let items = self.entries.iter();
        let items = items.map(|(key, value)| Item::new(key.get_ref(), key.span(), value, self.findings));
        let mut items: Vec<_> = items.collect();
        items.sort_by_key(|item| item.key_span.start);
        items
    }

    /// Refuses every key nobody asked for.
    pub(in crate::config) fn finish(self) {
        let later = later::keys(self.table);
        for (key, _) in self.entries {
            let (name, span) = (key.get_ref().as_ref(), key.span());
            if self.asked.contains(&name) {
            } else if later.contains(&name) {
                self.findings.later(span, name);
            } else {
                let nearest = nearest(name, self.asked.iter().chain(later).copied());
                let likest =
                    likest(name, &self.asked).iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
                self.findings.unknown(Unknown { name: name.to_owned(), table: self.table, span, nearest, likest });
            }
        }
    }
}

impl<'a> Item<'a> {
    /// The table `table` of the schema.
    pub(in crate::config) fn section(&self, table: &'static str, example: &str) -> Option<Section<'a>> {
        match self.as_table() {
            Some(entries) => Some(Section::new(table, self.span.clone(), entries, self.findings)),
            None => self.mistyped("a table", format!("write {example}")),
        }
    }
}
