//! `command` of workers. Decides what can be started as a program with arguments; called by [`super::workers`]; never
//! looks for the program.

use crate::config::syntax::diagnostics::{quote, quote_toml};
use crate::config::syntax::item::Item;
use crate::config::syntax::likeness::nearest;

/// Program and arguments; nothing if there is no program. `socket`: whether workers listen on Unix sockets, if it is known.
pub(in crate::config) fn read(item: &Item<'_>, socket: Option<bool>) -> Option<Vec<String>> {
    let example = "[\"julia\", \"server.jl\", \"{port}\"]";
    if let Some(text) = item.as_text() {
        let words = text.split_whitespace().map(|word| quote_toml(&filled_in(word))).collect::<Vec<_>>().join(", ");
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
        // A shell or another language reads what follows, and its variables are its own.
        let filled = filled_in(text);
        if filled != text && !command.last().is_some_and(|before| is_script_next(before)) {
            let help = format!("write \"{filled}\", or a shell: [\"sh\", \"-c\", \"…\"]");
            item.wrong(format!("no shell is there to fill in {}", quote(text)), help);
        }
        command.push(text.to_owned());
    }
    Some(command)
}

/// Whether what follows an argument is a script: `-c` of shells, `-e` of node, perl and ruby, both also behind other letters.
fn is_script_next(argument: &str) -> bool {
    let letters = argument.strip_prefix('-').filter(|letters| letters.bytes().all(|byte| byte.is_ascii_alphabetic()));
    letters.is_some_and(|letters| letters.ends_with(['c', 'e'])) || matches!(argument, "--eval" | "--command")
}

/// `word` with what we fill in where a shell would fill in a variable of ours, wherever in it that stands.
fn filled_in(word: &str) -> String {
    let mut filled = word.to_owned();
    for (name, ours) in VARIABLES {
        filled = filled.replace(&format!("${{{name}}}"), ours);
        let mark = format!("${name}");
        let mut from = 0;
        while let Some(at) = filled[from..].find(&mark).map(|at| from + at) {
            let end = at + mark.len();
            // `$PORTS` is another one.
            let is_whole = !filled[end..].starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
            if is_whole {
                filled.replace_range(at..end, ours);
            }
            from = if is_whole { at + ours.len() } else { end };
        }
    }
    filled
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

/// The variables each worker gets, and what is filled in with the same; HOST is the same for all.
const VARIABLES: [(&str, &str); 4] =
    [("PORT", "{port}"), ("SOCKET", "{socket}"), ("INSTANCE_ID", "{index}"), ("HOST", "127.0.0.1")];

/// What is filled in for each worker.
const PLACEHOLDERS: &[&str] = &["port", "socket", "index", "pool"];
