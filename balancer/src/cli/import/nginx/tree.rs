//! Tokens → directives, in each other as their braces are. Decides whether a text is nginx's at all; called by [`super::include`]; never
//! knows what a directive means.

use std::rc::Rc;

use super::lexer::{Lexer, Token};
use crate::cli::import::setup::{FileLine, Unreadable, shortened};

/// A directive: `listen 80 default_server;`, or one with a block.
#[derive(Debug, Clone)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) args: Vec<String>,
    /// What stands between its braces.
    pub(super) block: Option<Vec<Directive>>,
    pub(super) place: FileLine,
}

impl Directive {
    /// An argument, or the empty text.
    pub(super) fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    /// What stands between its braces, or nothing.
    pub(super) fn children(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// As it stands in the file, on one line and not too long.
    pub(super) fn shown(&self) -> String {
        let words = std::iter::once(&self.name).chain(&self.args);
        shortened(&words.map(String::as_str).collect::<Vec<_>>().join(" "))
    }
}

/// The directives of a text; `file` is what it is called.
pub(super) fn read(text: &str, file: &Rc<str>) -> Result<Vec<Directive>, Unreadable> {
    let mut reader = TreeReader { lexer: Lexer::new(text), file, open: Vec::new() };
    reader.block()
}

struct TreeReader<'a> {
    lexer: Lexer<'a>,
    file: &'a Rc<str>,
    /// The blocks we are in: how each begins, and where.
    open: Vec<(String, usize)>,
}

impl TreeReader<'_> {
    /// Directives up to the end of the block, or of the text at the top.
    fn block(&mut self) -> Result<Vec<Directive>, Unreadable> {
        let mut directives = Vec::new();
        loop {
            match self.token()? {
                None => {
                    let Some((name, line)) = self.open.last() else { return Ok(directives) };
                    let others = match self.open.len() {
                        1 => String::new(),
                        2 => ", nor is the block around it".to_owned(),
                        count => format!(", nor are the {} blocks around it", count - 1),
                    };
                    return Err(self.mistake(*line, format!("`{name} {{` is not closed{others}: add the `}}`")));
                }
                Some((Token::Close, line)) => match self.open.pop() {
                    Some(_) => return Ok(directives),
                    None => return Err(self.mistake(line, "this `}` closes nothing".to_owned())),
                },
                Some((Token::Word(name), line)) => directives.push(self.directive(name, line)?),
                Some((Token::Semicolon, _)) => {}
                Some((Token::Open, line)) => {
                    return Err(self.mistake(line, "this `{` has no name in front of it".to_owned()));
                }
            }
        }
    }

    fn directive(&mut self, name: String, line: usize) -> Result<Directive, Unreadable> {
        let place = FileLine { file: Rc::clone(self.file), line };
        let mut directive = Directive { name, args: Vec::new(), block: None, place };
        loop {
            match self.token()? {
                Some((Token::Word(word), _)) => directive.args.push(word),
                Some((Token::Semicolon, _)) => return Ok(directive),
                Some((Token::Open, _)) if directive.name.ends_with("_by_lua_block") => {
                    if !self.lexer.skip_block() {
                        return Err(self.mistake(line, format!("`{} {{` is not closed", directive.name)));
                    }
                    directive.block = Some(Vec::new());
                    return Ok(directive);
                }
                Some((Token::Open, _)) => {
                    if self.open.len() == DEPTH_MAX {
                        return Err(self.mistake(line, format!("more than {DEPTH_MAX} blocks in each other")));
                    }
                    self.open.push((directive.shown(), line));
                    directive.block = Some(self.block()?);
                    return Ok(directive);
                }
                Some((Token::Close, _)) | None => {
                    return Err(self.mistake(line, format!("there is no `;` behind `{}`", directive.shown())));
                }
            }
        }
    }

    fn token(&mut self) -> Result<Option<(Token, usize)>, Unreadable> {
        let token = self.lexer.next();
        token.map_err(|line| self.mistake(line, "a quotation mark of this line has no other".to_owned()))
    }

    fn mistake(&self, line: usize, message: String) -> Unreadable {
        Unreadable { place: FileLine { file: Rc::clone(self.file), line }, message }
    }
}

/// Real files have five; each takes a piece of our stack.
const DEPTH_MAX: usize = 32;
