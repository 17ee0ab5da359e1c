//! Keys that switch HTTP/2 on. Decides whether this program can do it; called by the readers of these keys; never speaks it.

use crate::config::syntax::section::Section;

/// A key that is `true` or `false`.
pub(super) fn read(section: &mut Section<'_>, key: &'static str) -> Option<bool> {
    let item = section.take(key)?;
    let flag = item.flag()?;
    if flag && cfg!(not(feature = "http2")) {
        item.wrong("this balancer was built without HTTP/2", "leave it out, or build it with the feature `http2`");
        return None;
    }
    Some(flag)
}
