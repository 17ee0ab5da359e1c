//! The file that goes with the program: it shows every key, and what is made of it by chance is refused with a place.

use std::collections::BTreeSet;
use std::fs;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::tcp;
use crate::config::syntax::document;
use crate::config::syntax::findings::Findings;
use crate::config::tables::admin;
use crate::config::{Config, Diagnostics, Pool, Workers, parse, top};

pub(super) const EXAMPLE: &str = include_str!("../../../../deploy/lb.example.toml");

#[test]
fn the_example_shows_the_defaults() {
    let workers = Workers::new(["balancer", "backend", "{port}"].map(str::to_owned).to_vec());
    let pool = Pool { workers: Some(workers), ..Pool::new("app") };
    assert_eq!(parse(EXAMPLE, "example").unwrap(), Config::new(tcp("127.0.0.1:8080"), pool));
}

#[test]
fn the_example_shows_every_key_and_each_of_its_comments_works() {
    let app = std::env::temp_dir().join(format!("balancer-example-{}", std::process::id()));
    fs::create_dir_all(app.join("state")).unwrap();
    fs::write(app.join("app.env"), "MODE=fast\n").unwrap();
    fs::write(app.join("token"), "3Kq9-a-long-random-word\n").unwrap();
    // A table excludes the plain address, so a comment shows it.
    let table =
        EXAMPLE.lines().find_map(|line| Some(&line[line.find("{ address = \"unix:")?..=line.find('}')?])).unwrap();
    let text = uncommented(EXAMPLE).replace("/srv/app", app.to_str().unwrap()).replace(
        "listen = \"127.0.0.1:8080\"",
        &format!("listen = [\"127.0.0.1:8080\", \"tls:127.0.0.1:8443\", {}]", table.replace("www-data", "0")),
    );

    let findings = Findings::default();
    let config = top::read(&document::read(&text, &findings), &findings, admin::Secrets::Checked);
    let keys = findings.keys();
    let mistakes = findings.into_mistakes(&text, top::keys);
    assert!(mistakes.is_empty(), "{}", Diagnostics::new("example", &text, mistakes));
    assert_eq!(config.pools.len(), 2, "the commented pool is read");

    assert!(keys.keys().eq(top::keys().keys()), "a table that the example lacks, or that `keys` lacks");

    // The alternatives of `ready` exclude each other, so a comment shows them; so it does what every question may have.
    let shown = |key: &str| ["{", ","].iter().any(|before| EXAMPLE.contains(&format!("{before} {key} = ")));
    let absent: Vec<_> = keys.iter().filter(|((_, key), found)| !**found && !shown(key)).collect();
    assert!(absent.is_empty(), "{absent:?}");
    let tables: BTreeSet<_> = keys.keys().map(|(table, _)| *table).collect();
    let expected = [
        "",
        "access_log",
        "admin",
        "listen",
        "pool.NAME",
        "pool.NAME.affinity",
        "pool.NAME.endpoints",
        "pool.NAME.probe",
        "pool.NAME.tls",
        "pool.NAME.workers",
        "pool.NAME.workers.backoff",
        "pool.NAME.workers.ready",
        "pool.NAME.workers.warm_up",
        "route",
        "tls",
        "tls.certificates",
        "tls.eab",
    ];
    assert_eq!(tables.into_iter().collect::<Vec<_>>(), expected);
    fs::remove_dir_all(&app).unwrap();
}

#[test]
fn every_key_of_the_example_says_why_it_is_there() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for pair in lines.windows(2) {
        let bare = uncommented(pair[1]);
        let is_key = bare.trim_end().contains(" = ") && !pair[1].starts_with("# ");
        let follows = pair[0].starts_with('#') || pair[0].contains(" = ");
        assert!(!is_key || follows, "nothing above {:?}", pair[1]);
        assert!(pair[1].len() <= 140, "too long: {:?}", pair[1]);
    }
}

/// The file with every example line made a live one; `# ` begins prose.
fn uncommented(text: &str) -> String {
    let bare = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest.to_owned() + "\n",
        _ => line.to_owned() + "\n",
    };
    text.lines().map(bare).collect()
}

#[test]
fn no_mutation_of_the_example_panics_and_every_refusal_has_its_place() {
    let mut rng = SmallRng::seed_from_u64(2);
    let sources = [EXAMPLE.to_owned(), uncommented(EXAMPLE)].map(|text| without_prose(&text));
    let bits = [
        "\"",
        "[",
        "]",
        "{",
        "}",
        "=",
        "\n",
        "#",
        "é",
        "\0",
        ".",
        "-1",
        "99999999999999999999",
        "'''",
        "\u{feff}",
        "\r",
    ];
    let mut refused = 0;
    for round in 0..20_000 {
        let mut bytes = sources[round % 2].clone().into_bytes();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bytes.len());
            let end = (at + rng.random_range(1..12)).min(bytes.len());
            match rng.random_range(0..4) {
                0 => drop(bytes.drain(at..end)),
                1 => {
                    let piece = bytes[at..end].to_vec();
                    let to = rng.random_range(0..bytes.len());
                    bytes.splice(to..to, piece);
                }
                2 => bytes[at] = rng.random(),
                _ => drop(bytes.splice(at..at, bits[rng.random_range(0..bits.len())].bytes())),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Err(diagnostics) = parse(&text, "lb.toml") {
            refused += 1;
            assert!(diagnostics.iter().next().is_some());
            // One in ten is rendered: that is the slow half.
            if round % 10 == 0 {
                let rendered = diagnostics.render(round % 20 == 0);
                for mistake in diagnostics.iter() {
                    assert!(!mistake.message.is_empty() && !mistake.help.is_empty(), "{rendered}");
                    let place = format!("lb.toml:{}:", mistake.line);
                    assert!(rendered.contains(&place), "{place} in {rendered}");
                }
            }
        }
    }
    assert!(refused > 10_000, "mutations rarely leave a right file: {refused}");
}

/// Mutations of prose prove nothing.
fn without_prose(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("# ") && !line.is_empty()).map(|line| line.to_owned() + "\n").collect()
}
