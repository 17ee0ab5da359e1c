//! A command line of another program → program and arguments as `command` has them. Decides when a shell is needed; called by the readers of
//! formats with commands; never runs anything.

/// What a command line comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CommandLine {
    pub(super) words: Vec<String>,
    /// Variables in front of the program.
    pub(super) env: Vec<(String, String)>,
}

/// A line that a shell reads: words where there are only words, else a script for `sh`.
pub(super) fn for_shell(line: &str) -> CommandLine {
    let line = line.trim();
    let Some(mut words) = words(&with_placeholder(line)).filter(|_| !needs_shell(&with_placeholder(line))) else {
        let is_plain =
            !line.contains(['|', '&', ';', '(', '\n']) && !line.starts_with("exec ") && assignment(line).is_none();
        let script = if is_plain { format!("exec {line}") } else { line.to_owned() };
        return CommandLine { words: vec!["sh".to_owned(), "-c".to_owned(), script], env: Vec::new() };
    };
    let count = words.iter().take_while(|word| assignment(word).is_some()).count();
    let rest = words.split_off(count);
    let env = words.iter().filter_map(|word| assignment(word)).map(|(name, value)| (name.to_owned(), value.to_owned()));
    CommandLine { env: env.collect(), words: rest }
}

/// The words of a line, by the rules of quotation of a shell; `None`: a quotation mark has no other.
pub(super) fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut rest) = (Vec::new(), None::<String>, line.chars());
    while let Some(character) = rest.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(rest.next()),
            '\'' => loop {
                let word = word.get_or_insert_default();
                match rest.next()? {
                    '\'' => break,
                    other => word.push(other),
                }
            },
            '"' => loop {
                let word = word.get_or_insert_default();
                match rest.next()? {
                    '"' => break,
                    '\\' => match rest.next()? {
                        escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                        other => word.extend(['\\', other]),
                    },
                    other => word.push(other),
                }
            },
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

/// The line with `{port}` for the variable that has it, with or without a default.
fn with_placeholder(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("$") {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let end = match (found.strip_prefix("${PORT"), found.strip_prefix("$PORT")) {
            (Some(behind), _) if behind.starts_with(['}', ':', '-']) => found.find('}').map(|end| end + 1),
            (None, Some(behind)) if !behind.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_') => {
                Some(5)
            }
            _ => None,
        };
        out.push_str(if end.is_some() { "{port}" } else { "$" });
        rest = &found[end.unwrap_or(1)..];
    }
    out + rest
}

/// Whether a character outside of quotation marks means something to a shell, or a variable within them.
fn needs_shell(line: &str) -> bool {
    let (mut single, mut double, mut rest) = (false, false, line.chars());
    while let Some(character) = rest.next() {
        match character {
            '\'' if !double => single = !single,
            '"' if !single => double = !double,
            '\\' if !single => _ = rest.next(),
            '$' | '`' if !single => return true,
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '*' | '?' | '~' | '\n' if !single && !double => return true,
            _ => {}
        }
    }
    let first = line.split_whitespace().next().unwrap_or_default();
    ["cd", "exec", "if", "for", "while", "export", "source", ".", "ulimit", "umask", "set", "trap"].contains(&first)
}

/// `NAME=value`.
fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (is_name && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit())).then_some((name, value))
}

/// Where a program is told to listen, in its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListenArgument {
    /// At a port, and on which address.
    Port { host: String, port: u16 },
    /// At a Unix socket.
    Socket(String),
}

/// Replaces where a program is told to listen by what is filled in for each worker.
pub(super) fn listening(words: &mut [String]) -> Option<ListenArgument> {
    for index in 1..words.len() {
        let before = words.get(index - 1).cloned().unwrap_or_default();
        let Some(word) = words.get_mut(index) else { continue };
        let (option, value) = match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option.to_owned(), value.to_owned()),
            _ => (before, word.clone()),
        };
        let Some((place, filled)) = place(&option, &value) else { continue };
        *word = match word.split_once('=') {
            Some((option, _)) if option.starts_with("--") => format!("{option}={filled}"),
            _ => filled,
        };
        return Some(place);
    }
    None
}

/// What the value of an option says of a place, and the value that is filled in.
fn place(option: &str, value: &str) -> Option<(ListenArgument, String)> {
    let binds = ["-b", "--bind", "--listen", "--addr", "--address", "--http", "--http-socket"].contains(&option);
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    if option == "--uds" || (binds && value.starts_with("unix:")) {
        let path = value.strip_prefix("unix:").unwrap_or(value);
        let path = path.strip_prefix("//").unwrap_or(path);
        let prefix = if option == "--uds" { "" } else { "unix:" };
        return path.starts_with('/').then(|| (ListenArgument::Socket(path.to_owned()), format!("{prefix}{{socket}}")));
    }
    if ["-p", "--port"].contains(&option) {
        return port(value)
            .map(|port| (ListenArgument::Port { host: "0.0.0.0".to_owned(), port }, "{port}".to_owned()));
    }
    let (host, number) = value.rsplit_once(':').filter(|_| binds)?;
    let known = ["", "*", "0.0.0.0", "127.0.0.1", "localhost", "[::]"].contains(&host);
    let ours = if ["127.0.0.1", "localhost"].contains(&host) { "127.0.0.1" } else { "0.0.0.0" };
    let place = ListenArgument::Port { host: ours.to_owned(), port: port(number).filter(|_| known)? };
    Some((place, "127.0.0.1:{port}".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_words_where_no_shell_is_needed_and_a_script_where_one_is() {
        let ours = |line: &str| for_shell(line).words.join("|");
        for (line, expected) in [
            ("node server.js", "node|server.js"),
            ("puma -p $PORT -e 'pro duction'", "puma|-p|{port}|-e|pro duction"),
            ("app --port=${PORT:-3000}", "app|--port={port}"),
            ("app $PORTS", "sh|-c|exec app $PORTS"),
            ("a \"b c\" d\\ e ''", "a|b c|d e|"),
            ("a && b", "sh|-c|a && b"),
            ("cd web && npm start", "sh|-c|cd web && npm start"),
            ("app > log", "sh|-c|exec app > log"),
            ("app '$HOME;'", "app|$HOME;"),
            ("echo \"it", "sh|-c|exec echo \"it"),
            ("", ""),
        ] {
            assert_eq!(ours(line), expected, "{line}");
        }
        let command = for_shell("RACK_ENV=production A=\"b c\" puma");
        assert_eq!(command.words, ["puma"]);
        assert_eq!(command.env, [("RACK_ENV".to_owned(), "production".to_owned()), ("A".to_owned(), "b c".to_owned())]);
    }

    #[test]
    fn where_a_program_listens_is_filled_in_for_each_worker() {
        let found = |line: &str| {
            let mut words = words(line).unwrap();
            listening(&mut words).map(|place| (place, words.join(" ")))
        };
        let port = |host: &str, port| ListenArgument::Port { host: host.to_owned(), port };
        for (line, place, expected) in [
            ("gunicorn --bind 127.0.0.1:8000 a", port("127.0.0.1", 8000), "gunicorn --bind 127.0.0.1:{port} a"),
            ("gunicorn -b :8000 a", port("0.0.0.0", 8000), "gunicorn -b 127.0.0.1:{port} a"),
            ("uvicorn a --port=8000", port("0.0.0.0", 8000), "uvicorn a --port={port}"),
            ("rails s -p 3000", port("0.0.0.0", 3000), "rails s -p {port}"),
            (
                "gunicorn --bind=unix:/run/a.sock a",
                ListenArgument::Socket("/run/a.sock".to_owned()),
                "gunicorn --bind=unix:{socket} a",
            ),
            (
                "uvicorn --uds /run/a.sock a",
                ListenArgument::Socket("/run/a.sock".to_owned()),
                "uvicorn --uds {socket} a",
            ),
        ] {
            assert_eq!(found(line), Some((place, expected.to_owned())), "{line}");
        }
        for line in ["celery -A shop worker", "ssh -p me", "app --bind example.org:80", "app --port 0", "app"] {
            assert_eq!(found(line), None, "{line}");
        }
    }
}
