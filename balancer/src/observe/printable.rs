//! Text of others, for whoever reads it line by line or on a terminal. Decides what is shown in place of a character that does
//! something; called wherever a log, an event or an answer repeats what a client, a worker or a file has said.

use std::borrow::Cow;
use std::io::Write;

/// Whether a character does something instead of being seen: controls, C1 among them, the separators of lines and paragraphs, and
/// what changes the direction of writing (UAX #9), so that a line seems to say something else.
pub fn is_active(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends a line of text, its active characters as `\u001b`. Tabs, a CR at the end and colours (`ESC [ … m`) stay: they move
/// nothing. So do bytes that are no UTF-8, but for C1 controls of terminals with eight bits.
pub fn push_line(out: &mut Vec<u8>, line: &[u8]) {
    // Without an early exit, which the compiler makes sixteen bytes at a time.
    if line.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~' | b'\t')) {
        return out.extend_from_slice(line);
    }
    let (line, end) = line.strip_suffix(b"\r").map_or((line, &b""[..]), |line| (line, b"\r"));
    for chunk in line.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(character) = rest.chars().next() {
            let length = if character == '\u{1b}' { colour(rest) } else { 0 };
            if length > 0 || character == '\t' || !is_active(character) {
                let (shown, others) = rest.split_at(length.max(character.len_utf8()));
                out.extend_from_slice(shown.as_bytes());
                rest = others;
            } else {
                escape(out, character.into());
                rest = &rest[character.len_utf8()..];
            }
        }
        for byte in chunk.invalid() {
            match byte {
                0x80..=0x9f => escape(out, (*byte).into()),
                byte => out.push(*byte),
            }
        }
    }
    out.extend_from_slice(end);
}

/// Several lines, each as [`push_line`] has it.
pub fn lines(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        push_line(&mut out, line.strip_suffix('\n').unwrap_or(line).as_bytes());
        if line.ends_with('\n') {
            out.push(b'\n');
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends what stands between the quotes of a text of JSON (RFC 8259 §7). What is no UTF-8 becomes U+FFFD.
pub fn push_json(out: &mut Vec<u8>, text: &[u8]) {
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            character if is_active(character) => escape(out, character.into()),
            character => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// JSON on one line that somebody else has written, its active characters escaped: they stand in its texts alone.
pub fn in_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_active) {
        return Cow::Borrowed(json);
    }
    let mut out = Vec::with_capacity(json.len());
    for character in json.chars() {
        match character {
            character if is_active(character) => escape(&mut out, character.into()),
            character => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn escape(out: &mut Vec<u8>, code: u32) {
    // Writing to memory does not fail. No active character is beyond four digits.
    let _ = write!(out, "\\u{code:04x}");
}

/// How long the sequence is that sets colours and begins here; 0 if there is none (ECMA-48, SGR).
fn colour(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\u{1b}[") else { return 0 };
    match parameters.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b':')) {
        Some(end) if parameters.as_bytes()[end] == b'm' => end + 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        push_line(&mut out, bytes);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_line_moves_nothing_on_a_terminal_and_keeps_its_colours() {
        for (text, shown) in [
            ("plain\ttext é → ü", "plain\ttext é → ü"),
            ("\u{1b}[1;31mred\u{1b}[0m\u{1b}[m", "\u{1b}[1;31mred\u{1b}[0m\u{1b}[m"),
            ("10%\r20%\r", "10%\\u000d20%\r"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}\u{1b}[31", "\\u001b[2J\\u001b]0;title\\u0007\\u001b[31"),
            ("a\u{9b}31m\u{85}\u{7f}\0", "a\\u009b31m\\u0085\\u007f\\u0000"),
            ("\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}\u{61c}", "\\u2028\\u2029\\u202e\\u2066\\u200f\\u061c"),
        ] {
            assert_eq!(line(text.as_bytes()), shown);
        }
        let mut out = Vec::new();
        push_line(&mut out, b"\xff\x9b31m\xe9");
        assert_eq!(out, b"\xff\\u009b31m\xe9");
        assert_eq!(lines("a\u{1b}\nb\u{9b}"), "a\\u001b\nb\\u009b");
    }

    #[test]
    fn json_has_no_active_character_and_says_the_same() {
        let text = "a\"b\\\n\u{7f}\u{9b}\u{2028}\u{202e}é\t";
        let mut out = Vec::new();
        push_json(&mut out, text.as_bytes());
        let written = String::from_utf8(out).unwrap();
        assert_eq!(written, "a\\\"b\\\\\\u000a\\u007f\\u009b\\u2028\\u202eé\\u0009");
        assert_eq!(serde_json::from_str::<String>(&format!("\"{written}\"")).unwrap(), text);
        let theirs = serde_json::to_string(text).unwrap();
        let ours = in_json(&theirs);
        assert!(theirs.contains('\u{202e}') && !ours.contains(is_active), "{ours}");
        assert_eq!(serde_json::from_str::<String>(&ours).unwrap(), text);
        assert!(matches!(in_json("{\"a\":\"é\"}"), Cow::Borrowed(_)));
    }
}
