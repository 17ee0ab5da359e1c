//! Query parameters.
//!
//! Decides how a query is split, decoded and bounded. Called by the routes. Never sees anything but the target's query.

/// The query of a request target, `a=1&b=x%20y`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(crate) fn of(uri: &'a http::Uri) -> Query<'a> {
        Query(uri.query().unwrap_or(""))
    }

    /// The parameters in the order given, decoded.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + 'a {
        self.0.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
    }

    /// The first value of a parameter.
    pub(crate) fn get(self, name: &str) -> Option<Vec<u8>> {
        self.pairs().find(|(found, _)| found == name.as_bytes()).map(|(_, value)| value)
    }

    /// A whole number, `default` where it is not given.
    ///
    /// # Errors
    /// It is no number, or out of `bounds`.
    pub(crate) fn number(self, name: &str, default: u64, bounds: std::ops::RangeInclusive<u64>) -> Result<u64, Wrong> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        number
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| Wrong(format!("{name} must be a number from {} to {}\n", bounds.start(), bounds.end())))
    }

    /// One of `words`, the first where it is not given.
    ///
    /// # Errors
    /// It is none of them.
    pub(crate) fn word<const N: usize>(self, name: &str, words: [&'static str; N]) -> Result<&'static str, Wrong> {
        let Some(text) = self.get(name) else { return Ok(words[0]) };
        let found = words.into_iter().find(|word| word.as_bytes() == text);
        found.ok_or_else(|| Wrong(format!("{name} must be one of: {}\n", words.join(", "))))
    }
}

/// What is wrong with a query, one line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) String);

/// `%41` → `A`, `+` → space; what is no escape stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => decoded.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            _ => decoded.push(byte),
        }
    }
    decoded
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_split_and_decoded_in_order() {
        let pairs: Vec<_> = Query("a=1&b=x%20y+z&&c&a=%zz%4").pairs().collect();
        let expected = [("a", "1"), ("b", "x y z"), ("c", ""), ("a", "%zz%4")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.into(), value.into())));
    }

    #[test]
    fn a_number_keeps_its_bounds() {
        let query = Query("n=5&bad=x&big=11&minus=-1");
        assert_eq!(query.number("n", 1, 0..=10), Ok(5));
        assert_eq!(query.number("absent", 1, 0..=10), Ok(1));
        for name in ["bad", "big", "minus"] {
            assert!(query.number(name, 1, 0..=10).is_err(), "{name}");
        }
    }

    #[test]
    fn a_word_is_one_of_those_offered() {
        assert_eq!(Query("").word("cut", ["inside", "between"]), Ok("inside"));
        assert_eq!(Query("cut=between").word("cut", ["inside", "between"]), Ok("between"));
        assert!(Query("cut=x").word("cut", ["inside", "between"]).is_err());
    }
}
