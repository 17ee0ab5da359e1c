//! A reader in another language, which reads one message after the other.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::{End, Heard};
use crate::message::{Kind, Lines, Message};

/// The program that runs.
#[derive(Debug)]
pub struct Script {
    child: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Script {
    /// Starts `script` with `interpreter`; `None` where it cannot read a message.
    pub(super) fn start(interpreter: &str, script: &str) -> Option<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers").join(script);
        let mut command = Command::new(interpreter);
        command.arg(path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let (asked, answers) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        let mut script = Self { child, asked, answers };
        script.ask(Kind::Request, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").map(|_| script)
    }

    pub(super) fn read(&mut self, kind: Kind, bytes: &[u8]) -> Heard {
        let answer = self.ask(kind, bytes).expect("an answer of a reader");
        let text = |value: &Value| value.as_str().map(bytes_of);
        let texts = |value: &Value| value.as_array().into_iter().flatten().filter_map(text).collect::<Vec<_>>();
        let lines = |value: &Value| -> Lines {
            let pairs = value.as_array().into_iter().flatten().map(texts);
            pairs.map(|mut pair| (pair.remove(0), pair.pop().unwrap_or_default())).collect()
        };
        let message = answer["start"].is_array().then(|| Message {
            start: texts(&answer["start"]),
            fields: lines(&answer["fields"]),
            body: text(&answer["body"]).unwrap_or_default(),
            trailers: lines(&answer["trailers"]),
        });
        let end = match answer["ended"].as_str() {
            Some("early") => End::Early,
            Some("last") => End::Last,
            Some("close") => End::Close,
            _ => End::Never,
        };
        let interim = answer["interim"].as_u64().map(|count| count as usize);
        Heard { message, interim, end, error: answer["error"].as_str().map(str::to_owned) }
    }

    fn ask(&mut self, kind: Kind, bytes: &[u8]) -> Option<Value> {
        let kind = match kind {
            Kind::Request => b'q',
            Kind::Response => b'r',
            Kind::ResponseToHead => b'h',
        };
        let mut question = u32::try_from(bytes.len()).ok()?.to_be_bytes().to_vec();
        question.push(kind);
        question.extend_from_slice(bytes);
        self.asked.write_all(&question).ok()?;
        let mut line = String::new();
        self.answers.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A character is a byte.
fn bytes_of(text: &str) -> Vec<u8> {
    text.chars().map(|character| character as u32 as u8).collect()
}
