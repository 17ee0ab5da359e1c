//! The language of the file: text → TOML → tables, keys and values, each with its place.
//!
//! Decides what can be read at all, what is a value of which kind, and how a mistake is put to the operator. Called by the readers of
//! [`super::tables`]. Never knows what a key means.

pub(super) mod diagnostics;
pub(super) mod document;
pub(super) mod findings;
pub(super) mod item;
mod later;
pub(super) mod likeness;
pub(super) mod section;
pub(super) mod span;
mod synonyms;
pub(super) mod text;
pub(super) mod units;
pub(super) mod variables;
