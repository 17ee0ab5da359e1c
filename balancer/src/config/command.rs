//! `command` of workers. Decides what can be started as a program with arguments; called by [`super::workers`]; never
//! looks for the program.

use super::diagnostics::quote;
use super::item::{Item, nearest, quote_toml};

/// Program and arguments; nothing if there is no program. `socket`: whether workers listen on Unix sockets, if it is known.
pub(super) fn read(item: &Item<'_>, socket: Option<bool>) -> Option<Vec<String>> {
    let example = "[\"julia\", \"server.jl\", \"{port}\"]";
    if let Some(text) = item.as_text() {
        let words = text.split_whitespace().map(|word| quote_toml(filled_in(word))).collect::<Vec<_>>().join(", ");
        let help = if words.is_empty() { example.to_owned() } else { format!("[{words}]") };
        return item.mistyped("a list, the program and each argument apart", format!("write {help}"));
    }
    let items = item.list(example)?;
    let Some(program) = items.first() else {
        item.wrong("`command` is empty", format!("write the program and its arguments, as in {example}"));
        return None;
    };
    if program.as_text().is_some_and(|text| text.trim().is_empty()) {
        program.wrong("the program is empty", format!("write its name or path first, as in {example}"));
    }
    let mut command: Vec<String> = Vec::with_capacity(items.len());
    for item in &items {
        let text = item.text("")?;
        placeholders(item, text, socket);
        // With `-c` a shell reads what follows, and fills it in.
        if filled_in(text) != text && !command.iter().any(|known| known == "-c") {
            let help = format!("write \"{}\"", filled_in(text));
            item.wrong(format!("no shell is there to fill in {}", quote(text)), help);
        }
        command.push(text.to_owned());
    }
    Some(command)
}

/// What we fill in where a shell would fill in `word`; else the word itself.
fn filled_in(word: &str) -> &str {
    match word {
        "$PORT" | "${PORT}" => "{port}",
        "$SOCKET" | "${SOCKET}" => "{socket}",
        word => word,
    }
}

/// Notes every `{name}` that is not filled in, or that a worker has not got. Braces around anything else, as in JSON, are left alone, and so are
/// `${name}` and `{{name}}`, which shells and templates read.
fn placeholders(item: &Item<'_>, text: &str, socket: Option<bool>) {
    for (at, _) in text.match_indices('{') {
        let Some((name, _)) = text[at + 1..].split_once('}') else { return };
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        let known = PLACEHOLDERS.contains(&name);
        if !is_name || text[..at].ends_with(['$', '{']) {
            continue;
        }
        match (name, socket) {
            ("port", Some(true)) => item.wrong("with `socket = true` a worker has no port", "write {socket}"),
            ("socket", Some(false)) => {
                let help = "write socket = true too, or {port}";
                item.lacks("socket", "without `socket = true` a worker has no socket", help);
            }
            _ => {}
        }
        if known {
            continue;
        }
        let braced = format!("{{{name}}}");
        let help = match nearest(name, PLACEHOLDERS.iter().copied()) {
            Some(near) => format!("did you mean {{{near}}}?"),
            None => "{port} or {socket}, {index} and {pool} are filled in".to_owned(),
        };
        item.wrong(format!("nothing is known to fill in for {}", quote(&braced)), help);
    }
}

/// What is filled in for each worker.
const PLACEHOLDERS: &[&str] = &["port", "socket", "index", "pool"];
