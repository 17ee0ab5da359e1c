//! What a strictly valid HTTP/1.1 request is (RFC 9112), read once more and by nobody's parser but this.

/// A request, as far as it must be the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// In their order, names in lower case.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    /// All of it, as it came.
    pub(crate) raw: Vec<u8>,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Not {
    /// There is more to come.
    Complete,
    /// Whatever comes.
    Valid(&'static str),
}

impl Request {
    pub(crate) fn all(&self, name: &str) -> Vec<&[u8]> {
        self.fields.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_slice()).collect()
    }
}

/// The first request in `bytes`, and how many bytes it has.
pub(crate) fn read(bytes: &[u8]) -> Result<(Request, usize), Not> {
    let mut at = 0;
    let (method, target) = request_line(line(bytes, &mut at)?)?;
    let fields = fields(bytes, &mut at)?;
    let all = |name: &str| fields.iter().filter(|(other, _)| other == name).map(|(_, value)| value).collect::<Vec<_>>();
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    match (&lengths[..], &codings[..]) {
        ([], []) => {}
        ([first, others @ ..], []) => {
            let number = number(first)?;
            for other in others {
                if self::number(other)? != number {
                    return Err(Not::Valid("different lengths"));
                }
            }
            body.extend_from_slice(take(bytes, &mut at, number)?);
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => trailers = chunks(bytes, &mut at, &mut body)?,
        _ => return Err(Not::Valid("framing")),
    }
    let raw = bytes[..at].to_vec();
    Ok((Request { method, target, fields, body, trailers, raw }, at))
}

fn request_line(line: &[u8]) -> Result<(String, String), Not> {
    let parts: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = parts[..] else { return Err(Not::Valid("parts of the request line")) };
    if method.is_empty() || !method.iter().all(|&byte| is_token(byte)) {
        return Err(Not::Valid("method"));
    }
    if target.is_empty() || target.iter().any(|&byte| byte <= b' ' || byte == 0x7F || byte == b'#') {
        return Err(Not::Valid("target"));
    }
    if !matches!(version, b"HTTP/1.1" | b"HTTP/1.0") {
        return Err(Not::Valid("version"));
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(method), text(target)))
}

fn fields(bytes: &[u8], at: &mut usize) -> Result<Vec<(String, Vec<u8>)>, Not> {
    let mut fields = Vec::new();
    loop {
        let line = line(bytes, at)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = line.iter().position(|&byte| byte == b':').ok_or(Not::Valid("line without a colon"))?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
            return Err(Not::Valid("name"));
        }
        if value.iter().any(|&byte| byte != b'\t' && (byte < b' ' || byte == 0x7F)) {
            return Err(Not::Valid("value"));
        }
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
        let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
        fields.push((String::from_utf8_lossy(name).to_lowercase(), value[start..end].to_vec()));
    }
}

fn chunks(bytes: &[u8], at: &mut usize, body: &mut Vec<u8>) -> Result<Vec<(String, Vec<u8>)>, Not> {
    loop {
        let line = line(bytes, at)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let extension = &line[digits..];
        let ends_well = extension.trim_ascii_start().first().is_none_or(|&byte| byte == b';');
        if !(1..=16).contains(&digits)
            || !ends_well
            || extension.iter().any(|&byte| byte != b'\t' && byte.is_ascii_control())
        {
            return Err(Not::Valid("size of a chunk"));
        }
        let size = std::str::from_utf8(&line[..digits]).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let size = size.ok_or(Not::Valid("size of a chunk"))?;
        if size == 0 {
            return fields(bytes, at);
        }
        body.extend_from_slice(take(bytes, at, size)?);
        if !self::line(bytes, at)?.is_empty() {
            return Err(Not::Valid("end of a chunk"));
        }
    }
}

/// A line without its CRLF.
fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], Not> {
    let rest = &bytes[*at..];
    let end = rest.iter().position(|&byte| byte == b'\n').ok_or(Not::Complete)?;
    let line = rest[..end].strip_suffix(b"\r").ok_or(Not::Valid("a lone LF"))?;
    if line.contains(&b'\r') {
        return Err(Not::Valid("a lone CR"));
    }
    *at += end + 1;
    Ok(line)
}

fn take<'a>(bytes: &'a [u8], at: &mut usize, length: u64) -> Result<&'a [u8], Not> {
    let length = usize::try_from(length).map_err(|_| Not::Complete)?;
    let end = at.checked_add(length).filter(|&end| end <= bytes.len()).ok_or(Not::Complete)?;
    Ok(&bytes[std::mem::replace(at, end)..end])
}

fn number(value: &[u8]) -> Result<u64, Not> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or(Not::Valid("length"))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
