//! Three readers of HTTP/1 that others have written, and what each reads in one message.

mod hyper;
mod reviewed;
mod script;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::{Kind, Message};
use crate::reading::Whole;
use balancer::http1::BodyLength;
use reviewed::reviewed;
pub use reviewed::reviewed_list;
use script::Script;

/// One of them.
#[derive(Debug)]
pub enum Reader {
    /// hyper, in this process.
    Hyper,
    /// llhttp, as Node uses it.
    Llhttp(Script),
    /// h11.
    H11(Script),
}

/// Why one is not here.
#[derive(Debug)]
pub struct Missing(pub &'static str);

/// What one reads.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Nothing where it has refused the head.
    pub(crate) message: Option<Message>,
    /// Interim responses before it; `None` where they are not told.
    pub(crate) interim: Option<usize>,
    pub(crate) end: End,
    pub(crate) error: Option<String>,
}

/// Where a reader sees a message end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Before its last byte.
    Early,
    /// With its last byte.
    Last,
    /// With the close behind it.
    Close,
    #[default]
    Never,
}

/// In what a reader differs from ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Differs {
    /// It does not take the message.
    Refuses,
    Interim,
    Start,
    Fields,
    Body,
    Trailers,
    End,
}

impl Reader {
    /// hyper, which is always here.
    pub fn hyper() -> Result<Self, Missing> {
        Ok(Self::Hyper)
    }

    /// llhttp.
    ///
    /// # Errors
    /// Where there is no `node`.
    pub fn llhttp() -> Result<Self, Missing> {
        Script::start("node", "llhttp.js").map(Self::Llhttp).ok_or(Missing("llhttp: there is no node (Debian: nodejs)"))
    }

    /// h11.
    ///
    /// # Errors
    /// Where there is no Python with h11.
    pub fn h11() -> Result<Self, Missing> {
        let missing = Missing("h11: there is no python3 with it (Debian: python3-h11)");
        // Debian's own first, which has Debian's modules.
        let found = ["/usr/bin/python3", "python3"].iter().find_map(|name| Script::start(name, "read_with_h11.py"));
        found.map(Self::H11).ok_or(missing)
    }

    /// All three.
    pub fn all() -> [Result<Self, Missing>; 3] {
        [Self::hyper(), Self::llhttp(), Self::h11()]
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hyper => "hyper",
            Self::Llhttp(_) => "llhttp",
            Self::H11(_) => "h11",
        }
    }

    fn read(&mut self, kind: Kind, bytes: &[u8]) -> Heard {
        match self {
            Self::Hyper => hyper::read(kind, bytes),
            Self::Llhttp(script) | Self::H11(script) => script.read(kind, bytes),
        }
    }

    /// Panics where it reads something else in `bytes` than `message` behind so many interim responses, and nobody has said that
    /// this may be so.
    pub(crate) fn agrees(&mut self, kind: Kind, bytes: &[u8], interim: usize, message: &Message, length: BodyLength) {
        let heard = self.read(kind, bytes);
        COMPARED.fetch_add(1, Ordering::Relaxed);
        let Some(differs) = differs(&heard, self.name(), interim, message, length) else { return };
        if reviewed(self.name(), differs, kind, message, bytes, &heard) {
            return;
        }
        panic!(
            "{} differs in {differs:?}: {}\nours: {}\nits: {}",
            self.name(),
            bytes.escape_ascii(),
            told(message),
            heard.message.as_ref().map_or_else(String::new, told) + &format!(" {:?} {:?}", heard.end, heard.error),
        );
    }

    /// The same of all messages that our reader has found in `bytes`, as they came.
    pub(crate) fn agrees_in(&mut self, kind: Kind, bytes: &[u8], messages: &[Whole]) {
        let (mut start, mut interim) = (None, 0);
        for whole in messages.iter().take(MESSAGES_MAX) {
            let from = *start.get_or_insert(whole.range.start);
            if whole.message.is_interim() {
                interim += 1;
                continue;
            }
            self.agrees(kind, &bytes[from..whole.range.end], interim, &whole.message, whole.length);
            (start, interim) = (None, 0);
        }
    }
}

fn differs(heard: &Heard, name: &str, interim: usize, message: &Message, length: BodyLength) -> Option<Differs> {
    let Some(theirs) = &heard.message else { return Some(Differs::Refuses) };
    if heard.interim.is_some_and(|theirs| theirs != interim) {
        return Some(Differs::Interim);
    }
    if theirs.start != message.start {
        return Some(Differs::Start);
    }
    let mut ours = message.clone();
    if name == "hyper" {
        // Its map keeps the order of those with one name.
        ours.fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        ours.trailers.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    let end = if length == BodyLength::UntilClose { End::Close } else { End::Last };
    match () {
        () if theirs.fields != ours.fields => Some(Differs::Fields),
        // With the fields come faults of the body.
        () if heard.error.is_some() => Some(Differs::Refuses),
        () if theirs.body != ours.body => Some(Differs::Body),
        () if heard.end != end => Some(Differs::End),
        () if theirs.trailers != ours.trailers => Some(Differs::Trailers),
        () => None,
    }
}

fn told(message: &Message) -> String {
    let lines = |lines: &[(Vec<u8>, Vec<u8>)]| -> String {
        lines.iter().map(|(name, value)| format!("{}: {}, ", name.escape_ascii(), value.escape_ascii())).collect()
    };
    let start: Vec<String> = message.start.iter().map(|part| part.escape_ascii().to_string()).collect();
    let (fields, trailers) = (lines(&message.fields), lines(&message.trailers));
    format!("{start:?} [{fields}] \"{}\" [{trailers}]", message.body.escape_ascii())
}

/// How many messages were compared by now, each with each reader.
pub fn compared() -> u64 {
    COMPARED.load(Ordering::Relaxed)
}

static COMPARED: AtomicU64 = AtomicU64::new(0);
/// Asked for of one input.
const MESSAGES_MAX: usize = 3;
