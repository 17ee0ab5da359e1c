//! A worker's line as an object of JSON. Decides how its bytes are written; called by `output`; never fails.

use std::io::Write;

use jiff::Timestamp;

use super::stream::OutputStream;
use crate::observe::printable;

/// Appends `{"time":"…","worker":"app.2","stream":"stdout","line":"…"}` and a newline. What is not UTF-8 becomes U+FFFD.
pub(super) fn append(out: &mut Vec<u8>, worker: &str, stream: OutputStream, line: &[u8]) {
    let stream = match stream {
        OutputStream::Stdout => "stdout",
        OutputStream::Stderr => "stderr",
    };
    // Writing to a Vec does not fail. A worker's name has nothing to escape.
    let _ = write!(
        out,
        "{{\"time\":\"{:.3}\",\"worker\":\"{worker}\",\"stream\":\"{stream}\",\"line\":\"",
        Timestamp::now()
    );
    for (index, piece) in line.split(|&byte| byte == b'\t').enumerate() {
        if index > 0 {
            // Tables are read by people.
            out.extend_from_slice(b"\\t");
        }
        printable::push_json(out, piece);
    }
    out.extend_from_slice(b"\"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_one_object_whatever_its_bytes() {
        let mut out = Vec::new();
        append(
            &mut out,
            "app.2",
            OutputStream::Stderr,
            b"a \"b\" \\ \t\x1b[2J\x00 \xff \xe2\x80\xa8 \xe2\x80\xae \xc3\xa9",
        );
        let text = String::from_utf8(out).unwrap();
        let (time, rest) = text.strip_prefix("{\"time\":\"").unwrap().split_once('"').unwrap();
        assert!(time.parse::<Timestamp>().is_ok() && time.len() == "2026-01-01T00:00:00.000Z".len(), "{time}");
        let line = r#"a \"b\" \\ \t\u001b[2J\u0000 � \u2028 \u202e é"#;
        assert_eq!(rest, format!(",\"worker\":\"app.2\",\"stream\":\"stderr\",\"line\":\"{line}\"}}\n"));
    }
}
