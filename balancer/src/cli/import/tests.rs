//! Every format: whatever its file holds, a reader says something and never ends the process.

use std::path::Path;

use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// The files that the program is tested with.
const FILES: &[(Format, &str)] = &[
    (Format::Nginx, include_str!("../../../tests/import/nginx/article.conf")),
    (Format::Nginx, include_str!("../../../tests/import/nginx/rails.conf")),
    (Format::Nginx, include_str!("../../../tests/import/nginx/services.conf")),
    (Format::Nginx, include_str!("../../../tests/import/nginx/containers.conf")),
    (Format::Procfile, include_str!("../../../tests/import/procfile/Procfile")),
    (Format::Pm2, include_str!("../../../tests/import/pm2/ecosystem.config.js")),
    (Format::Pm2, include_str!("../../../tests/import/pm2/processes.json")),
    (Format::Supervisord, include_str!("../../../tests/import/supervisord/supervisord.conf")),
    (Format::Compose, include_str!("../../../tests/import/compose/docker-compose.yml")),
    (Format::Compose, include_str!("../../../tests/import/compose/front.yml")),
];

/// Reads a text as each kind, and has what comes of it checked.
fn survives(text: &str) {
    for kind in Format::value_variants() {
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
        ("nginx.conf", "", Some(Format::Nginx)),
        ("app", "# site\nserver {\n", Some(Format::Nginx)),
        ("Procfile.dev", "", Some(Format::Procfile)),
        ("processes", "web: a\n", Some(Format::Procfile)),
        ("ecosystem.config.cjs", "", Some(Format::Pm2)),
        ("apps.json", "{\"apps\": [{\"script\": \"a.js\"}]}", Some(Format::Pm2)),
        ("supervisord.conf", "", Some(Format::Supervisord)),
        ("site.ini", "; site\n[program:a]\n", Some(Format::Supervisord)),
        ("compose.prod.yaml", "", Some(Format::Compose)),
        ("stack.yml", "services:\n", Some(Format::Compose)),
        ("package.json", "{\"name\": \"a\"}", None),
        ("app.service", "[Service]\nExecStart=a\n", None),
        ("notes.txt", "hello", None),
    ] {
        assert_eq!(kind::of(Path::new(name), text), expected, "{name}");
    }
}
