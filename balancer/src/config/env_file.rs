//! Files of variables, as dotenv libraries and shells write them. Decides what is a variable and what its value is; called by
//! [`super::tables::workers`] for the mistakes, and by the supervisor at each start of a worker; never expands anything.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::Path;

use super::regular;

/// What is wrong in a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFileMistake {
    /// The line, from 1, in which it begins.
    pub line: usize,
    what: &'static str,
}

/// The text of such a file.
///
/// # Errors
/// Those of [`regular::read`], for more than a process could take; where it is not UTF-8.
pub fn read(path: &Path) -> io::Result<String> {
    String::from_utf8(regular::read(path, BYTES_MAX)?).map_err(|_| io::Error::other("not UTF-8"))
}

/// Names and values of `text`, in its order.
///
/// `NAME=value`, one a line, with `export ` in front or without. A value in single quotes or backticks is taken as it stands, one
/// in double quotes with `\n`, `\r`, `\t`, `\"`, `\\`, `\$` meaning what they mean elsewhere; all three may go over several lines.
/// A value without quotes ends before ` #` or with its line. Blank lines, those that begin with `#`, a byte order mark and carriage
/// returns at the ends of lines are skipped.
///
/// # Errors
/// The first mistake.
pub fn parse(text: &str) -> Result<Vec<(&str, Cow<'_, str>)>, EnvFileMistake> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables: Vec<(&str, Cow<'_, str>)> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let line = 1 + text[..text.len() - rest.len()].matches('\n').count();
        let wrong = |what| EnvFileMistake { line, what };
        let (first, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        let trimmed = first.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            rest = behind;
            continue;
        }
        let (name, exported) = match trimmed.strip_prefix("export").filter(|name| name.starts_with([' ', '\t'])) {
            Some(name) => (name.trim_start(), true),
            None => (trimmed, false),
        };
        let Some((name, _)) = name.split_once('=') else {
            // A shell takes that for what stands above.
            if exported && variables.iter().any(|(known, _)| *known == name) {
                rest = behind;
                continue;
            }
            return Err(wrong("not of the form NAME=value"));
        };
        let name = name.trim_end();
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '\0') {
            return Err(wrong("not of the form NAME=value"));
        }
        let value = first.split_once('=').map_or(0, |(before, _)| before.len() + 1);
        let (value, behind) = value_of(&rest[value..]).map_err(wrong)?;
        if value.contains('\0') {
            return Err(wrong("a value cannot hold a zero byte"));
        }
        variables.push((name, value));
        rest = behind;
    }
    Ok(variables)
}

/// The value at the beginning of `text`, and what stands behind its line.
fn value_of(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let text = text.trim_start_matches([' ', '\t']);
    let Some(quote) = text.chars().next().filter(|first| ['"', '\'', '`'].contains(first)) else {
        let (line, behind) = text.split_once('\n').unwrap_or((text, ""));
        let comment = line.match_indices('#').find(|(at, _)| *at == 0 || line[..*at].ends_with([' ', '\t']));
        return Ok((comment.map_or(line, |(at, _)| &line[..at]).trim().into(), behind));
    };
    let inside = &text[1..];
    let mut escaped = false;
    let is_end = |c: char| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped && quote == '"';
        ends
    };
    let end = inside.find(is_end).ok_or("the quote that begins here is not closed")?;
    let (behind, after) = inside[end + 1..].split_once('\n').unwrap_or((&inside[end + 1..], ""));
    let behind = behind.trim();
    if !behind.is_empty() && !behind.starts_with('#') {
        return Err("something stands behind the closing quote");
    }
    let value = inside[..end].replace("\r\n", "\n");
    Ok((if quote == '"' { unescaped(&value).into() } else { value.into() }, after))
}

fn unescaped(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        let escape = if c == '\\' { characters.clone().next() } else { None };
        let meant = match escape {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(quoted @ ('"' | '\\' | '$' | '`')) => quoted,
            // A path of Windows, say.
            _ => {
                plain.push(c);
                continue;
            }
        };
        plain.push(meant);
        characters.next();
    }
    plain
}

impl fmt::Display for EnvFileMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for EnvFileMistake {}

/// The kernel takes no more for all arguments and variables together (execve(2)).
const BYTES_MAX: u64 = 6 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dotenv_files_hold_is_read() {
        let text = "\u{feff}FIRST=1\r\n# a comment\n\nexport B = two words \nC=\"quo'ted\" # a comment\nD='x#y'\nE=\nF=a=b # not\n\
                    G=a#b$c\nH=\"two\nlines\"\r\nI='-----BEGIN KEY-----\r\nabc\\n\r\n-----END KEY-----'\nJ=\"a\\nb\\t\\\"q\\\" \\$x \\\\\"\n\
                    K=`it's \"so\"`\nL= #\nexport B\n  M=it's\nN=\"é\"";
        let expected = [
            ("FIRST", "1"),
            ("B", "two words"),
            ("C", "quo'ted"),
            ("D", "x#y"),
            ("E", ""),
            ("F", "a=b"),
            ("G", "a#b$c"),
            ("H", "two\nlines"),
            ("I", "-----BEGIN KEY-----\nabc\\n\n-----END KEY-----"),
            ("J", "a\nb\t\"q\" $x \\"),
            ("K", "it's \"so\""),
            ("L", ""),
            ("M", "it's"),
            ("N", "é"),
        ];
        let read = parse(text).unwrap();
        assert_eq!(read.iter().map(|(name, value)| (*name, value.as_ref())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn mistakes_have_their_line() {
        for (text, said) in [
            ("A=1\nnonsense", "line 2: not of the form NAME=value"),
            ("=x", "line 1: not of the form NAME=value"),
            ("A B=x", "line 1: not of the form NAME=value"),
            ("export A", "line 1: not of the form NAME=value"),
            ("A=\0", "line 1: a value cannot hold a zero byte"),
            ("A='x\ny'\nB=\"open\nC=1\n", "line 3: the quote that begins here is not closed"),
            ("A=\"x\"y", "line 1: something stands behind the closing quote"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), said, "{text:?}");
        }
    }
}
