//! Every format: whatever its file holds, a reader says something and never ends the process.

use std::path::Path;

use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// The files that the program is tested with.
const FILES: &[(Kind, &str)] = &[
    (Kind::Nginx, include_str!("../../../tests/import/nginx/article.conf")),
    (Kind::Nginx, include_str!("../../../tests/import/nginx/rails.conf")),
    (Kind::Nginx, include_str!("../../../tests/import/nginx/services.conf")),
    (Kind::Nginx, include_str!("../../../tests/import/nginx/containers.conf")),
];

/// Reads a text as each kind, and has what comes of it checked.
fn survives(text: &str) {
    for kind in Kind::value_variants() {
        if let Ok(setup) = read(*kind, text, Path::new("/nowhere/file")) {
            let written = writer::write(&setup, "file");
            let _ = mistakes(&written);
        }
    }
    let _ = kind::of(Path::new("file"), text);
}

#[test]
fn no_text_ends_the_process() {
    let mut rng = SmallRng::seed_from_u64(18);
    for (kind, text) in FILES {
        assert!(read(*kind, text, Path::new("/nowhere/file")).is_ok());
        for _ in 0..150 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..rng.random_range(1..8) {
                if bytes.len() < 2 {
                    break;
                }
                let at = rng.random_range(0..bytes.len());
                let marks = b"{}[]();:,'\"\\$#\n=-~/ *|&<>0\xc3\xa9";
                match rng.random_range(0..4) {
                    0 => bytes[at] = marks[rng.random_range(0..marks.len())],
                    1 => bytes.insert(at, marks[rng.random_range(0..marks.len())]),
                    2 => _ = bytes.remove(at),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            survives(&String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn the_kind_of_a_file_is_told_by_its_name_or_its_text() {
    for (name, text, expected) in [
        ("nginx.conf", "", Some(Kind::Nginx)),
        ("app", "# site\nserver {\n", Some(Kind::Nginx)),
        ("notes.txt", "hello", None),
    ] {
        assert_eq!(kind::of(Path::new(name), text), expected, "{name}");
    }
}
