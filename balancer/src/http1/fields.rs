//! The field lines of a message: one buffer with the bytes as they came, and a flat list of where each field stands in it.

use std::fmt;
use std::ops::Range;

use super::name::Name;

/// The fields of a message in their order, with their spelling.
#[derive(Clone, Default)]
pub struct Fields {
    pub(super) bytes: Vec<u8>,
    list: Vec<Field>,
}

/// Where a field stands.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    name_at: u32,
    name_len: u32,
    value_at: u32,
    value_len: u32,
    /// What it is.
    pub name: Name,
}

/// A field, as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldRef<'a> {
    /// What it is.
    pub name: Name,
    /// Its name, with its spelling.
    pub spelled: &'a [u8],
    /// Its value, without the white space around it.
    pub value: &'a [u8],
}

impl Fields {
    /// None, in the same memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
    }

    /// Bytes of memory for the text of fields, so that large ones are not kept for ever.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The fields of a message that begins with these bytes, none of them noted yet; with room for `count` and little more.
    pub(super) fn begin(&mut self, bytes: &[u8], count: usize) {
        self.clear();
        self.bytes.reserve(bytes.len().max(BYTES));
        self.bytes.extend_from_slice(bytes);
        self.list.reserve(count.max(FEW));
    }

    /// Notes the field whose name and value stand there.
    pub(super) fn push(&mut self, name: Range<usize>, value: Range<usize>) {
        // Heads are bounded far below 4 GiB.
        self.list.push(Field {
            name: Name::of(&self.bytes[name.clone()]),
            name_at: name.start as u32,
            name_len: name.len() as u32,
            value_at: value.start as u32,
            value_len: value.len() as u32,
        });
    }

    /// Puts a field behind the others.
    pub fn append(&mut self, name: &str, value: &[u8]) {
        let name_at = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        let value_at = self.bytes.len();
        self.bytes.extend_from_slice(value);
        let end = self.bytes.len();
        self.bytes.extend_from_slice(b"\r\n");
        self.push(name_at..name_at + name.len(), value_at..end);
    }

    /// Takes out the fields that are not to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(FieldRef<'_>) -> bool) {
        let bytes = &self.bytes;
        self.list.retain(|field| keep(field.of(bytes)));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = FieldRef<'_>> + Clone {
        self.list.iter().map(|field| field.of(&self.bytes))
    }

    /// The values of all fields of that name.
    pub fn all(&self, name: Name) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        self.list.iter().filter(move |field| field.name == name).map(|field| field.of(&self.bytes).value)
    }

    /// The value of the first field of that name.
    pub fn first(&self, name: Name) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The value of the first field that is called so, whatever its case.
    pub fn called(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|field| field.spelled.eq_ignore_ascii_case(name.as_bytes())).map(|field| field.value)
    }

    /// Writes the lines of those that `keep` says, `name: value` and CRLF each.
    pub fn write(&self, out: &mut Vec<u8>, mut keep: impl FnMut(FieldRef<'_>) -> bool) {
        // Most lines came as they are to be written: neighbours go out in one piece.
        let mut run = 0..0;
        for field in &self.list {
            if !keep(field.of(&self.bytes)) {
                continue;
            }
            let line = field.line();
            if line.start == run.end && self.is_plain(field) {
                run.end = line.end;
                continue;
            }
            out.extend_from_slice(&self.bytes[run]);
            run = 0..0;
            if self.is_plain(field) {
                run = line;
            } else {
                let field = field.of(&self.bytes);
                write_line(out, field.spelled, field.value);
            }
        }
        out.extend_from_slice(&self.bytes[run]);
    }

    /// Whether a field's line is as we write it.
    fn is_plain(&self, field: &Field) -> bool {
        let Range { start, end } = field.line();
        let colon = start + field.name_len as usize;
        field.value_at as usize == colon + 2
            && self.bytes[colon + 1] == b' '
            && self.bytes.get(end - 2..end) == Some(b"\r\n")
    }
}

impl Field {
    fn of<'a>(&self, bytes: &'a [u8]) -> FieldRef<'a> {
        let at = |start: u32, length: u32| &bytes[start as usize..start as usize + length as usize];
        FieldRef { name: self.name, spelled: at(self.name_at, self.name_len), value: at(self.value_at, self.value_len) }
    }

    /// From the name to behind the CRLF, if nothing stands between the value and that.
    fn line(&self) -> Range<usize> {
        self.name_at as usize..self.value_at as usize + self.value_len as usize + 2
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes);
        f.debug_map().entries(self.iter().map(|field| (text(field.spelled), text(field.value)))).finish()
    }
}

/// What most messages take, so that their memory serves the next one too.
const FEW: usize = 12;
const BYTES: usize = 1024;

/// Writes one field line.
pub(super) fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether one of the comma-separated elements of `value` is `word`, whatever its case (RFC 9110 §5.6.1).
pub fn lists(value: &[u8], word: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|element| element.trim_ascii().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::RequestHead;

    #[test]
    fn lines_go_out_with_their_spelling_and_order_and_one_space() {
        let head = "GET / HTTP/1.1\r\nX-A: 1\r\nx-b:2\r\nX-C:  3 \r\nDrop: me\r\nX-D: \r\nX-E: 5\r\n\r\n";
        let mut fields = RequestHead::parse(head.as_bytes(), Fields::default()).unwrap().fields;
        fields.append("Last", b"6");
        let mut out = Vec::new();
        let mut number = 0;
        fields.write(&mut out, |_| {
            number += 1;
            number != 4
        });
        assert_eq!(String::from_utf8(out).unwrap(), "X-A: 1\r\nx-b: 2\r\nX-C: 3\r\nX-D: \r\nX-E: 5\r\nLast: 6\r\n");
        fields.retain(|field| field.spelled != b"X-A");
        assert_eq!((fields.len(), fields.called("LAST"), fields.called("x-a")), (6, Some(&b"6"[..]), None));
    }

    #[test]
    fn a_list_is_looked_at_element_by_element() {
        assert!(lists(b"close , Upgrade", b"upgrade") && !lists(b"upgrade-insecure", b"upgrade"));
    }
}
