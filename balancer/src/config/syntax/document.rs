//! Text → TOML. Decides how the parser's complaints are put to the operator; called by [`crate::config::parse`]; never judges a
//! key or a value.

use toml::Spanned;
use toml::de::{DeTable, Error};

use super::diagnostics::{LineStarts, quote, quote_toml};
use super::findings::Findings;
use super::span::Span;

/// The tree of `text`, as far as it can be told; what cannot is noted in `findings`.
pub(in crate::config) fn read<'a>(text: &'a str, findings: &Findings) -> Spanned<DeTable<'a>> {
    let (tree, errors) = DeTable::parse_recoverable(text);
    let place = |error: &Error| {
        let span = error.span().unwrap_or(0..0);
        text.floor_char_boundary(span.start)..text.ceil_char_boundary(span.end)
    };
    let errors = errors.iter().map(|error| (place(error), error.message())).collect();
    let mut errors = collapse(text, errors, findings);
    errors.sort_by_key(|(span, _)| span.start);

    let lines = LineStarts::new(text);
    let mut last_line = 0;
    for (span, message) in errors {
        // What follows on the same line is most often the first one's echo.
        let line = lines.line(span.start);
        if line != last_line {
            let (message, help) = explain(text.get(span.clone()).unwrap_or_default(), message);
            findings.syntax(span, message, help);
        }
        last_line = line;
    }
    tree
}

/// A list that is not closed swallows the lines below it, each with complaints of its own: puts one behind its last
/// element in their place. `errors` are in the order of the parser, which reads values after it has seen the structure.
fn collapse<'e>(text: &str, errors: Vec<(Span, &'e str)>, findings: &Findings) -> Vec<(Span, &'e str)> {
    let in_list = |message: &str| message.contains("array") && !message.contains("array table");
    let Some(last) = errors.iter().position(|(_, message)| message.starts_with("unclosed array,")) else {
        return errors;
    };
    let run = errors[..last].iter().rev().take_while(|(_, message)| in_list(message)).count();
    let swallowed = errors[last - run].0.start..=errors[last].0.start;
    let end = text[..*swallowed.start()].trim_end().len();
    findings.unreadable(swallowed.clone());
    let rest = errors.into_iter().filter(|(span, _)| !swallowed.contains(&span.start));
    rest.chain([(end..end, UNCLOSED_LIST)]).collect()
}

/// Message and help for a complaint of the parser about `wrong`.
fn explain(wrong: &str, message: &str) -> (String, String) {
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let help = match what {
        UNCLOSED_LIST => "close the list with `]`".to_owned(),
        "string values must be quoted" if wrong.is_empty() => "write a value behind the `=`".to_owned(),
        "string values must be quoted" if wrong.starts_with(CURLY) => {
            format!("write straight quotation marks: \"{}\"", wrong.trim().trim_matches(CURLY))
        }
        "string values must be quoted" => format!("write {}", quote_toml(wrong.trim())) + " if it is meant as a text",
        "unquoted keys cannot be empty" => "write a key before the `=`".to_owned(),
        "invalid unquoted key" => "a key is letters, digits, `-` and `_`, and `=` follows it".to_owned(),
        "missing escaped value" => r"write `\\` for a backslash, or put the text between '…'".to_owned(),
        "duplicate key" => return (format!("{} is set twice", quote(wrong)), "keep one of the two".to_owned()),
        "unclosed table" => "close the header with `]`".to_owned(),
        "unclosed array table" => "close the header with `]]`".to_owned(),
        "invalid basic string" => "close the text with `\"`".to_owned(),
        _ if !expected.is_empty() && expected != "nothing" => format!("expected here: {expected}"),
        _ => "a text stands between quotation marks, a number is digits alone; see https://toml.io".to_owned(),
    };
    (what.to_owned(), help)
}

/// What word processors make of `"`.
const CURLY: &[char] = &['“', '”', '„', '«', '»', '‘', '’'];

/// Our words for a list whose `]` is missing.
const UNCLOSED_LIST: &str = "this list is not closed";
