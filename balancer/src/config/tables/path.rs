//! The path of a route or of a question. Decides what is one; called by the readers of both; never looks for it anywhere.

use crate::config::syntax::diagnostics::quote;

/// What is wrong with a path, and what would be right.
pub(super) fn path_mistake(text: &str) -> Option<(String, String)> {
    let not = |what: &str, help: String| Some((format!("{} {what}", quote(text)), help));
    if let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| scheme.starts_with("http")) {
        let path = rest.find('/').map_or("/", |at| &rest[at..]);
        return not(&format!("begins with `{scheme}:`"), format!("write \"{path}\", the path alone"));
    }
    if !text.starts_with('/') {
        return not("does not begin with `/`", format!("write \"/{text}\""));
    }
    if let Some(prefix) = text.strip_suffix('*') {
        return not("ends with `*`", format!("write \"{prefix}\": a path matches everything that begins with it"));
    }
    if text.contains(['?', '#']) {
        let path = text.split(['?', '#']).next().unwrap_or_default();
        return not("is more than a path", format!("write \"{path}\""));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return not(
            "has characters that must be percent-encoded",
            "percent-encode what is not printable ASCII: a space is `%20`".to_owned(),
        );
    }
    if text.contains("//") || text.split('/').any(|segment| segment == "." || segment == "..") {
        return not("would match nothing", "leave out empty segments, `.` and `..`".to_owned());
    }
    None
}
