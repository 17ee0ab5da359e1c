//! supervisord's text → sections of keys. Decides where a value ends; called by [`super`]; never knows a key.

use std::rc::Rc;

use crate::cli::import::setup::{FileLine, Unreadable, shortened};

/// `[program:app]` and what stands below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IniSection {
    /// `program:app`.
    pub(super) name: String,
    pub(super) place: FileLine,
    pub(super) entries: Vec<IniEntry>,
}

/// `key=value`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IniEntry {
    /// In lower case.
    pub(super) key: String,
    /// Without comments; lines of it are apart by a line break.
    pub(super) value: String,
    pub(super) place: FileLine,
}

impl IniSection {
    pub(super) fn get(&self, key: &str) -> Option<&IniEntry> {
        // The last one counts.
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).map(|entry| entry.value.as_str())
    }
}

/// Reads a text; `file` is what it is called.
pub(super) fn read(text: &str, file: &Rc<str>) -> Result<Vec<IniSection>, Unreadable> {
    let mut sections: Vec<IniSection> = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let place = FileLine { file: Rc::clone(file), line: index + 1 };
        let is_continued = line.starts_with([' ', '\t']);
        let bare = without_comment(line);
        if bare.is_empty() {
            continue;
        }
        if let Some(name) = bare.strip_prefix('[').filter(|_| !is_continued) {
            let Some(name) = name.strip_suffix(']') else {
                return Err(Unreadable { place, message: format!("`{}` has no `]`", shortened(bare)) });
            };
            sections.push(IniSection { name: name.trim().to_owned(), place, entries: Vec::new() });
            continue;
        }
        let Some(section) = sections.last_mut() else {
            let message = format!("`{}` stands above the first [section]", shortened(bare));
            return Err(Unreadable { place, message });
        };
        if let Some(last) = section.entries.last_mut().filter(|_| is_continued) {
            last.value.push('\n');
            last.value.push_str(bare);
            continue;
        }
        let Some((key, value)) = bare.split_once(['=', ':']) else {
            return Err(Unreadable { place, message: format!("`{}` is no `key=value`", shortened(bare)) });
        };
        section.entries.push(IniEntry { key: key.trim().to_ascii_lowercase(), value: value.trim().to_owned(), place });
    }
    Ok(sections)
}

/// A line without white space around it and without a comment: one of its own, or one behind ` ;`.
fn without_comment(line: &str) -> &str {
    let bare = line.trim();
    if bare.starts_with([';', '#']) {
        return "";
    }
    bare.split(" ;").next().unwrap_or_default().split("\t;").next().unwrap_or_default().trim_end()
}
