//! What the kernel starts in place of a file: the interpreter its first line names, the loader of a dynamic program.
//!
//! Decides whether it is there; where it is not, the kernel says "no such file" of the file itself. Called by `program`. Never
//! judges what it cannot read.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Why a file that is there and may be executed cannot be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterpreterError {
    /// Its first line ends with a carriage return, which is taken for a part of this name.
    CarriageReturn(String),
    /// Its first line names this program, which is not there.
    Missing(String),
    /// Its first line has `env` look for this program, which is not in this `PATH`.
    NotFound(String, String),
    /// It needs this loader, which is not there.
    Loader(String),
}

/// Looks at the first bytes of `file`, which would be started in `directory`; `search_path` is what `env` would look into.
pub(super) fn check(file: &Path, directory: Option<&Path>, search_path: &OsStr) -> Result<(), InterpreterError> {
    let mut head = Vec::with_capacity(HEAD_BYTES as usize);
    // Whoever may execute a file need not be allowed to read it.
    if File::open(file).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head)).is_err() {
        return Ok(());
    }
    let is_there = |name: &str| directory.unwrap_or(Path::new("")).join(name).exists();
    if let Some(loader) = loader(&head).filter(|loader| !is_there(loader)) {
        return Err(InterpreterError::Loader(loader));
    }
    let Some((interpreter, rest)) = first_line(&head) else { return Ok(()) };
    let last = if rest.is_empty() { interpreter } else { rest };
    if let Some(name) = last.strip_suffix('\r') {
        return Err(InterpreterError::CarriageReturn(name.to_owned()));
    }
    if !is_there(interpreter) {
        return Err(InterpreterError::Missing(interpreter.to_owned()));
    }
    let sought = Path::new(interpreter).file_name().filter(|name| *name == "env").and_then(|_| sought_by_env(rest));
    let in_path = |name: &str| std::env::split_paths(search_path).any(|folder| folder.join(name).is_file());
    match sought.filter(|name| !name.contains('/') && !in_path(name)) {
        Some(name) => Err(InterpreterError::NotFound(name.to_owned(), search_path.display().to_string())),
        None => Ok(()),
    }
}

/// Interpreter and the rest of a line that begins with `#!` (execve(2)).
fn first_line(head: &[u8]) -> Option<(&str, &str)> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim_matches([' ', '\t']);
    let (interpreter, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    Some((interpreter, rest.trim_start_matches([' ', '\t']))).filter(|_| !interpreter.is_empty())
}

/// The program that env(1) is asked for: the whole rest of the line, or with `-S` its first word that is neither an option nor
/// an assignment.
fn sought_by_env(rest: &str) -> Option<&str> {
    let mut words = rest.split_ascii_whitespace();
    match rest.starts_with('-') {
        false => Some(rest).filter(|rest| !rest.is_empty() && !rest.contains('=')),
        true => words.find(|word| !word.starts_with('-') && !word.contains('=')),
    }
}

/// The loader (PT_INTERP) of a program in the format of 64-bit little-endian machines (elf(5)).
fn loader(head: &[u8]) -> Option<String> {
    let number = |at: usize, length: usize| {
        let bytes = head.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    let at = |at: usize, length: usize| usize::try_from(number(at, length)?).ok();
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (at(32, 8)?, at(54, 2)?, at(56, 2)?);
    let entry =
        (0..count).map(|index| table.saturating_add(index * size)).find(|entry| number(*entry, 4) == Some(3))?;
    let (begin, length) = (at(entry.checked_add(8)?, 8)?, at(entry.checked_add(32)?, 8)?);
    let name = head.get(begin..begin.checked_add(length)?)?.strip_suffix(b"\0")?;
    String::from_utf8(name.to_vec()).ok()
}

impl fmt::Display for InterpreterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CarriageReturn(name) => write!(
                f,
                "its first line ends with a carriage return, so the system looks for `{name}\\r`: save the file with Unix line \
                 endings"
            ),
            Self::Missing(name) => write!(f, "its first line names {name}, which is not there"),
            Self::NotFound(name, path) => {
                write!(f, "its first line asks for `{name}`, which is not found in PATH ({path})")
            }
            Self::Loader(name) => {
                write!(f, "its loader {name} is not there: it was built for another system (another C library?)")
            }
        }
    }
}

impl std::error::Error for InterpreterError {}

/// The kernel reads 256 bytes of a first line; the name of a loader stands in the first KiB as a rule.
const HEAD_BYTES: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_first_line_asks_for_has_to_be_there() {
        let file = std::env::temp_dir().join(format!("balancer-interpreter-{}", std::process::id()));
        let path = OsStr::new("/nowhere:/bin:/usr/bin");
        for (text, wrong) in [
            ("#!/bin/sh\necho", None),
            ("#! /bin/sh -e\n", None),
            ("#!/usr/bin/env sh\n", None),
            ("#!/usr/bin/env -S A=1 sh -e\n", None),
            ("echo no first line of that kind", None),
            ("#!", None),
            ("#!/bin/sh\r\necho\r\n", Some("looks for `/bin/sh\\r`")),
            ("#!/usr/bin/env sh\r\n", Some("looks for `sh\\r`")),
            ("#!/nowhere/python3\n", Some("names /nowhere/python3, which is not there")),
            (
                "#!/usr/bin/env no-such-program\n",
                Some("asks for `no-such-program`, which is not found in PATH (/nowhere:"),
            ),
            ("#!/usr/bin/env -S no-such-program -x\n", Some("asks for `no-such-program`")),
        ] {
            std::fs::write(&file, text).unwrap();
            let found = check(&file, None, path).map_err(|error| error.to_string());
            match wrong {
                None => assert_eq!(found, Ok(()), "{text:?}"),
                Some(part) => assert!(found.as_ref().is_err_and(|found| found.contains(part)), "{text:?}: {found:?}"),
            }
        }
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn the_loader_of_a_program_is_found_and_missed() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        if cfg!(all(target_endian = "little", target_pointer_width = "64", target_env = "gnu")) {
            let name = loader(&own[..4_096]).unwrap();
            assert!(name.starts_with("/lib") && Path::new(&name).exists(), "{name}");
            let other = std::env::temp_dir().join(format!("balancer-loader-{}", std::process::id()));
            let mut bytes = own[..4_096].to_vec();
            let at = bytes.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
            bytes[at + 1] = b'_';
            std::fs::write(&other, &bytes).unwrap();
            let text = check(&other, None, OsStr::new("")).unwrap_err().to_string();
            assert!(text.starts_with(&format!("its loader {}", name.replacen("/l", "/_", 1))), "{text}");
            std::fs::remove_file(other).unwrap();
        }
        for length in [0, 5, 20, 64, 100, 200] {
            loader(&own[..length]);
        }
    }
}
