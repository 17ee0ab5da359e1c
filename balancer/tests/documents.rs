//! The documents of the repository against its files: what they link to is there, and none grows beyond its size.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let pages = pages();
    assert!(pages.len() > 15, "{}", pages.len());
    let mut dead = Vec::new();
    for (page, text) in &pages {
        for target in links(text) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let place = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let found = match (place.canonicalize(), anchor) {
                (Err(_), _) => false,
                (Ok(_), "") => true,
                (Ok(place), anchor) => fs::read_to_string(place).is_ok_and(|text| anchors(&text).contains(anchor)),
            };
            if !found {
                dead.push(format!("{}: {target}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn every_path_that_a_document_of_the_code_names_is_there() {
    let folders = ["balancer/src", "balancer/src/supervise", "balancer", "", "docs"].map(|folder| root().join(folder));
    let pages = pages().into_iter().filter(|(page, _)| {
        page.ends_with("balancer/ARCHITECTURE.md")
            || page.strip_prefix(root().join("docs")).is_ok_and(|page| page.components().count() > 1)
    });
    let mut gone = Vec::new();
    for (page, text) in pages {
        for line in text.lines() {
            // In the table of rooms, the first cell is the folder of the others.
            let first = line.strip_prefix("| `").and_then(|rest| rest.split_once('`')).map(|(cell, _)| cell);
            let room = first.filter(|cell| cell.ends_with('/')).map_or(PathBuf::new(), PathBuf::from);
            for name in line.split('`').skip(1).step_by(2).filter(|name| is_path(name)) {
                let places = folders.iter().flat_map(|folder| [folder.join(name), folder.join(&room).join(name)]);
                if !places.into_iter().any(|place| place.exists()) {
                    gone.push(format!("{}: {name}", page.strip_prefix(root()).unwrap().display()));
                }
            }
        }
    }
    assert!(gone.is_empty(), "{gone:#?}");
}

#[test]
fn every_path_that_a_comment_of_the_code_names_is_there() {
    let mut files = Vec::new();
    ["balancer/src", "backend/src"].into_iter().for_each(|folder| source_files(&root().join(folder), &mut files));
    assert!(files.len() > 200, "{}", files.len());
    let folders = ["", "docs", "balancer", "balancer/src", "backend", "backend/src"].map(|folder| root().join(folder));
    let mut gone = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let comments = text.lines().map(str::trim_start).filter(|line| line.starts_with("//"));
        let names = comments.flat_map(|line| line.split('`').skip(1).step_by(2));
        for name in names.filter(|name| is_path(name) && !name.ends_with(".toml")) {
            let beside = file.parent().unwrap().join(name);
            if !beside.exists() && !folders.iter().any(|folder| folder.join(name).exists()) {
                gone.push(format!("{}: {name}", file.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(gone.is_empty(), "{gone:#?}");
}

fn source_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// A file of the repository, or a folder: `forward/retry.rs`, `pick/`.
fn is_path(name: &str) -> bool {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let ends = [".rs", ".md", ".toml", "/"].iter().any(|end| name.ends_with(end));
    plain && ends && !name.starts_with('/') && !matches!(name, "lb.toml" | "mod.rs")
}

#[test]
fn every_page_of_the_manual_is_linked_from_the_readme_and_every_other_from_a_page() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let linked = links(&readme);
    let lost: Vec<_> = manual().into_keys().filter(|page| !linked.contains(&format!("docs/{page}"))).collect();
    assert!(lost.is_empty(), "{lost:?}");

    let pages = pages();
    let linked: Vec<PathBuf> = pages
        .iter()
        .flat_map(|(page, text)| links(text).into_iter().map(|target| page.parent().unwrap().join(target)))
        .filter_map(|target| PathBuf::from(target.to_str().unwrap().split('#').next().unwrap()).canonicalize().ok())
        .collect();
    let lost: Vec<_> =
        pages.iter().filter(|(page, _)| page.starts_with(root().join("docs")) && !linked.contains(page)).collect();
    assert!(lost.is_empty(), "{:?}", lost.iter().map(|(page, _)| page).collect::<Vec<_>>());
}

#[test]
fn pages_stay_as_short_as_promised() {
    let lines = |text: &str| text.lines().count();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(lines(&readme) <= 150, "README.md has {} lines", lines(&readme));
    let architecture = fs::read_to_string(root().join("balancer/ARCHITECTURE.md")).unwrap();
    assert!(lines(&architecture) <= 150, "ARCHITECTURE.md has {} lines", lines(&architecture));
    for (page, text) in manual() {
        assert!(lines(&text) <= 300, "{page} has {} lines", lines(&text));
    }
}

/// The pages directly in `docs/`, by name.
fn manual() -> BTreeMap<String, String> {
    let folder = root().join("docs");
    let pages = pages().into_iter().filter(|(page, _)| page.parent() == Some(&folder));
    pages.map(|(page, text)| (page.file_name().unwrap().to_str().unwrap().to_owned(), text)).collect()
}

/// Every Markdown file of the repository.
fn pages() -> Vec<(PathBuf, String)> {
    let (mut folders, mut pages) = (vec![root()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            // What is built and what git keeps is nobody's page; what others install beside their app neither.
            if path.is_dir() && !["target", ".git", "node_modules"].contains(&name) {
                folders.push(path);
            } else if name.ends_with(".md") {
                pages.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    pages
}

/// The targets of links and pictures within the repository.
fn links(text: &str) -> Vec<String> {
    let prose = without_code(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).map(str::to_owned).collect()
}

/// What may stand behind `#`: headings as GitHub names them, and `<a id="…">`.
fn anchors(text: &str) -> std::collections::BTreeSet<String> {
    let mut fenced = false;
    let mut anchors: std::collections::BTreeSet<String> = Default::default();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if !fenced && let Some(heading) = line.strip_prefix('#') {
            let heading = heading.trim_start_matches('#').trim();
            // Of a link, only its text counts.
            let heading = heading.split("](").map(|part| part.rsplit(')').next().unwrap_or(part)).collect::<String>();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            anchors.insert(kept.collect::<String>().to_lowercase().replace(' ', "-"));
        }
    }
    let named = text.split("<a id=\"").skip(1).filter_map(|rest| rest.split_once('"'));
    anchors.extend(named.map(|(name, _)| name.to_owned()));
    anchors
}

/// Without fenced blocks and code spans, in which brackets mean something else.
fn without_code(text: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if !fenced {
            prose.extend(line.split('`').step_by(2));
            prose.push('\n');
        }
    }
    prose
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
