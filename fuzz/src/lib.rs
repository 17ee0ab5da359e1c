//! Random input for what reads bytes we do not control, and what must hold whatever it is.
//!
//! Each target takes bytes and panics where something does not hold. `cargo run -p fuzz -- TARGET --seconds N` runs one on
//! mutations of its corpus; the tests replay every corpus and a seeded number of mutations.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a finding is a panic")]

mod message;
pub mod mutate;
mod program;
mod readers;
mod reading;
mod splits;
mod strict;
mod targets;
mod written;

use std::path::{Path, PathBuf};

pub use readers::{Missing, Reader, compared, reviewed_list};

/// Asks readers for what is in some bytes.
pub type Compare = fn(&[u8], &mut [Reader]);

/// What is run on random input.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// As on the command line, and as its folder below `corpus/` is called.
    pub name: &'static str,
    /// Words that its input is made of.
    pub words: &'static [&'static str],
    /// Panics where something does not hold.
    pub run: fn(&[u8]),
    /// Panics where another reader of HTTP/1 reads something else than ours; for those that read messages.
    pub compare: Option<Compare>,
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    Target { name: "config", words: targets::config::WORDS, run: targets::config::run, compare: None },
    Target { name: "fields", words: targets::fields::WORDS, run: targets::fields::run, compare: None },
    Target { name: "route", words: targets::route::WORDS, run: targets::route::run, compare: None },
    Target { name: "cookie", words: targets::cookie::WORDS, run: targets::cookie::run, compare: None },
    Target {
        name: "head",
        words: targets::head::WORDS,
        run: targets::head::run,
        compare: Some(targets::head::compare),
    },
    Target {
        name: "request",
        words: targets::request::WORDS,
        run: targets::request::run,
        compare: Some(targets::request::compare),
    },
    Target {
        name: "response",
        words: targets::response::WORDS,
        run: targets::response::run,
        compare: Some(targets::response::compare),
    },
    Target {
        name: "chunked",
        words: targets::chunked::WORDS,
        run: targets::chunked::run,
        compare: Some(targets::chunked::compare),
    },
];

impl Target {
    /// The inputs that are kept, in the order of their names.
    pub fn corpus(&self) -> Vec<Vec<u8>> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(self.folder()).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        files.iter().map(|file| std::fs::read(file).expect("a file of the corpus")).collect()
    }

    /// Where they are.
    pub fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name)
    }
}
