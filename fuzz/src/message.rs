//! A message, as far as all readers must read the same in it.

/// In which direction a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// From a client.
    Request,
    /// To a client that asked with GET.
    Response,
    /// To a client that asked with HEAD.
    ResponseToHead,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Method, target and version, or status and version.
    pub(crate) start: Vec<Vec<u8>>,
    /// In their order, names in lower case.
    pub(crate) fields: Lines,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Lines,
}

/// Names and values.
pub(crate) type Lines = Vec<(Vec<u8>, Vec<u8>)>;

impl Message {
    /// The values of all fields of that name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(other, _)| other == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// Whether it is an interim response (RFC 9110 §15.2), behind which another one comes.
    pub(crate) fn is_interim(&self) -> bool {
        self.start.len() == 2 && self.start[0].starts_with(b"1") && self.start[0] != b"101"
    }

    /// The request target, or nothing.
    pub(crate) fn target(&self) -> &[u8] {
        if self.start.len() == 3 { &self.start[1] } else { b"" }
    }
}
