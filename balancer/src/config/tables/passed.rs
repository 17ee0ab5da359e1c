//! `"fd:NAME"`: a listener that whoever starts us has opened. Decides what may be the name of one; called by [`super::listen`];
//! never looks for it.

use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;

/// The name behind `fd:`.
pub(in crate::config) fn name(item: &Item<'_>, name: &str) -> Option<String> {
    if is_name(name) {
        return Some(name.to_owned());
    }
    let help = "write the name that its .socket unit gives it (FileDescriptorName=), as in \"fd:web\"";
    item.wrong(format!("{} names no listener", quote(&format!("fd:{name}"))), help);
    None
}

/// Whether systemd takes it: printable ASCII without a colon (`fdname_is_valid`).
pub(in crate::config) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b':';
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

/// systemd's own bound.
const NAME_MAX: usize = 255;
