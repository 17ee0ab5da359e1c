//! nginx's text → words, `;`, `{` and `}`, each with its line. Decides where a word ends; called by [`super::tree`]; never knows a directive.

use std::iter::Peekable;
use std::str::Chars;

/// A piece of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Semicolon,
    Open,
    Close,
}

/// The tokens of a text, with their lines.
pub(super) struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // Editors of another system begin a text with a byte order mark.
        Self { rest: text.trim_start_matches('\u{feff}').chars().peekable(), line: 1 }
    }

    /// The next token and its line; the error is a quotation mark that has no other.
    pub(super) fn next(&mut self) -> Result<Option<(Token, usize)>, usize> {
        loop {
            match self.rest.peek() {
                None => return Ok(None),
                Some('#') => while self.take().is_some_and(|character| character != '\n') {},
                Some(character) if character.is_whitespace() => _ = self.take(),
                Some(_) => break,
            }
        }
        let line = self.line;
        let token = match self.rest.peek() {
            Some(';') => Token::Semicolon,
            Some('{') => Token::Open,
            Some('}') => Token::Close,
            Some(&mark @ ('"' | '\'')) => return self.quoted(mark).map(|word| Some((Token::Word(word), line))),
            _ => return Ok(Some((Token::Word(self.word()), line))),
        };
        self.take();
        Ok(Some((token, line)))
    }

    /// Passes over what stands in another language up to the `}` that belongs to a `{` just read; `false`: there is none.
    pub(super) fn skip_block(&mut self) -> bool {
        let mut depth = 1_usize;
        while let Some(character) = self.take() {
            match character {
                '{' => depth += 1,
                '}' if depth == 1 => return true,
                '}' => depth -= 1,
                '"' | '\'' => self.skip_text(character),
                // A comment of Lua.
                '-' if self.rest.peek() == Some(&'-') => while self.take().is_some_and(|other| other != '\n') {},
                _ => {}
            }
        }
        false
    }

    fn skip_text(&mut self, mark: char) {
        while let Some(character) = self.take() {
            match character {
                '\\' => _ = self.take(),
                '\n' => return,
                other if other == mark => return,
                _ => {}
            }
        }
    }

    fn quoted(&mut self, mark: char) -> Result<String, usize> {
        let line = self.line;
        self.take();
        let mut word = String::new();
        while let Some(character) = self.take() {
            match character {
                '\\' => escaped(&mut word, self.take()),
                other if other == mark => return Ok(word),
                other => word.push(other),
            }
        }
        Err(line)
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(&character) = self.rest.peek() {
            // `${name}` is a variable, and its brace opens no block.
            let is_variable = character == '{' && word.ends_with('$');
            if character.is_whitespace() || character == ';' || (character == '{' && !is_variable) {
                break;
            }
            self.take();
            match character {
                '\\' => escaped(&mut word, self.take()),
                other => word.push(other),
            }
        }
        word
    }

    fn take(&mut self) -> Option<char> {
        let character = self.rest.next();
        self.line += usize::from(character == Some('\n'));
        character
    }
}

/// What a backslash and the character behind it mean; what has no meaning stays, for regular expressions have it.
fn escaped(word: &mut String, character: Option<char>) {
    match character {
        Some(mark @ ('"' | '\'' | '\\')) => word.push(mark),
        Some('t') => word.push('\t'),
        Some('r') => word.push('\r'),
        Some('n') => word.push('\n'),
        Some(other) => word.extend(['\\', other]),
        None => word.push('\\'),
    }
}
