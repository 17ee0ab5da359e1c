//! One value of a file. Decides what a wrong type and a value out of its bounds are; called by the reader of each
//! table; never knows what a key means.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{quote, quote_toml};
use super::findings::{Findings, Missing};
use super::likeness::nearest;
use super::span::{Placed, Span};
use super::{later, units};

/// A value and the key it belongs to.
#[derive(Clone)]
pub(in crate::config) struct Item<'a> {
    pub(in crate::config) key: &'a str,
    /// Where the key stands.
    pub(in crate::config) key_span: Span,
    /// Where the value stands.
    pub(in crate::config) span: Span,
    value: &'a DeValue<'a>,
    pub(in crate::config) findings: &'a Findings,
}

impl<'a> Item<'a> {
    pub(in crate::config) fn new(
        key: &'a str,
        key_span: Span,
        value: &'a Spanned<DeValue<'a>>,
        findings: &'a Findings,
    ) -> Self {
        Self { key, key_span, span: value.span(), value: value.get_ref(), findings }
    }

    /// Notes a mistake in the value.
    pub(in crate::config) fn wrong(&self, message: impl Into<String>, help: impl Into<String>) {
        self.findings.wrong(self.span.clone(), message.into(), help.into());
    }

    /// Notes a mistake in the key.
    pub(in crate::config) fn key_wrong(&self, message: impl Into<String>, help: impl Into<String>) {
        self.findings.wrong(self.key_span.clone(), message.into(), help.into());
    }

    /// Notes that the value is wrong without `key`, which is not there.
    pub(in crate::config) fn lacks(&self, key: &'static str, message: &str, help: &str) {
        let (span, message, help) = (self.span.clone(), message.to_owned(), help.to_owned());
        self.findings.missing(Missing { keys: vec![key], span, message, help });
    }

    /// Notes a value of the wrong type and returns nothing, for the end of a reader.
    pub(in crate::config) fn mistyped<T>(&self, wanted: &str, help: impl Into<String>) -> Option<T> {
        self.wrong(format!("`{}` must be {wanted}, not {}", self.key, self.type_name()), help);
        None
    }

    /// With its article.
    fn type_name(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }

    /// Whether variables were filled into it.
    fn is_filled(&self) -> bool {
        self.findings.is_filled(&self.span)
    }

    /// The text, if it is one; no mistake if not.
    pub(in crate::config) fn as_text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// The whole number, if it is one of 64 bits; no mistake if not.
    pub(in crate::config) fn as_integer(&self) -> Option<i64> {
        let number = self.value.as_integer()?;
        i64::from_str_radix(number.as_str(), number.radix()).ok()
    }

    /// Whether it is a list of nothing.
    pub(in crate::config) fn is_empty_list(&self) -> bool {
        self.value.as_array().is_some_and(|list| list.is_empty())
    }

    /// Whether it is a table.
    pub(in crate::config) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Its entries, if it is a table; no mistake if not.
    pub(super) fn as_table(&self) -> Option<&'a DeTable<'a>> {
        self.value.as_table()
    }

    /// Whether it is a table or a list of tables.
    pub(in crate::config) fn holds_tables(&self) -> bool {
        match self.value {
            DeValue::Table(_) => true,
            DeValue::Array(list) => !list.is_empty() && list.iter().all(|element| element.get_ref().is_table()),
            _ => false,
        }
    }

    /// A text without NUL, which no path, argument or variable can hold. Without an `example` any text is right.
    pub(in crate::config) fn text(&self, example: &str) -> Option<&'a str> {
        match self.value {
            DeValue::String(text) if text.contains('\0') => {
                self.wrong(format!("`{}` contains a NUL character", self.key), "leave it out");
                None
            }
            DeValue::String(text) => Some(text),
            DeValue::Integer(number) if example.is_empty() => self.mistyped("a text", format!("write \"{number}\"")),
            DeValue::Boolean(flag) if example.is_empty() => self.mistyped("a text", format!("write \"{flag}\"")),
            _ if example.is_empty() => self.mistyped("a text", "write it between quotation marks"),
            _ => self.mistyped("a text", format!("write {example}")),
        }
    }

    /// `true` or `false`.
    pub(in crate::config) fn flag(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(flag) => Some(*flag),
            DeValue::String(text) if self.is_filled() && matches!(text.as_ref(), "true" | "false") => {
                Some(text == "true")
            }
            DeValue::String(text) if matches!(text.as_ref(), "true" | "yes" | "on") => {
                self.mistyped("true or false", "write true, without quotation marks")
            }
            _ => self.mistyped("true or false", "write true or false, without quotation marks"),
        }
    }

    /// A whole number in `range`.
    pub(in crate::config) fn integer<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: Copy + Display + PartialOrd + TryFrom<i64>,
    {
        let bounds = format!("a whole number from {} to {}", range.start(), range.end());
        match self.value {
            // What a variable holds is always a text.
            DeValue::String(text) if self.is_filled() && text.parse::<i64>().is_ok() => {
                let value = text.parse::<i64>().ok().and_then(|value| T::try_from(value).ok());
                value.filter(|value| range.contains(value)).or_else(|| {
                    self.wrong(format!("`{}` cannot be {}", self.key, quote(text)), format!("write {bounds}"));
                    None
                })
            }
            DeValue::Integer(number) => {
                let value = self.as_integer().and_then(|value| T::try_from(value).ok());
                value.filter(|value| range.contains(value)).or_else(|| {
                    self.wrong(
                        format!("`{}` cannot be {}", self.key, quote(number.as_str())),
                        format!("write {bounds}"),
                    );
                    None
                })
            }
            DeValue::String(text) if text.parse::<u32>().is_ok() => {
                self.mistyped("a number", format!("write {text}, without quotation marks"))
            }
            _ => self.mistyped("a whole number", format!("write {bounds}")),
        }
    }

    /// A duration in `range`.
    pub(in crate::config) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        match self.value {
            DeValue::String(text) => {
                let value = self.unit(text, "a duration", units::duration(text))?;
                self.within(value, range, units::show_duration)
            }
            DeValue::Integer(number) if !number.as_str().starts_with('-') => {
                self.mistyped("a duration with its unit", format!("write \"{number}s\""))
            }
            _ => self.mistyped("a duration with its unit", "write a text as in \"5s\""),
        }
    }

    /// A number of bytes in `range`.
    pub(in crate::config) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        match self.value {
            DeValue::String(text) => {
                let value = self.unit(text, "a size", units::size(text))?;
                self.within(value, range, units::show_size)
            }
            DeValue::Integer(_) => {
                let bytes = self.as_integer().and_then(|bytes| u64::try_from(bytes).ok());
                let right = bytes.map_or("64KiB".to_owned(), units::show_size);
                self.mistyped("a size with its unit", format!("write \"{right}\""))
            }
            _ => self.mistyped("a size with its unit", "write a text as in \"64KiB\""),
        }
    }

    /// A share, 1.0 for the whole, at most `max`.
    pub(in crate::config) fn percent(&self, max: f64) -> Option<f64> {
        let bare = match self.value {
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            DeValue::String(text) => {
                let value = self.unit(text, "a share", units::percent(text))?;
                return self.within(value, 0.0..=max, |share| format!("{}%", share * 100.0));
            }
            _ => None,
        };
        let help = bare
            .filter(|share| *share >= 0.0 && share.is_finite())
            .map_or("write \"20%\"".to_owned(), units::percent_hint);
        self.mistyped("a share with its `%`", help)
    }

    fn unit<T>(&self, text: &str, what: &str, read: Result<T, String>) -> Option<T> {
        read.map_err(|help| self.wrong(format!("{} is not {what}", quote(text)), help)).ok()
    }

    fn within<T: PartialOrd + Copy>(&self, value: T, range: RangeInclusive<T>, show: fn(T) -> String) -> Option<T> {
        let (shown, min, max) = (show(value), show(*range.start()), show(*range.end()));
        if value < *range.start() {
            self.wrong(
                format!("`{}` cannot be as small as \"{shown}\"", self.key),
                format!("\"{min}\" is the smallest"),
            );
        } else if value > *range.end() {
            self.wrong(
                format!("`{}` cannot be as large as \"{shown}\"", self.key),
                format!("\"{max}\" is the largest"),
            );
        }
        range.contains(&value).then_some(value)
    }

    /// One of a closed set of words.
    pub(in crate::config) fn choice<T: Clone>(&self, choices: &[(&str, T)]) -> Option<T> {
        let words = || choices.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let DeValue::String(text) = self.value else {
            return self.mistyped("a text", format!("write one of {}", words()));
        };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text.as_ref()) {
            return Some(value.clone());
        }
        if later::values(self.key).contains(&text.as_ref()) {
            self.findings.later(self.span.clone(), text);
            return None;
        }
        let mut help = format!("write one of {}", words());
        if let Some(near) = nearest(text, choices.iter().map(|(word, _)| *word)) {
            help = format!("did you mean \"{near}\"? It is one of {}", words());
        }
        self.wrong(format!("`{}` cannot be {}", self.key, quote(text)), help);
        None
    }

    /// The elements of a list; they keep the key.
    pub(in crate::config) fn list(&self, example: &str) -> Option<Vec<Self>> {
        match self.value {
            DeValue::Array(list) => {
                let element = |value| Self::new(self.key, self.key_span.clone(), value, self.findings);
                Some(list.iter().map(element).collect())
            }
            DeValue::String(text) => self.mistyped("a list", format!("write [{}]", quote_toml(text))),
            _ => self.mistyped("a list", format!("write {example}")),
        }
    }

    /// The elements of a list, or the value alone.
    pub(in crate::config) fn one_or_list(&self) -> Vec<Self> {
        match self.value {
            DeValue::Array(_) => self.list("").unwrap_or_default(),
            _ => vec![self.clone()],
        }
    }

    /// `value` with the place of this one.
    pub(in crate::config) fn place<T>(&self, value: T) -> Placed<T> {
        Placed { span: self.span.clone(), value }
    }
}
