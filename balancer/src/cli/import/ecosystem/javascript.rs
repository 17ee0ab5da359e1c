//! The literal value in `module.exports = …`, or that of a JSON file. Decides what of JavaScript is a value that can be read without running it;
//! called by [`super`]; never knows a key.

use std::rc::Rc;

use super::literal::{Literal, LiteralNode};
use crate::cli::import::setup::{FileLine, Unreadable};

/// Reads a text; `file` is what it is called.
pub(super) fn read(text: &str, file: &Rc<str>) -> Result<LiteralNode, Unreadable> {
    let mut reader = ModuleReader { rest: text.trim_start_matches('\u{feff}'), line: 1, file };
    if !reader.begins_a_value()? {
        reader.find_exports()?;
    }
    let node = reader.value(0)?;
    reader.blank()?;
    match reader.rest.trim_start_matches([';', ' ', '\n', '\r', '\t']) {
        "" => Ok(node),
        rest if rest.starts_with("//") || rest.starts_with("/*") => Ok(node),
        rest => Err(reader.computed(rest)),
    }
}

struct ModuleReader<'a> {
    rest: &'a str,
    line: usize,
    file: &'a Rc<str>,
}

impl<'a> ModuleReader<'a> {
    /// Whether the text is a value from its beginning, as JSON is.
    fn begins_a_value(&mut self) -> Result<bool, Unreadable> {
        self.blank()?;
        Ok(self.rest.starts_with(['{', '[']))
    }

    /// Passes over what stands before `module.exports =`, where that is nothing but comments and `'use strict'`.
    fn find_exports(&mut self) -> Result<(), Unreadable> {
        loop {
            self.blank()?;
            let begin = ["module.exports", "exports.default", "export default"]
                .into_iter()
                .find(|begin| self.rest.starts_with(begin));
            if let Some(begin) = begin {
                self.skip(begin.len());
                self.blank()?;
                if self.rest.starts_with('=') {
                    self.skip(1);
                }
                return self.blank();
            }
            let strict = ["'use strict'", "\"use strict\""].into_iter().find(|begin| self.rest.starts_with(begin));
            match strict {
                Some(strict) => self.skip(strict.len()),
                None if self.rest.starts_with(';') => self.skip(1),
                None if self.rest.is_empty() => {
                    return Err(self.mistake("there is no `module.exports = {…}` in it".to_owned()));
                }
                None => return Err(self.computed(self.rest)),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<LiteralNode, Unreadable> {
        self.blank()?;
        if depth == DEPTH_MAX {
            return Err(self.mistake(format!("more than {DEPTH_MAX} values in each other")));
        }
        let line = self.line;
        let value = match self.rest.chars().next() {
            Some('{') => self.object(depth)?,
            Some('[') => self.list(depth)?,
            Some(mark @ ('"' | '\'' | '`')) => Literal::Text(self.quoted(mark)?),
            Some(first) if first.is_ascii_digit() || "+-.".contains(first) => self.number()?,
            Some(_) => self.word()?,
            None => return Err(self.mistake("a value is missing at the end".to_owned())),
        };
        self.blank()?;
        // `'a' + b`, `x ? y : z`, `[].concat(…)`.
        match self.rest.chars().next() {
            None | Some(',' | '}' | ']' | ';') => Ok(LiteralNode { value, line }),
            Some(_) if depth == 0 => Ok(LiteralNode { value, line }),
            Some(_) => Err(self.computed(self.rest)),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Literal, Unreadable> {
        let begun = self.line;
        self.skip(1);
        let mut entries = Vec::new();
        loop {
            self.blank()?;
            match self.rest.chars().next() {
                Some('}') => {
                    self.skip(1);
                    return Ok(Literal::Object(entries));
                }
                None => return Err(self.unclosed('{', begun)),
                Some(_) => {}
            }
            let key = match self.rest.chars().next() {
                Some(mark @ ('"' | '\'')) => self.quoted(mark)?,
                _ => self.name().ok_or_else(|| self.computed(self.rest))?,
            };
            self.blank()?;
            if !self.rest.starts_with(':') {
                // `{ name }`, `run() { … }`.
                return Err(self.computed(&format!("{key} {}", self.rest)));
            }
            self.skip(1);
            let node = self.value(depth + 1)?;
            entries.push((key, node));
            self.comma('{', begun)?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Literal, Unreadable> {
        let begun = self.line;
        self.skip(1);
        let mut nodes = Vec::new();
        loop {
            self.blank()?;
            match self.rest.chars().next() {
                Some(']') => {
                    self.skip(1);
                    return Ok(Literal::List(nodes));
                }
                None => return Err(self.unclosed('[', begun)),
                Some(_) => nodes.push(self.value(depth + 1)?),
            }
            self.comma('[', begun)?;
        }
    }

    /// A comma, or the end.
    fn comma(&mut self, open: char, begun: usize) -> Result<(), Unreadable> {
        self.blank()?;
        match self.rest.chars().next() {
            Some(',') => self.skip(1),
            Some('}' | ']') => {}
            None => return Err(self.unclosed(open, begun)),
            Some(_) => return Err(self.computed(self.rest)),
        }
        Ok(())
    }

    fn quoted(&mut self, mark: char) -> Result<String, Unreadable> {
        let begun = self.line;
        self.skip(1);
        let mut text = String::new();
        loop {
            let Some(character) = self.rest.chars().next() else {
                return Err(Unreadable {
                    place: self.place(begun),
                    message: "a quotation mark of this line has no other".to_owned(),
                });
            };
            if mark == '`' && self.rest.starts_with("${") {
                return Err(self.computed(self.rest));
            }
            self.skip(character.len_utf8());
            match character {
                '\\' => self.escape(&mut text)?,
                '\n' if mark != '`' => {
                    return Err(Unreadable {
                        place: self.place(begun),
                        message: "a quotation mark of this line has no other".to_owned(),
                    });
                }
                other if other == mark => return Ok(text),
                other => text.push(other),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), Unreadable> {
        let Some(character) = self.rest.chars().next() else { return Ok(()) };
        self.skip(character.len_utf8());
        match character {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            '\n' => {}
            'u' => {
                let digits = self.rest.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let Some(character) = digits.and_then(char::from_u32) else {
                    return Err(self.mistake("behind `\\u` come four digits".to_owned()));
                };
                self.skip(4);
                text.push(character);
            }
            other => text.push(other),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Literal, Unreadable> {
        let end =
            self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-._".contains(c)).unwrap_or(self.rest.len());
        let text: String = self.rest[..end].chars().filter(|character| *character != '_').collect();
        if text.parse::<f64>().is_err() {
            return Err(self.computed(self.rest));
        }
        self.skip(end);
        Ok(Literal::Number(text.trim_start_matches('+').to_owned()))
    }

    fn word(&mut self) -> Result<Literal, Unreadable> {
        let before = self.rest;
        let value = match self.name().as_deref() {
            Some("true") => Literal::Flag(true),
            Some("false") => Literal::Flag(false),
            Some("null" | "undefined") => Literal::Nothing,
            _ => return Err(self.computed(before)),
        };
        Ok(value)
    }

    fn name(&mut self) -> Option<String> {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(self.rest.len());
        let name = self.rest[..end].to_owned();
        self.skip(end);
        (!name.is_empty()).then_some(name)
    }

    /// White space and comments.
    fn blank(&mut self) -> Result<(), Unreadable> {
        loop {
            let end = self.rest.find(|c: char| !c.is_whitespace()).unwrap_or(self.rest.len());
            self.skip(end);
            if self.rest.starts_with("//") || self.rest.starts_with("#!") {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                let Some(end) = self.rest.find("*/") else { return Err(self.mistake("`/*` is not closed".to_owned())) };
                self.skip(end + 2);
            } else {
                return Ok(());
            }
        }
    }

    /// Passes over bytes that end with a character.
    fn skip(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += taken.matches('\n').count();
        self.rest = rest;
    }

    fn unclosed(&self, open: char, begun: usize) -> Unreadable {
        Unreadable { place: self.place(begun), message: format!("`{open}` is not closed") }
    }

    /// What only running the file tells.
    fn computed(&self, text: &str) -> Unreadable {
        let shown: String = text.lines().next().unwrap_or_default().trim_end().chars().take(40).collect();
        let file = self.file;
        let module = if file.starts_with(['/', '.']) { file.to_string() } else { format!("./{file}") };
        self.mistake(format!(
            "`{shown}` is computed, and nothing is run here. Let node write the values down: \
             node -p \"JSON.stringify(require('{module}'))\" > ecosystem.config.json, and import that"
        ))
    }

    fn mistake(&self, message: String) -> Unreadable {
        Unreadable { place: self.place(self.line), message }
    }

    fn place(&self, line: usize) -> FileLine {
        FileLine { file: Rc::clone(self.file), line }
    }
}

/// Real files have five; each takes a piece of our stack.
const DEPTH_MAX: usize = 32;
