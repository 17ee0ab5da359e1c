//! `%(name)s` in values. Decides what each comes to here; called by [`super`]; never reads a section.

use crate::cli::import::setup::plain;

/// What the names of one program come to.
pub(super) struct Fillings<'a> {
    pub(super) program: &'a str,
    /// The directory of the file.
    pub(super) here: &'a str,
    /// The first number of a process.
    pub(super) first: u64,
}

/// A value with every name filled in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    /// As our file has it: `$` as itself is doubled, unless this is an argument.
    pub(super) text: String,
    /// The first of ports that were made of a number of a process.
    pub(super) first_port: Option<u16>,
    /// Names that nothing is known for.
    pub(super) unknown: Vec<String>,
}

impl Fillings<'_> {
    /// A value that a program gets as an argument: `{port}` and `{index}` are filled in there, and variables are not.
    pub(super) fn argument(&self, value: &str) -> Expanded {
        self.expand(value, true)
    }

    /// Any other value.
    pub(super) fn value(&self, value: &str) -> Expanded {
        self.expand(value, false)
    }

    fn expand(&self, value: &str, is_argument: bool) -> Expanded {
        let own = |text: &str| if is_argument { text.to_owned() } else { plain(text) };
        let mut expanded = Expanded { text: String::new(), first_port: None, unknown: Vec::new() };
        let mut rest = value;
        while let Some(at) = rest.find('%') {
            expanded.text.push_str(&own(&rest[..at]));
            let found = &rest[at..];
            let Some((name, format, behind)) = name(found) else {
                // `%%` is one of them.
                let taken = if found.starts_with("%%") { 2 } else { 1 };
                expanded.text.push('%');
                rest = &found[taken..];
                continue;
            };
            rest = behind;
            match name {
                "program_name" | "group_name" => expanded.text.push_str(&own(self.program)),
                "here" => expanded.text.push_str(&own(if self.here.is_empty() { "." } else { self.here })),
                "process_num" if is_argument => self.number(&mut expanded, format),
                _ => match name.strip_prefix("ENV_") {
                    Some(variable) if !is_argument => expanded.text.push_str(&format!("${{{variable}}}")),
                    _ => {
                        expanded.unknown.push(name.to_owned());
                        expanded.text.push_str(&own(&found[..found.len() - behind.len()]));
                    }
                },
            }
        }
        expanded.text.push_str(&own(rest));
        expanded
    }

    /// `80%(process_num)02d`: a port; else the number of a worker.
    fn number(&self, expanded: &mut Expanded, format: &str) {
        let digits = expanded.text.bytes().rev().take_while(u8::is_ascii_digit).count();
        let width: usize = format.trim_end_matches(['d', 's']).parse().unwrap_or(1);
        let before = &expanded.text[expanded.text.len() - digits..];
        let base = before.parse::<u64>().ok().zip(10_u64.checked_pow(u32::try_from(width).unwrap_or(u32::MAX)));
        let port = base.and_then(|(base, factor)| base.checked_mul(factor)?.checked_add(self.first));
        match port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port >= PORT_MIN) {
            Some(port) => {
                let end = expanded.text.len() - digits;
                expanded.text.truncate(end);
                expanded.text.push_str("{port}");
                expanded.first_port = Some(port);
            }
            None => expanded.text.push_str("{index}"),
        }
    }
}

/// `%(name)02d`: name, format, and what stands behind.
fn name(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.strip_prefix("%(")?.split_once(')')?;
    let end = rest.find(['d', 's'])? + 1;
    let (format, rest) = rest.split_at(end);
    format[..end - 1].bytes().all(|byte| byte.is_ascii_digit()).then_some((name, format, rest))
}

/// Smaller numbers are hardly ports.
const PORT_MIN: u16 = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_and_numbers_of_processes_make_ports() {
        let names = Fillings { program: "web", here: "/srv", first: 0 };
        for (value, text, port) in [
            ("--port=80%(process_num)02d", "--port={port}", Some(8000)),
            ("--port=900%(process_num)d", "--port={port}", Some(9000)),
            ("%(program_name)s_%(process_num)02d", "web_{index}", None),
            ("%(here)s/run 100%%", "/srv/run 100%", None),
            ("100%", "100%", None),
            ("%(", "%(", None),
        ] {
            let expanded = names.argument(value);
            assert_eq!((expanded.text.as_str(), expanded.first_port), (text, port), "{value}");
        }
        assert_eq!(names.value("$A %(ENV_HOME)s").text, "$$A ${HOME}");
        assert_eq!(names.argument("%(host_node_name)s").unknown, ["host_node_name"]);
        let later = Fillings { first: 3, ..names };
        assert_eq!(later.argument("80%(process_num)02d").first_port, Some(8003));
    }
}
