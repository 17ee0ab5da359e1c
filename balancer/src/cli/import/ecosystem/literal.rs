//! Values that are written without running anything. Decides what a number or a flag is as a text; made by [`super::javascript`]; never reads one.

/// A value, and the line it begins in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LiteralNode {
    pub(super) value: Literal,
    pub(super) line: usize,
}

/// What can be written without running anything.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    /// `null` or `undefined`.
    Nothing,
    Flag(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<LiteralNode>),
    Object(Vec<(String, LiteralNode)>),
}

impl LiteralNode {
    /// A value of an object.
    pub(super) fn get(&self, key: &str) -> Option<&LiteralNode> {
        let Literal::Object(entries) = &self.value else { return None };
        entries.iter().rev().find(|(known, _)| known == key).map(|(_, node)| node)
    }

    /// A text, or a number or a flag as one.
    pub(super) fn text(&self) -> Option<String> {
        match &self.value {
            Literal::Text(text) | Literal::Number(text) => Some(text.clone()),
            Literal::Flag(flag) => Some(flag.to_string()),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<i64> {
        self.text()?.trim().parse().ok()
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match &self.value {
            Literal::Flag(flag) => Some(*flag),
            _ => None,
        }
    }
}
