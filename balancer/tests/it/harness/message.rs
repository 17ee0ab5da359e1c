//! A message as it came.

/// A request or a response.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Message {
    /// The first line.
    pub(crate) line: String,
    /// In their order, names as they came.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// How its body ended.
    pub(crate) ended: Ended,
}

/// How a message or a connection ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As its framing says.
    #[default]
    Framed,
    /// By a FIN.
    Close,
    /// By a RST.
    Reset,
    /// Not at all: nothing came for too long.
    Silence,
}

impl Message {
    pub(crate) fn parse(head: &str) -> Self {
        let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
        let line = lines.next().unwrap_or_default().to_owned();
        Self { line, fields: lines.map(field).collect(), ..Self::default() }
    }

    pub(crate) fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of the one field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        match *self.all(name) {
            [value] => Some(value),
            [] => None,
            _ => panic!("several {name} in {self:?}"),
        }
    }

    /// All values of that name, in their order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let of_name = |(found, _): &&(String, String)| found.eq_ignore_ascii_case(name);
        self.fields.iter().filter(of_name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    }

    pub(crate) fn length(&self) -> Option<usize> {
        self.field("content-length").map(|length| length.parse().unwrap())
    }
}

pub(super) fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_owned(), value.trim().to_owned())
}
