//! The mistakes of a file, as the operator reads them. Decides how a mistake looks; called by [`crate::config::parse`], which
//! fills it, and by whoever prints it; never decides what a mistake is.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Every mistake of one file, in the order of their places; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    origin: String,
    text: String,
    mistakes: Vec<Diagnostic>,
}

/// One mistake and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Line of the first wrong character, from 1.
    pub line: usize,
    /// Column of the first wrong character, in characters from 1.
    pub column: usize,
    /// Bytes of the wrong text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl Diagnostics {
    /// `mistakes` are bytes of `text`, message, help; `origin` is the file's name as the operator wrote it.
    pub(in crate::config) fn new(
        origin: &str,
        text: &str,
        mistakes: impl IntoIterator<Item = (Range<usize>, String, String)>,
    ) -> Self {
        let lines = LineStarts::new(text);
        let place = |(span, message, help): (Range<usize>, String, String)| {
            let span = clamp(text, span);
            let (line, column) = lines.position(span.start);
            Diagnostic { line, column, span, message, help }
        };
        let mut mistakes: Vec<_> = mistakes.into_iter().map(place).collect();
        mistakes.sort_by(|a, b| (a.span.start, &a.message).cmp(&(b.span.start, &b.message)));
        Self { origin: origin.to_owned(), text: text.to_owned(), mistakes }
    }

    /// The mistakes, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.mistakes.iter()
    }

    /// All of them (a hundred at most) as text: place, line with the wrong text underlined, help; then `lb.toml: 3 mistakes`. Ends without
    /// a line break.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for mistake in self.mistakes.iter().take(SHOWN_MAX) {
            // Only the line of the mistake, so that the cost does not grow with lines times mistakes.
            let start = self.text[..mistake.span.start].rfind('\n').map_or(0, |at| at + 1);
            let line = self.text[start..].lines().next().unwrap_or_default();
            let span = mistake.span.start - start..(mistake.span.end - start).min(line.len());
            let snippet = Snippet::source(line)
                .line_start(mistake.line)
                .path(self.origin.as_str())
                .annotation(AnnotationKind::Primary.span(span.start.min(line.len())..span.end.max(span.start)));
            let group = Level::ERROR.primary_title(mistake.message.as_str()).element(snippet);
            let group = group.element(Level::HELP.message(mistake.help.as_str()));
            out.push_str(&renderer.render(&[group]));
            out.push_str("\n\n");
        }
        if let Some(more) = self.mistakes.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
            out.push_str(&format!("the other {more} are not shown\n\n"));
        }
        let plural = if self.mistakes.len() == 1 { "" } else { "s" };
        out.push_str(&format!("{}: {} mistake{plural}", self.origin, self.mistakes.len()));
        out
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// `text` as the file would hold it.
pub(in crate::config) fn quote_toml(text: &str) -> String {
    format!("\"{}\"", text.escape_debug().to_string().replace("\\'", "'"))
}

/// Text of the file between backticks, on one line and of bounded length, safe on a terminal.
pub(in crate::config) fn quote(text: &str) -> String {
    if text.is_empty() {
        return "the empty text".to_owned();
    }
    let mut shown: String = text.chars().take(QUOTED_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED_MAX).is_some() {
        shown.push('…');
    }
    // Quotation marks are harmless; escaped they would not look as they do in the file.
    format!("`{}`", shown.replace("\\\"", "\"").replace("\\'", "'"))
}

/// Where the lines of a text begin, so that a place is found without counting from its start.
pub(super) struct LineStarts<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> LineStarts<'a> {
    pub(in crate::config) fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { text, starts: std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect() }
    }

    /// The line of byte `at`, from 1.
    pub(in crate::config) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    /// Line and column of byte `at`, both from 1; the column counts characters.
    pub(super) fn position(&self, at: usize) -> (usize, usize) {
        let line = self.line(at);
        // The first line starts at 0, so every byte has a line.
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(start..self.text.floor_char_boundary(at)).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

/// Moves both ends of `span` down to where a character of `text` begins, as slicing there must not panic.
fn clamp(text: &str, span: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    start..text.floor_char_boundary(span.end).max(start)
}

/// Mistakes shown at most: with more, the file is something else than a configuration.
const SHOWN_MAX: usize = 100;

/// Characters of the file that a message repeats at most; the line itself is shown below it.
const QUOTED_MAX: usize = 60;
