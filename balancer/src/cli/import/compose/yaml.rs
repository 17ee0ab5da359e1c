//! YAML → values with their lines. Decides how much of a file is taken: aliases must not grow without end; called by [`super`]; never knows a
//! key.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser};

use crate::cli::import::setup::{FileLine, Unreadable};

/// A value, and the line it begins in: that of its key, where it has one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct YamlNode {
    pub(super) value: Value,
    pub(super) line: usize,
}

/// What can stand in a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A text, a number, a flag, or nothing: as it is written.
    Scalar(String),
    List(Vec<YamlNode>),
    Map(Vec<(String, YamlNode)>),
}

impl YamlNode {
    /// A value of a map.
    pub(super) fn get(&self, key: &str) -> Option<&YamlNode> {
        self.entries().iter().find(|(known, _)| known == key).map(|(_, node)| node)
    }

    /// What a map holds.
    pub(super) fn entries(&self) -> &[(String, YamlNode)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// What a list holds.
    pub(super) fn items(&self) -> &[YamlNode] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }
}

/// The first document of a text; `file` is what it is called.
pub(super) fn read(text: &str, file: &Rc<str>) -> Result<YamlNode, Unreadable> {
    let mistake = |line, message: String| Unreadable { place: FileLine { file: Rc::clone(file), line }, message };
    let mut building = Building { frames: Vec::new(), anchors: HashMap::new(), nodes: 0 };
    for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
        let (event, span) =
            event.map_err(|error| mistake(error.marker().line(), format!("that is no YAML: {}", error.info())))?;
        let line = span.start.line();
        let done = building.take(event, line).map_err(|message| mistake(line, message))?;
        if let Some(node) = done {
            return Ok(node);
        }
    }
    Err(mistake(1, "there is nothing in it".to_owned()))
}

struct Building {
    /// The lists and maps we are in.
    frames: Vec<Frame>,
    anchors: HashMap<usize, YamlNode>,
    nodes: usize,
}

struct Frame {
    node: YamlNode,
    anchor: usize,
    /// The key whose value comes next, and its line.
    key: Option<(String, usize)>,
}

impl Building {
    /// Takes an event; the whole value once it is there.
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<Option<YamlNode>, String> {
        let (node, anchor) = match event {
            Event::Scalar(text, _, anchor, _) => (YamlNode { value: Value::Scalar(text.into_owned()), line }, anchor),
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned().ok_or("an alias stands in what it names")?;
                self.nodes = self.nodes.saturating_add(size(&known));
                (YamlNode { line, ..known }, 0)
            }
            Event::SequenceStart(anchor, _) => return self.open(Value::List(Vec::new()), anchor, line),
            Event::MappingStart(anchor, _) => return self.open(Value::Map(Vec::new()), anchor, line),
            Event::SequenceEnd | Event::MappingEnd => match self.frames.pop() {
                Some(frame) => (frame.node, frame.anchor),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(format!("it has more than {NODES_MAX} values with its aliases"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.put(node)
    }

    fn open(&mut self, value: Value, anchor: usize, line: usize) -> Result<Option<YamlNode>, String> {
        if self.frames.len() == DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} values in each other"));
        }
        self.frames.push(Frame { node: YamlNode { value, line }, anchor, key: None });
        Ok(None)
    }

    /// Puts a value where it belongs.
    fn put(&mut self, node: YamlNode) -> Result<Option<YamlNode>, String> {
        let Some(frame) = self.frames.last_mut() else { return Ok(Some(node)) };
        match (&mut frame.node.value, frame.key.take()) {
            (Value::List(items), _) => items.push(node),
            (Value::Map(entries), Some((key, _))) if key == "<<" => merge(entries, node),
            (Value::Map(entries), Some((key, line))) => {
                // What was merged gives way, and a later one to an earlier.
                entries.retain(|(known, _)| *known != key);
                entries.push((key, YamlNode { line, ..node }));
            }
            (Value::Map(_), None) => match node.value {
                Value::Scalar(key) => frame.key = Some((key, node.line)),
                _ => return Err("a key is a text here".to_owned()),
            },
            (Value::Scalar(_), _) => {}
        }
        Ok(None)
    }
}

/// `<<: *defaults`: what is not there yet.
fn merge(entries: &mut Vec<(String, YamlNode)>, from: YamlNode) {
    let sources = match from.value {
        Value::List(items) => items,
        _ => vec![from],
    };
    for (key, node) in sources.into_iter().flat_map(|source| match source.value {
        Value::Map(entries) => entries,
        _ => Vec::new(),
    }) {
        if entries.iter().all(|(known, _)| *known != key) {
            entries.push((key, node));
        }
    }
}

fn size(node: &YamlNode) -> usize {
    let inner: usize = match &node.value {
        Value::Scalar(_) => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|(_, node)| size(node)).sum(),
    };
    1 + inner
}

/// Real files have ten; each takes a piece of our stack when it is dropped.
const DEPTH_MAX: usize = 64;
/// Ten times what large files have; a file of 1 KB may mean billions by its aliases.
const NODES_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Result<YamlNode, String> {
        read(text, &Rc::from("c.yml")).map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn aliases_and_merges_are_filled_in() {
        let node = tree("x: &base\n  image: a\n  tag: 1\nservices:\n  web:\n    <<: *base\n    tag: 2\n  api: *base\n")
            .unwrap();
        let web = node.get("services").and_then(|services| services.get("web")).unwrap();
        assert_eq!(web.get("image").and_then(YamlNode::text), Some("a"));
        assert_eq!((web.get("tag").and_then(YamlNode::text), web.line), (Some("2"), 5));
        assert_eq!(node.get("services").unwrap().get("api").unwrap().entries().len(), 2);
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let bomb: String = (1..9)
            .map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(",")))
            .collect();
        let refused = tree(&format!("a0: &a0 [x,x,x,x,x,x,x,x,x]\n{bomb}")).unwrap_err();
        assert!(refused.contains("more than 50000 values with its aliases"), "{refused}");
        assert!(tree(&"[".repeat(200)).is_err());
        assert!(tree("a: &a [*a]\n").is_err());
        assert!(tree("a: b: c\n").unwrap_err().starts_with("c.yml:1: that is no YAML: "));
        assert_eq!(tree("").unwrap_err(), "c.yml:1: there is nothing in it");
        assert_eq!(tree("? [a]\n: b\n").unwrap_err(), "c.yml:1: a key is a text here");
    }
}
